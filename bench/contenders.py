"""The contenders: systems of processes on loopback ports, each started, fed and stopped the same way."""

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests

from testbed import kernel, wait_until
from testbed.process import DidNotStart, Server, gunicorn, stop_all
from testbed.waiting import TimedOut

from .tools.wrk import Failed

SERVICES = ("users", "products", "orders")  # of the shop that every contender has
BATCH = 1000


@dataclass
class System:
    """Some services of one kind, a process tree each.

    `commands` maps a service to its command line, with {port} to be filled in; `env` is added to its environment.
    """

    name: str
    commands: dict[str, list[str]]
    directory: Path
    env: dict[str, str] = field(default_factory=dict)
    database: str = "{service}.db"  # the file's name in `directory`
    servers: dict[str, Server] = field(default_factory=dict)
    acknowledged: Counter[str] = field(default_factory=Counter)  # items of each service, sample data included

    def start(self) -> "System":
        """Start all, and wait until each answers. Raises Failed."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for service, command in self.commands.items():
            self.servers[service] = Server(service, command, self.directory, {})
        urls = {f"{service.upper()}_URL": server.url for service, server in self.servers.items()}
        for service, server in self.servers.items():
            server.env = urls | {"SERVICE": service} | self.env
            server.spawn()
        try:
            for service, server in self.servers.items():
                wait_until(server.answers, what=f"an answer of {service}")
        except (DidNotStart, TimedOut) as error:
            raise Failed(f"{self.name}: {error}") from None
        return self

    def url(self, service: str) -> str:
        """Return where a service is."""
        return self.servers[service].url

    def collection(self, service: str) -> str:
        """Return where items of a service are created."""
        return f"{self.url(service)}/{service}"

    def feed(self) -> None:
        """Create the one user and the one product, number 1 of each, that orders name. Raises Failed."""
        self._create("users", {"name": "Ada", "email": "ada@example.com"})
        self._create("products", {"name": "Tea", "price": "19.99"})

    def feed_many(self, count: int) -> None:
        """Create `count` users and products, numbered from 1. Raises Failed."""
        for first in range(0, count, BATCH):
            numbers = range(first, min(first + BATCH, count))
            users = [{"name": "Ada", "email": f"{n}@example.com"} for n in numbers]
            products = [{"name": "Tea", "price": "19.99"} for _ in numbers]
            self._create("users/batch", {"items": users}, len(numbers))
            self._create("products/batch", {"items": products}, len(numbers))

    def _create(self, path: str, item: dict[str, object], count: int = 1) -> None:
        service = path.partition("/")[0]
        answer = requests.post(f"{self.url(service)}/{path}", json=item, timeout=30)
        if not answer.ok or '"problem"' in answer.text:
            raise Failed(f"{self.name}: the sample data was refused: {answer.status_code} {answer.text[:500]}")
        self.acknowledged[service] += count

    def check_written(self) -> None:
        """Raise Failed where a service has fewer items than it acknowledged."""
        for service in SERVICES:
            if (asked := self.acknowledged[service]) and (there := self.rows(service)) < asked:
                raise Failed(f"{self.name}: {asked} {service} were acknowledged, {there} are there")

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds of each service so far, all its processes together."""
        return {service: kernel.cpu_seconds(server.pid) for service, server in self.servers.items()}

    def resident_mb(self) -> dict[str, float]:
        """Return the memory of each service, all its processes together; a shared page counts once."""
        return {service: kernel.pss_mb(server.pid) for service, server in self.servers.items()}

    def path(self, service: str) -> Path:
        """Return its database file."""
        return self.directory / self.database.format(service=service)

    def rows(self, service: str) -> int:
        """Count the items of a service in its file, with another SQLite."""
        with sqlite3.connect(f"file:{self.path(service)}?mode=ro", uri=True) as db:
            return int(db.execute(f"SELECT count(*) FROM {service}").fetchone()[0])

    def journal_mode(self, service: str) -> str:
        """Return the journal mode of its file, as another SQLite reads it there."""
        with sqlite3.connect(f"file:{self.path(service)}?mode=ro", uri=True) as db:
            return str(db.execute("PRAGMA journal_mode").fetchone()[0])


@contextmanager
def running(*systems: System) -> Iterator[None]:
    """Start systems, and stop them whatever happens. At the end, everything that they acknowledged must be there.

    Raises:
        Failed: something is missing.
    """
    try:
        for system in systems:
            system.start()
        yield
        for system in systems:
            system.check_written()
    finally:
        with suppress(subprocess.TimeoutExpired):  # a contender that had to be killed was measured all the same
            stop_all(server for system in systems for server in system.servers.values())


def threefold(directory: Path, name: str = "threefold", services: tuple[str, ...] = SERVICES, **env: str) -> System:
    """Return this project's services, started as `make run` does."""
    commands = {service: gunicorn(f"{service}_service.app:create_app()") for service in services}
    return System(name, commands, directory, env)


def slowed(directory: Path, name: str, slowest_ms: float, **env: str) -> System:
    """Return this project's services on a disk whose syncs take `slowest_ms` milliseconds: see slow_disk_app.py."""
    commands = {service: gunicorn(f"bench.slow_disk_app:create_app('{service}')") for service in SERVICES}
    return System(name, commands, directory, {"SYNC_MS": str(slowest_ms)} | env)


def tutorial(directory: Path) -> System:
    """Return the tutorial way: Flask, gunicorn threads, a commit per order. See peers/tutorial.py."""
    start = [sys.executable, "-m", "gunicorn", "--threads", "64", "--log-level", "error", "-b", "127.0.0.1:{port}"]
    commands = {service: [*start, f"bench.peers.tutorial:create_app('{service}')"] for service in SERVICES}
    return System("tutorial", commands, directory, database="tutorial-{service}.db")


def fastapi(directory: Path) -> System:
    """Return the shop in FastAPI, with uvicorn, uvloop, httpx and aiosqlite. See peers/fastapi_app.py."""
    start = [sys.executable, "-m", "uvicorn", "--port", "{port}", "--loop", "uvloop", "--log-level", "error"]
    commands = {service: [*start, "bench.peers.fastapi_app:app"] for service in SERVICES}
    return System("fastapi", commands, directory, database="fastapi-{service}.db")


def echo(directory: Path) -> System:
    """Return the ceiling of the stack: see peers/echo.py."""
    return System("echo", {"echo": gunicorn("bench.peers.echo:create_app()")}, directory)
