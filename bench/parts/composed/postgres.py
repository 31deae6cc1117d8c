"""Orders and users on PostgreSQL, with one replica of each service and with three, beside SQLite."""

import json
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from testbed import kernel, wait_until
from testbed.engine import Composed
from testbed.waiting import TimedOut

from ...contenders import SERVICES
from ...sampling import CONNECTIONS, ORDER, PRODUCT, USER, Progress, Sample, Settings, interleaved
from ...tools import wrk
from .. import Part

READY_S = 120.0
START_S = 45.0  # expected for all sets together, for the plan
COUNT = "import apsw; print(apsw.Connection('/data/{0}.db', flags=1).execute('SELECT count(*) FROM {0}').get)"


class Set(Composed):
    """A set of containers: on SQLite, or on PostgreSQL with so many replicas of each service."""

    error = wrk.Failed

    def __init__(self, replicas: int = 0) -> None:
        files = "docker-compose.yml:compose.postgres.yml" if replicas else "docker-compose.yml"
        super().__init__(f"bench-{replicas}", COMPOSE_FILE=files)
        self.env |= {f"{name.upper()}_REPLICAS": str(replicas) for name in SERVICES}
        self.replicas = replicas
        self.acknowledged: Counter[str] = Counter()
        self.pids: dict[str, int] = {}  # the first process of each container, by the container's name

    def start(self) -> None:
        """Build and start it, and write the user and the product that orders name. Raises Failed."""
        doors = [f"{name}-front" for name in SERVICES] if self.replicas else []
        self.compose("up", "-d", "--build", *SERVICES, *doors)
        for line in self.compose("ps", "--format", "json").stdout.splitlines():
            each = json.loads(line)
            self.pids[each["Name"]] = int(self.docker("inspect", "-f", "{{.State.Pid}}", each["ID"]))
        try:
            for service in SERVICES:
                wait_until(partial(self.ready, service), READY_S, f"{service} ready")
            for service, item in (("users", USER), ("products", PRODUCT)):
                wait_until(partial(self.create, service, item), READY_S, f"a first row of {service}")
                self.acknowledged[service] += 1

        except TimedOut as late:
            raise wrk.Failed(str(late)) from None

    def create(self, service: str, item: str) -> bool:
        """Create the first item, and return True when it is there. On a busy machine a new front door may refuse."""
        return self.post(service, json.loads(item), headers={"Idempotency-Key": "first"}).ok

    def remove(self) -> None:
        """Remove everything that was made."""
        self.compose("down", "-v", "--rmi", "local", "--remove-orphans", "--timeout", "1", check=False)

    def address(self, container: str) -> str:
        """Return the URL of a container of this project on this machine."""
        found = json.loads(self.docker("inspect", f"{self.project}-{container}-1"))[0]["NetworkSettings"]["Networks"]
        return f"http://{found[f'{self.project}_inside']['IPAddress']}:8000"

    def cpu_us(self) -> dict[str, float]:
        """Return the CPU time so far, in microseconds."""
        return sums({name: kernel.cpu_seconds(pid) * 1e6 for name, pid in self.pids.items()})

    def memory_mb(self) -> dict[str, float]:
        """Return the memory as `docker stats` counts it: without files that could be dropped."""
        printed = self.docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *self.pids)
        return sums({name: mb(used) for name, used, *_ in map(str.split, printed.splitlines())})

    def load(
        self, url: str, service: str, item: str, keyed: bool, settings: Settings, connections: int = CONNECTIONS
    ) -> Callable[[], Sample]:
        """Return a measurement by wrk: create items of a service at `url`."""

        def measure() -> Sample:
            before = self.cpu_us()
            sample = wrk.post(f"{url}/{service}", item, connections=connections, seconds=settings.seconds, keyed=keyed)
            taken = {name: used - before[name] for name, used in self.cpu_us().items()}
            self.acknowledged[service] += sample.requests
            return {
                "rate": sample.rate,
                "p50_ms": sample.p50_ms,
                "p99_ms": sample.p99_ms,
                "cpu_us.client": sample.own_cpu_s * 1e6 / sample.requests,
                **{f"cpu_us.{name}": used / sample.requests for name, used in taken.items()},
            }

        return measure

    def check_written(self) -> None:
        """Raise Failed where a service has fewer items than it acknowledged."""
        for service, acknowledged in self.acknowledged.items():
            count: tuple[str, ...] = ("exec", "-T", service, "python", "-c", COUNT.format(service))
            if self.replicas:
                sql = f"SELECT count(*) FROM {service}"
                count = ("exec", "-T", "database", "psql", "-XAt", "-U", "postgres", "-d", service, "-c", sql)
            if (there := int(self.compose(*count).stdout)) < acknowledged:
                raise wrk.Failed(f"{self.project}: {acknowledged} {service} were acknowledged, {there} are there")


def sums(figures: dict[str, float]) -> dict[str, float]:
    """Return the sums of the services, of the front doors and of the database, from figures of each container."""
    found: dict[str, float] = {}
    for name, figure in figures.items():
        part = "front doors" if "-front-" in name else "database" if "-database-" in name else "services"
        found[part] = found.get(part, 0.0) + figure
    return found


def mb(printed: str) -> float:
    """Return MB from a size as the engine prints it, such as `45.3MiB`."""
    number, unit = re.fullmatch(r"([\d.]+)(B|KiB|MiB|GiB)", printed).groups()  # type: ignore[union-attr]
    return float(number) * 1024.0 ** ("B", "KiB", "MiB", "GiB").index(unit) / 1e6


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Return the series of each load on each set, and the memory of each set before and after."""
    sqlite, one, three = sets = [Set(replicas) for replicas in (0, 1, 3)]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Set.start, sets))
        progress.did(START_S, "three sets run")
        named = {"SQLite": sqlite, "1 replica": one, "3 replicas": three}
        before = {name: each.memory_mb() for name, each in named.items()}
        targets = {}
        for kind, service, item, keyed in LOADS:
            places = {
                "SQLite": (sqlite, sqlite.address(service)),
                "1 replica, without front door": (one, one.address(service)),
                "1 replica": (one, one.address(f"{service}-front")),
                "3 replicas": (three, three.address(f"{service}-front")),
            }
            for name, (system, url) in places.items():
                targets[f"{kind}: {name}"] = system.load(url, service, item, keyed, settings)
        url = three.address("orders-front")
        targets[f"orders with keys: {THRICE}"] = three.load(url, "orders", ORDER, True, settings, 3 * CONNECTIONS)
        series = interleaved(targets, settings, progress)
        for each in named.values():
            each.check_written()
        after = {name: each.memory_mb() for name, each in named.items()}
        rows = {name: each.acknowledged.total() for name, each in named.items()}
        return {"series": series, "before_mb": before, "after_mb": after, "rows": rows, "engine": version(sqlite)}
    finally:
        for each in sets:
            each.remove()


def version(project: Composed) -> str:
    """Return the version of the engine."""
    return project.docker("version", "--format", "{{.Server.Version}}").strip()


THRICE = f"3 replicas, {3 * CONNECTIONS} connections"  # as many for each replica as the one has
LOADS = (
    ("orders with keys", "orders", ORDER, True),
    ("orders without keys", "orders", ORDER, False),
    ("users with keys", "users", USER, True),
)


def planned(settings: Settings) -> float:
    return START_S + settings.planned(4 * len(LOADS) + 1)


PARTS = (Part("postgres", "one and three replicas on PostgreSQL beside SQLite", run, planned, ("wrk", "docker")),)
