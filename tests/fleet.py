"""The services as real processes on free ports of loopback, each with a database file of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

START_S = 30
SERVICES = ("users", "products", "orders")


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until(condition: Any, timeout: float = START_S, what: str = "the condition") -> Any:
    """Poll until `condition` returns something true, and return that; fail loudly after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.02)  # a poll's pause, not a guess at how long something takes
    raise AssertionError(f"{what} did not come true within {timeout} s")


class Process:
    """One service under gunicorn, started as users start it; its output goes to a file."""

    def __init__(self, service: str, app: str, directory: Path, env: dict[str, str]) -> None:
        self.service = service
        self.app = app
        self.directory = directory
        self.env = env
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / f"{service}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def database(self) -> Path:
        return self.directory / f"{self.service}.db"

    def start(self, wait: bool = True) -> "Process":
        """Start it, and unless told otherwise wait until it is ready."""
        environ = os.environ | {"DATA_DIR": str(self.directory), "PORT": str(self.port)} | self.env
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", "python:service_common.gunicorn_conf", self.app],
                env=environ, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        if wait:
            wait_until(self.ready, what=f"{self.service} ready")
        return self

    def ready(self) -> bool:
        """Whether /readyz answers 200; fails at once when the process has ended."""
        assert self.process is not None
        assert self.process.poll() is None, f"{self.service} ended:\n{self.log.read_text()[-2000:]}"
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group: gunicorn and its worker."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """kill -9, as a crash would."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM to gunicorn, and its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def resident_mb(self) -> float:
        """Memory of gunicorn and its worker."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in [self.process.pid, *children])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def peak_mb(self) -> float:
        """The most memory that gunicorn or its worker has ever had."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        states = [Path(f"/proc/{pid}/status").read_text() for pid in [self.process.pid, *children]]
        return max(int(state.partition("VmHWM:")[2].split()[0]) for state in states) / 1e3

    def logged(self) -> str:
        return self.log.read_text()


class Fleet:
    """users, products and orders together; `apps` names another application for a service."""

    def __init__(self, directory: Path, apps: dict[str, str] | None = None, env: dict[str, str] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        env = env or {}
        named = {name: f"{name}_service.app:create_app()" for name in SERVICES} | (apps or {})
        self.users, self.products = (Process(name, named[name], directory, env) for name in ("users", "products"))
        urls = {"USERS_URL": self.users.url, "PRODUCTS_URL": self.products.url}
        self.orders = Process("orders", named["orders"], directory, env | urls)
        self.all = (self.users, self.products, self.orders)

    def start(self) -> "Fleet":
        for process in self.all:
            process.start(wait=False)
        for process in self.all:
            wait_until(process.ready, what=f"{process.service} ready")
        return self

    def stop(self) -> None:
        for process in self.all:
            if process.process is not None and process.process.poll() is None:
                process.signal(signal.SIGCONT)
                process.process.terminate()
        for process in self.all:
            if process.process is not None:
                process.stop()

    def urls(self) -> dict[str, str]:
        """The environment that tells the load generator where the services are."""
        return {f"{process.service.upper()}_URL": process.url for process in self.all}
