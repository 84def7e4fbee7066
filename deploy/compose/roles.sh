#!/bin/sh
# Creates the two roles beside the owner of the database, with their passwords. Postgres runs this
# once, when it creates the database; `graywave migrate` gives the roles their rights.
set -eu
for role in graywave_app graywave_parts; do
    psql --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" --quiet --set=ON_ERROR_STOP=1 \
        --set=role="$role" --set=password="$(cat "/run/graywave/secrets/$role")" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password';
SQL
done
