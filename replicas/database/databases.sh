#!/bin/bash
# Make a database and its owner for each service, when the volume is new. Nobody chooses a password: each is drawn here, and
# kept in a volume that only its service mounts.
set -euo pipefail
umask 022
for service in users products orders; do
  password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  psql -q -v ON_ERROR_STOP=1 -v name="$service" -v password="$password" --no-psqlrc -d postgres <<'SQL'
SET log_statement = 'none';
CREATE ROLE :name LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 60 PASSWORD :'password';
CREATE DATABASE :name OWNER :name;
REVOKE ALL ON DATABASE :name FROM PUBLIC;
SQL
  echo "postgresql://$service:$password@database.data:5432/$service" >"/passwords/$service/url"
done
psql -q -v ON_ERROR_STOP=1 --no-psqlrc -d postgres -c "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC"
rm -f /passwords/orders/unfinished # see first-start.sh
