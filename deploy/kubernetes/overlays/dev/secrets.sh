#!/bin/sh
# Creates the parts of the dev overlay that must not be in git: certificates in Secrets, the project
# `dev`, and the enrolment token of its desktops. Needs kubectl and graywave. The CA stays in the
# given directory; with the same directory the script can run again.
set -eu
umask 077
directory=${1:?the directory of the CA, for example: $0 \$HOME/graywave-dev-ca}
part=$(mktemp -d)
trap 'rm -rf "$part"' EXIT

put() { # put SECRET FILES...: creates or updates the Secret
    secret=$1
    shift
    kubectl create secret generic "$secret" --namespace graywave "$@" --dry-run=client --output yaml | kubectl apply --filename -
}
tls() { # tls SECRET IDENTITY...
    secret=$1
    shift
    graywave ca issue --dir "$directory" "$@" --out "$part/$secret"
    put "$secret" --from-file="$part/$secret"
}

[ -s "$directory/ca.key" ] || graywave ca init --dir "$directory"
tls graywave-scheduler-tls --role scheduler --name graywave-scheduler --dns graywave-scheduler --dns localhost
tls graywave-worker-tls --role worker --name graywave-worker --dns graywave-agents
tls graywave-admin-tls --server --dns graywave-admin --dns localhost
tls graywave-signer --role signer --name graywave-signer
graywave ca issuer --dir "$directory" --out "$part/issuer"
put graywave-issuer --from-file=tls.crt="$part/issuer/issuer.crt" --from-file=tls.key="$part/issuer/issuer.key"

kubectl --namespace graywave rollout status deployment/graywave-api --timeout=5m
in_api() { kubectl --namespace graywave exec deployment/graywave-api --container api -- graywave "$@"; }
in_api admin projects create dev --unless-exists
in_api admin enrolment-tokens create --project dev --uses 100 --only-token > "$part/token"
put graywave-desktop-enrolment --from-file=token="$part/token" --from-file=ca.crt="$directory/ca.crt"
