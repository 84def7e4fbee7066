#!/bin/sh
# Creates the project of the compose cluster and the enrolment token of its desktops.
set -eu
umask 077

graywave admin projects create "$GRAYWAVE_PROJECT" --unless-exists
graywave admin principals put admin --project "$GRAYWAVE_PROJECT" --policy admin
# Valid for one day from this start: a desktop with a certificate no longer needs the token.
graywave admin enrolment-tokens create --project "$GRAYWAVE_PROJECT" --uses 1000 --expires 24h --only-token > /out/enrolment/token.new
mv /out/enrolment/token.new /out/enrolment/token
chown -R 65532:65532 /out/enrolment
