"""What is measured: systems of processes on loopback ports, each started, fed and stopped the same way."""

import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from . import proc
from .wrk import Failed

SERVICES = ("users", "products", "orders")
START_S = 30
STOP_S = 30
BATCH = 1000


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


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
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    acknowledged: Counter[str] = field(default_factory=Counter)  # items of each service, the sample data among them

    def start(self) -> "System":
        """Start all, and wait until each answers. Raises Failed."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ports = {service: free_port() for service in self.commands}
        urls = {f"{service.upper()}_URL": self.url(service) for service in self.commands}
        for service, command in self.commands.items():
            env = os.environ | urls | {"DATA_DIR": str(self.directory), "SERVICE": service} | self.env
            env["PORT"] = str(self.ports[service])
            with (self.directory / f"{service}.log").open("ab") as log:
                filled = [word.format(port=self.ports[service]) for word in command]
                self.processes[service] = subprocess.Popen(filled, env=env, stdout=log, stderr=log)
        for service in self.commands:
            self._await(service)
        return self

    def _await(self, service: str) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.processes[service].poll() is None:
            try:
                requests.get(self.url(service), timeout=5)
                return
            except (requests.ConnectionError, requests.Timeout):
                time.sleep(0.05)
        log = (self.directory / f"{service}.log").read_text()[-2000:]
        raise Failed(f"{self.name}: {service} did not start:\n{log}")

    def url(self, service: str) -> str:
        """Where a service is."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def collection(self, service: str) -> str:
        """Where its items are created."""
        return f"{self.url(service)}/{service}"

    def feed(self) -> None:
        """One user and one product, number 1 of each, which orders name. Raises Failed."""
        self._create("users", {"name": "Ada", "email": "ada@example.com"})
        self._create("products", {"name": "Tea", "price": "19.99"})

    def feed_many(self, count: int) -> None:
        """So many users and products, numbered from 1. Raises Failed."""
        for first in range(0, count, BATCH):
            numbers = range(first, min(first + BATCH, count))
            self._create(
                "users/batch", {"items": [{"name": "Ada", "email": f"{n}@example.com"} for n in numbers]}, len(numbers)
            )
            self._create(
                "products/batch", {"items": [{"name": "Tea", "price": "19.99"} for n in numbers]}, len(numbers)
            )

    def _create(self, path: str, item: dict[str, object], count: int = 1) -> None:
        service = path.partition("/")[0]
        answer = requests.post(f"{self.url(service)}/{path}", json=item, timeout=30)
        if not answer.ok or '"problem"' in answer.text:
            raise Failed(f"{self.name}: the sample data was refused: {answer.status_code} {answer.text[:500]}")
        self.acknowledged[service] += count

    def check_written(self) -> None:
        """Raises Failed where a service has fewer items than it acknowledged."""
        for service in SERVICES:
            if (asked := self.acknowledged[service]) and (there := self.rows(service)) < asked:
                raise Failed(f"{self.name}: {asked} {service} were acknowledged, {there} are there")

    def stop(self) -> None:
        """SIGTERM to all, and wait for their end."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each service so far, all its processes together."""
        return {service: proc.cpu_seconds(process.pid) for service, process in self.processes.items()}

    def resident_mb(self) -> dict[str, float]:
        """Memory of each service, all its processes together; a page that several share counts once."""
        return {service: proc.pss_mb(process.pid) for service, process in self.processes.items()}

    def path(self, service: str) -> Path:
        """Its database file."""
        return self.directory / self.database.format(service=service)

    def rows(self, service: str) -> int:
        """How many items a service has, counted in its file by another SQLite."""
        with sqlite3.connect(f"file:{self.path(service)}?mode=ro", uri=True) as db:
            return int(db.execute(f"SELECT count(*) FROM {service}").fetchone()[0])

    def journal_mode(self, service: str) -> str:
        """That of its file, as another SQLite reads it there."""
        with sqlite3.connect(f"file:{self.path(service)}?mode=ro", uri=True) as db:
            return str(db.execute("PRAGMA journal_mode").fetchone()[0])


@contextmanager
def running(*systems: System) -> Iterator[None]:
    """Start systems, and stop them whatever happens. At the end all that they acknowledged must be there.

    Raises:
        Failed: something is not.
    """
    try:
        for system in systems:
            system.start()
        yield
        for system in systems:
            system.check_written()
    finally:
        for system in systems:
            system.stop()


def gunicorn(app: str) -> list[str]:
    """The command line that starts an application as this project's are started."""
    return [sys.executable, "-m", "gunicorn", "-c", "python:service_common.gunicorn_conf", app]


def threefold(directory: Path, name: str = "threefold", services: tuple[str, ...] = SERVICES, **env: str) -> System:
    """This project's services, as `make run` starts them."""
    return System(
        name, {service: gunicorn(f"{service}_service.app:create_app()") for service in services}, directory, env
    )


def slowed(directory: Path, name: str, slowest_ms: float, **env: str) -> System:
    """This project's services on a disk whose syncs take `slowest_ms` milliseconds: see slow_disk_app.py."""
    commands = {service: gunicorn(f"bench.slow_disk_app:create_app('{service}')") for service in SERVICES}
    return System(name, commands, directory, {"SYNC_MS": str(slowest_ms)} | env)


def tutorial(directory: Path) -> System:
    """Flask, gunicorn threads, a commit per order: see peers/tutorial.py."""
    start = [sys.executable, "-m", "gunicorn", "--threads", "64", "--log-level", "error", "-b", "127.0.0.1:{port}"]
    commands = {service: [*start, f"bench.peers.tutorial:create_app('{service}')"] for service in SERVICES}
    return System("tutorial", commands, directory, database="tutorial-{service}.db")


def fastapi(directory: Path) -> System:
    """FastAPI, uvicorn, uvloop, httpx, aiosqlite: see peers/fastapi_app.py."""
    start = [sys.executable, "-m", "uvicorn", "--port", "{port}", "--loop", "uvloop", "--log-level", "error"]
    commands = {service: [*start, "bench.peers.fastapi_app:app"] for service in SERVICES}
    return System("fastapi", commands, directory, database="fastapi-{service}.db")


def echo(directory: Path) -> System:
    """The ceiling of the stack: see peers/echo.py."""
    return System("echo", {"echo": gunicorn("bench.peers.echo:create_app()")}, directory)
