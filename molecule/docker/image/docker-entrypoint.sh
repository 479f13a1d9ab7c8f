#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What the role relies on of the official image's entry point: a database is made at the first start, by a server that
# answers on the socket only; the password is read from a file; the server replaces this process.
set -euo pipefail

if [[ ${1:-} != postgres ]]; then
  exec "$@"
fi
if [[ -n ${POSTGRES_PASSWORD_FILE:-} ]]; then
  # The official one does it at each start, and leaves it in the environment of the server.
  POSTGRES_PASSWORD=$(<"$POSTGRES_PASSWORD_FILE")
  export POSTGRES_PASSWORD
  unset POSTGRES_PASSWORD_FILE
fi
if [[ $(id -u) -eq 0 ]]; then
  install -d -m 0700 -o postgres -g postgres "$PGDATA"
  install -d -m 2775 -o postgres -g postgres /run/postgresql
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
shift
if [[ ! -s $PGDATA/PG_VERSION ]]; then
  user=${POSTGRES_USER:-postgres}
  password=${POSTGRES_PASSWORD:?Database is uninitialized and superuser password is not specified.}
  # Words, as the official image takes them.
  read -ra arguments <<<"${POSTGRES_INITDB_ARGS:-}"
  initdb --username="$user" --pwfile=<(printf '%s\n' "$password") "${arguments[@]}"
  echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
  printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
  pg_ctl -D "$PGDATA" -w start -o "$(printf '%q ' "$@" -c listen_addresses='')"
  database=${POSTGRES_DB:-$user}
  if [[ $database != postgres ]]; then
    PGPASSWORD=$password createdb --username="$user" --maintenance-db=postgres "$database"
  fi
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh)
        echo "$0: running $file"
        # shellcheck disable=SC1090 # whatever was put there
        if [[ -x $file ]]; then "$file"; else . "$file"; fi
        ;;
      *.sql) PGPASSWORD=$password psql --no-psqlrc --set=ON_ERROR_STOP=1 --username="$user" --dbname="$database" --file="$file" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -w -m fast stop
  echo 'PostgreSQL init process complete; ready for start up.'
fi
exec postgres -D "$PGDATA" "$@"
