# Start Patroni, or the command given, with the passwords that Swarm has put into files.
set -eu
read_secret() { cat "/run/secrets/$1"; }
export PATRONI_SUPERUSER_USERNAME=postgres PATRONI_SUPERUSER_PASSWORD="$(read_secret superuser)"
export PATRONI_REPLICATION_USERNAME=replicator PATRONI_REPLICATION_PASSWORD="$(read_secret replication)"
export PATRONI_REWIND_USERNAME=rewind PATRONI_REWIND_PASSWORD="$(read_secret rewind)"
export PATRONI_RESTAPI_USERNAME=patroni PATRONI_RESTAPI_PASSWORD="$(read_secret patroni)"
export PATRONI_RESTAPI_CONNECT_ADDRESS="$PATRONI_NAME:8008" PATRONI_POSTGRESQL_CONNECT_ADDRESS="$PATRONI_NAME:5432"
export PATRONICTL_CONFIG_FILE=/etc/patroni.yml
[ $# -gt 0 ] || set -- patroni "$PATRONICTL_CONFIG_FILE"
exec "$@"
