"""What is measured: systems of processes on loopback ports, each started, fed and stopped the same way."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import requests

SERVICES = ("users", "products", "orders")
START_S = 30


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class System:
    """Some services of one kind. `commands` maps a service to its command line, with {port} to be filled in."""

    name: str
    commands: dict[str, list[str]]
    directory: Path
    env: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> "System":
        """Start all, and wait until each accepts connections."""
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
        while time.monotonic() < deadline:
            if self.processes[service].poll() is not None:
                break
            try:
                requests.get(self.url(service), timeout=5)
                return
            except requests.ConnectionError:
                time.sleep(0.05)
        log = (self.directory / f"{service}.log").read_text()[-2000:]
        raise SystemExit(f"{self.name}: {service} did not start:\n{log}")

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def feed(self) -> None:
        """One user and one product, which every measured order names."""
        user = requests.post(f"{self.url('users')}/users", json={"name": "Ada", "email": "ada@example.com"}, timeout=10)
        product = requests.post(f"{self.url('products')}/products", json={"name": "Tea", "price": "19.99"}, timeout=10)
        if user.status_code not in (201, 409) or product.status_code != 201:
            raise SystemExit(f"{self.name}: the sample data was refused: {user.text} {product.text}")

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

    def resident(self) -> dict[str, float]:
        """Proportional set size of each service with all its processes, in MB: shared pages count once."""
        return {service: sum(map(_pss, _tree(process.pid))) / 1024 for service, process in self.processes.items()}


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(grandchild for child in children for grandchild in _tree(int(child)))]


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def gunicorn(app: str) -> list[str]:
    return [sys.executable, "-m", "gunicorn", "-c", "python:service_common.gunicorn_conf", app]


def threefold(directory: Path, **env: str) -> System:
    """This project's services, as `make run` starts them."""
    commands = {service: gunicorn(f"{service}_service.app:create_app()") for service in SERVICES}
    return System("threefold", commands, directory, env)


def tutorial(directory: Path) -> System:
    """Flask, gunicorn threads, a commit per order: see peers/tutorial.py."""
    start = [sys.executable, "-m", "gunicorn", "--threads", "64", "--log-level", "error", "-b", "127.0.0.1:{port}"]
    return System("tutorial", {s: [*start, f"bench.peers.tutorial:create_app('{s}')"] for s in SERVICES}, directory)


def fastapi(directory: Path) -> System:
    """FastAPI, uvicorn, uvloop, httpx, aiosqlite: see peers/fastapi_app.py."""
    start = [sys.executable, "-m", "uvicorn", "--port", "{port}", "--loop", "uvloop", "--log-level", "error"]
    return System("fastapi", {s: [*start, "bench.peers.fastapi_app:app"] for s in SERVICES}, directory)


def echo(directory: Path) -> System:
    """The ceiling of the stack: see peers/echo.py."""
    return System("echo", {"echo": gunicorn("bench.peers.echo:create_app()")}, directory)
