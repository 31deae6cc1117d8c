#!/bin/bash
# Begin anew where the first start was interrupted. Until it has ended, the server listens to nobody: there is nothing to lose.
set -euo pipefail
unfinished=/passwords/orders/unfinished
if [ -e "$unfinished" ]; then
  find "$PGDATA" -mindepth 1 -delete
  rm -f /passwords/*/url
elif [ ! -s "$PGDATA/PG_VERSION" ]; then
  touch "$unfinished"
fi
exec docker-entrypoint.sh "$@"
