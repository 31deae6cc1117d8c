#!/bin/bash
# Make a database and its owner for each service, unless they are there, and set the passwords to those of the secrets.
# Patroni runs this when it has made the cluster, and swarm.sh after a restore. $1 leads to the cluster.
set -euo pipefail
for service in users products orders; do
  # postgresql://users:PASSWORD@database:5432/users
  url=$(cat "/run/secrets/$service-url")
  password=${url#*://*:} && password=${password%%@*}
  psql -q -X -v ON_ERROR_STOP=1 -v name="$service" -v password="$password" "$1" <<'SQL'
SET log_statement = 'none';
SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') AS missing \gset
\if :missing
CREATE ROLE :name LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 60;
CREATE DATABASE :name OWNER :name;
REVOKE ALL ON DATABASE :name FROM PUBLIC;
\endif
ALTER ROLE :name PASSWORD :'password';
SQL
done
for role in replicator rewind; do # Patroni makes them later, with the same passwords
  psql -q -X -v ON_ERROR_STOP=1 -v name="$role" -v password="$(cat "/run/secrets/${role/replicator/replication}")" "$1" <<'SQL'
SET log_statement = 'none';
SELECT format('ALTER ROLE %I PASSWORD %L', rolname, :'password') FROM pg_roles WHERE rolname = :'name' \gexec
SQL
done
