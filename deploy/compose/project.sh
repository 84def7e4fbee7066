#!/bin/sh
# Makes the project of the compose cluster and what its desktops enrol with.
set -eu
umask 077

graywave projects create "$GRAYWAVE_PROJECT" --unless-exists
graywave principals put admin --project "$GRAYWAVE_PROJECT" --policy admin
# Good for a day from this start on: a desktop that has its certificate needs it no more.
graywave enrolment-tokens create --project "$GRAYWAVE_PROJECT" --uses 1000 --expires-in-hours 24 --only-token > /out/enrolment/token.new
mv /out/enrolment/token.new /out/enrolment/token
chown -R 65532:65532 /out/enrolment
