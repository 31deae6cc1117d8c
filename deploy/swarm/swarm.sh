#!/usr/bin/env bash
# swarm.sh up|load|backup|restore|down|run: the stack on the Swarm of this machine. `run` is up, load and down; its exit status is the verdict.
set -euo pipefail
cd "$(dirname "$0")"
export STACK=${STACK:-threefold}
WAIT_S=240

# Print a password that nobody has chosen: 192 random bits.
draw() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# Make a secret, unless it is there. Swarm never shows it again.
keep() { docker secret inspect "$STACK-$1" >/dev/null 2>&1 || printf %s "$2" | docker secret create "$STACK-$1" - >/dev/null; }

swarm() {
  [ "$(docker info -f '{{.Swarm.LocalNodeState}}')" = active ] && return
  docker swarm init --advertise-addr "${ADVERTISE:-127.0.0.1}" >/dev/null
  docker node update --label-add threefold-made=yes "$(docker info -f '{{.Swarm.NodeID}}')" >/dev/null # so that `down` leaves it
}

# Where the data is: the first node gets etcd1 and pg1, and so on, unless somebody has said so already.
place() {
  local nodes number
  mapfile -t nodes < <(docker node ls -q)
  docker node inspect -f '{{json .Spec.Labels}}' "${nodes[@]}" | grep -q '"threefold-1"' && return
  for number in 1 2 3; do
    docker node update --label-add "threefold-$number=yes" "${nodes[$(((number - 1) % ${#nodes[@]}))]}" >/dev/null
  done
}

build() {
  local said
  said=$(docker compose -f stack.yml build 2>&1) || { echo "$said" | grep -v ' level=warning '; return 2; } >&2
}

deploy() {
  local resolve=never
  [ -z "${REGISTRY:-}" ] || resolve=always
  PATRONI_CONFIG=$(sha256sum patroni.yml | cut -c1-8) DATABASE_CONFIG=$(sha256sum database.cfg | cut -c1-8) \
    docker stack deploy --detach=true --with-registry-auth --resolve-image $resolve -c stack.yml "$STACK" 2>&1 | grep -v '^Ignoring unsupported options: build' || true
}

# Print the services, all or those named, that do not run with all their tasks.
missing() {
  docker service ls --filter "label=com.docker.stack.namespace=$STACK" --format '{{.Name}} {{.Replicas}}' |
    awk -v some=" $* " -v stack="$STACK" '{split($2, n, "/"); name = substr($1, length(stack) + 2)
      if (n[1] != n[2] && (some == "  " || index(some, " " name " "))) print $1, $2}'
}

up() {
  swarm
  place
  [ -n "${REGISTRY:-}${BUILT:-}" ] || build
  local service
  for service in superuser replication rewind patroni; do keep $service "$(draw)"; done
  for service in users products orders; do keep $service-url "postgresql://$service:$(draw)@database:5432/$service"; done
  keep token "${API_TOKEN:-$(draw)}"
  deploy
  local end=$((SECONDS + WAIT_S))
  while [ -n "$(missing "$@")" ]; do
    [ $SECONDS -lt $end ] || { echo "Not running after $WAIT_S s:"; missing; docker stack ps --no-trunc "$STACK" | tail -20; return 2; } >&2
    sleep 1
  done
}

load() {
  local before task
  before=$(docker service ps -q "${STACK}_loadgen")
  docker service scale -d "${STACK}_loadgen=0" >/dev/null && docker service scale -d "${STACK}_loadgen=1" >/dev/null
  until task=$(docker service ps -q "${STACK}_loadgen" | grep -vxF "${before:-none}") && [ -n "$task" ]; do sleep 0.5; done
  docker service logs --raw -f "$task" 2>&1 &
  local logs=$!
  until docker inspect -f '{{.Status.State}}' "$task" | grep -qE 'complete|failed|rejected|shutdown'; do sleep 1; done
  sleep 1 && kill $logs 2>/dev/null || true
  return "$(docker inspect -f '{{with .Status.ContainerStatus}}{{.ExitCode}}{{else}}2{{end}}' "$task")"
}

# Print the container of the database node that leads, if it is on this machine.
leader() {
  local container
  for container in $(docker ps -q --filter "name=^${STACK}_pg[123]\\."); do
    docker exec "$container" python3 -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8008/primary', timeout=2)" 2>/dev/null &&
      echo "$container" && return
  done
}

# backup FILE.tar.gz: all three databases as of one moment, with the WAL that makes the copy whole.
backup() {
  local container
  container=$(leader)
  [ -n "$container" ] || { echo "No database node on this machine leads: run this where one does." >&2; return 2; }
  docker exec "$container" pg_basebackup -h /tmp -U postgres -D - -Ft -X fetch -c fast | gzip >"$1.part"
  gzip -t "$1.part" && mv "$1.part" "$1"
}

# restore FILE.tar.gz: start a stack, which must not run, from a backup. pg1 leads; the others copy it.
restore() {
  local file volume=${STACK}_pg1 container
  file=$(realpath "$1")
  [ -z "$(docker volume ls -q --filter "name=^$volume$")" ] || { echo "There is data already: $volume. Nothing was changed." >&2; return 2; }
  swarm
  build
  docker volume create --label "com.docker.stack.namespace=$STACK" "$volume" >/dev/null
  docker run --rm -i --network none -v "$volume:/data" --entrypoint sh "${REGISTRY:-}threefold-patroni:${VERSION:-1}" -c \
    'install -d -m 700 /data/postgresql && tar -xzf - -C /data/postgresql' <"$file"
  STANDBYS=0 up pg1 etcd1 etcd2 etcd3
  until container=$(leader) && [ -n "$container" ]; do sleep 1; done
  docker exec -e PGOPTIONS="-c synchronous_commit=local" "$container" bash /usr/local/bin/databases.sh "host=/tmp user=postgres dbname=postgres"
  up
}

# Remove everything that `up` has made, the data too.
down() {
  docker stack rm "$STACK" >/dev/null 2>&1 || true
  local end=$((SECONDS + 120)) left
  until left=$(docker ps -aq --filter "label=com.docker.stack.namespace=$STACK"; docker network ls -q --filter "label=com.docker.stack.namespace=$STACK") && [ -z "$left" ]; do
    [ $SECONDS -lt $end ] || { echo "Still there after 120 s: $left" >&2; return 2; }
    sleep 1
  done
  docker secret ls -q --filter "name=$STACK-" | xargs -r docker secret rm >/dev/null
  docker config ls -q --filter "name=$STACK-" | xargs -r docker config rm >/dev/null
  docker volume ls -q --filter "label=com.docker.stack.namespace=$STACK" | xargs -r docker volume rm >/dev/null
  if [ "$(docker node inspect -f '{{index .Spec.Labels "threefold-made"}}' self)" = yes ] && [ -z "$(docker service ls -q)" ]; then
    docker swarm leave --force >/dev/null
  fi
}

run() {
  trap down EXIT
  up
  load
}

case ${1:-} in
  up | load | down | run) "$1" ;;
  backup | restore) [ -n "${2:-}" ] && "$1" "$2" ;;
  *) sed -n 2p "$0" && exit 2 ;;
esac
