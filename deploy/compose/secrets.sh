#!/bin/sh
# Makes the secrets of the compose cluster. What is there stays, but certificates are issued anew each time: roles read them again.
set -eu
umask 077

once() { # once FILE COMMAND...: what the command prints, unless the file is there
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
once $secrets/postgres-password random
once $secrets/pgpass echo "postgres:5432:graywave:graywave:$(cat $secrets/postgres-password)"

[ -s /ca/ca.key ] || graywave ca init --dir /ca
graywave ca issue --dir /ca --role scheduler --name compose --dns scheduler --dns localhost --out /out/scheduler
graywave ca issue --dir /ca --role worker --name compose --dns worker --out /out/worker
graywave ca issue --dir /ca --role admin --name compose --out /out/admin
graywave ca issue --dir /ca --role signer --name compose --out /ca/signer
graywave ca issuer --dir /ca --out /ca/issuer
for part in signer issuer; do
    for file in crt key; do
        cp /ca/$part/tls.$file /out/scheduler/$part.$file.new
        chown 65532:65532 /out/scheduler/$part.$file.new
        mv /out/scheduler/$part.$file.new /out/scheduler/$part.$file
    done
done
cp /ca/ca.crt /out/trust/ca.crt

# Roles run as 65532; Postgres, as root at its start, reads its password's file before it becomes somebody else.
chown -R 65532:65532 /out
chmod -R u=rwX,go= /out
chmod 0755 /out/trust /out/secrets
chmod 0644 /out/trust/ca.crt $secrets/postgres-password
