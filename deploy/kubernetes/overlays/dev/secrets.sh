#!/bin/sh
# Creates the parts of the dev overlay that must not be in git: certificates in Secrets, the project
# `dev`, and the enrolment token of its desktops. Needs kubectl and graywave. The CA stays in the
# given directory; with the same directory the script can run again.
set -eu
umask 077
directory=${1:?the directory of the CA, for example: $0 \$HOME/graywave-dev-ca}
part=$(mktemp -d)
trap 'rm -rf "$part"' EXIT

apply() { # apply KIND... FILES...: creates or updates a Secret or a ConfigMap
    kubectl create "$@" --namespace graywave --dry-run=client --output yaml | kubectl apply --filename -
}
put() { # put SECRET FILES...
    apply secret generic "$@"
}
tls() { # tls SECRET IDENTITY...
    secret=$1
    shift
    graywave ca issue --dir "$directory" "$@" --out "$part/$secret"
    put "$secret" --from-file="$part/$secret"
}
names() { # names SERVICE: as callers name it in the namespace, in others, and through a forwarded port
    echo "--dns $1 --dns $1.graywave --dns $1.graywave.svc --dns localhost"
}

[ -s "$directory/ca.key" ] || graywave ca init --dir "$directory"
apply configmap graywave-ca --from-file="$directory/ca.crt"
# shellcheck disable=SC2046
tls graywave-scheduler-tls --role scheduler --name graywave-scheduler $(names graywave-scheduler)
tls graywave-worker-tls --role worker --name graywave-worker --dns graywave-agents
# shellcheck disable=SC2046
tls graywave-admin-tls --server $(names graywave-admin)
tls graywave-signer --role signer --name graywave-signer
graywave ca issuer --dir "$directory" --out "$part/issuer"
put graywave-issuer --from-file=tls.crt="$part/issuer/issuer.crt" --from-file=tls.key="$part/issuer/issuer.key"

kubectl --namespace graywave rollout status deployment/graywave-api --timeout=5m
in_api() { kubectl --namespace graywave exec deployment/graywave-api --container api -- graywave "$@"; }
in_api admin projects create dev --unless-exists
in_api admin enrolment-tokens create --project dev --uses 100 --only-token > "$part/token"
put graywave-desktop-enrolment --from-file=token="$part/token" --from-file=ca.crt="$directory/ca.crt"
