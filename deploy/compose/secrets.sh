#!/bin/sh
# Creates the secrets of the compose cluster. Existing secrets are kept, but certificates are
# reissued at every start: roles reload them.
set -eu
umask 077

once() { # once FILE COMMAND...: writes the command's output to FILE unless FILE exists
    file=$1
    shift
    if [ ! -s "$file" ]; then
        "$@" > "$file.new"
        mv "$file.new" "$file"
    fi
}
random() { od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n'; }

secrets=/out/secrets
once $secrets/master-keys random
# The owner of the database, the runtime role and the role that owns the partitions. Each service
# gets the passwords of its own roles.
for role in graywave graywave_app graywave_parts; do
    once /out/postgres/$role random
done
pgpass() { echo "postgres:5432:graywave:$1:$(cat /out/postgres/$1)"; }
pgpass graywave > /out/migrate/pgpass
pgpass graywave_app > $secrets/pgpass
{ pgpass graywave_app; pgpass graywave_parts; } > /out/scheduler/pgpass

[ -s /ca/ca.key ] || graywave ca init --dir /ca
graywave ca issue --dir /ca --role scheduler --name compose --dns scheduler --dns localhost --out /out/scheduler
for worker in worker-1 worker-2 worker-3; do
    graywave ca issue --dir /ca --role worker --name $worker --dns worker --out /out/$worker
done
graywave ca issue --dir /ca --role admin --name compose --out /out/admin
graywave ca issue --dir /ca --role signer --name compose --out /ca/signer
graywave ca issue --dir /ca --server --dns localhost --ip 127.0.0.1 --out /ca/admin
graywave ca issuer --dir /ca --out /ca/issuer

# Keys with which schedulers sign orders and desktop certificates, and the certificate of their admin
# listener.
give() { # give FROM TO: copies a file atomically
    cp "$1" "$2.new"
    chown 65532:65532 "$2.new"
    mv "$2.new" "$2"
}
for file in crt key; do
    give /ca/signer/tls.$file /out/scheduler/signer.$file
    give /ca/admin/tls.$file /out/scheduler/admin.$file
    give /ca/issuer/issuer.$file /out/scheduler/issuer.$file
done
cp /ca/ca.crt /out/trust/ca.crt

# Roles run as user 65532. Postgres reads the passwords as its own user.
chown -R 65532:65532 /out
chmod -R u=rwX,go= /out
chmod 0755 /out/trust /out/secrets /out/postgres
chmod 0644 /out/trust/ca.crt /out/postgres/graywave*
