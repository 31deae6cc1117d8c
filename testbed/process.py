"""Servers as real processes on free ports of loopback."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import requests

from . import databases, kernel
from .ports import free_port
from .services import ROOT
from .waiting import wait_until

STOP_S = 30.0  # seconds between SIGTERM and SIGKILL
LOG_SHOWN = 2000  # characters of a log that an error message quotes
LOG_DELAY_S = 0.1  # seconds; a line that a busy service leaves to its thread waits for 40 ms at most


class DidNotStart(AssertionError):
    """A server ended before it was ready; the message quotes its log."""


class Server:
    """A server that is started by a command and tells nobody its port.

    `{port}` in `command` is filled in. The environment is this process's, then PORT and DATA_DIR, then `env`. Output
    goes to a file in `directory`.
    """

    def __init__(
        self, service: str, command: Sequence[str], directory: Path, env: dict[str, str], root: Path = ROOT
    ) -> None:
        self.service = service
        self.command = command
        self.directory = directory
        self.env = env
        self.root = root  # the checkout whose code it runs
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / f"{service}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the command."""
        assert self.process is not None, f"{self.service} was not started"
        return self.process.pid

    def spawn(self) -> None:
        """Start it, without waiting."""
        directory = self.directory.resolve()
        environ = os.environ | {"DATA_DIR": str(directory), "PORT": str(self.port)} | self.env
        command = [word.replace("{port}", str(self.port)) for word in self.command]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.root, env=environ, stdout=log, stderr=log, start_new_session=True
            )

    def answers(self) -> bool:
        """Return True when it answers a request, whatever it says.

        Raises:
            DidNotStart: the process has ended.
        """
        return self._get("/") is not None

    def _get(self, path: str) -> int | None:
        """Return the status of an answer, None without one. Raises DidNotStart."""
        if self.process is None or self.process.poll() is not None:
            raise DidNotStart(f"{self.service} did not start:\n{self.logged()[-LOG_SHOWN:]}")
        try:
            return requests.get(f"{self.url}{path}", timeout=5).status_code
        except requests.RequestException:
            return None

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group, for example to gunicorn and its worker."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)

    def stop(self) -> int:
        """End it by SIGTERM and return its exit status.

        Raises:
            subprocess.TimeoutExpired: it did not end in time, and was killed.
        """
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def logged(self) -> str:
        """Return its log so far, after the time in which a service writes the lines of what it has done."""
        time.sleep(LOG_DELAY_S)
        return self.log.read_text()


class Process(Server):
    """One of this project's services under gunicorn, started as users start it."""

    def __init__(self, service: str, app: str, directory: Path, env: dict[str, str], root: Path = ROOT) -> None:
        super().__init__(service, gunicorn(app), directory, env, root)
        self.app = app

    def spawn(self) -> None:
        """Start it, without waiting, on its database: see databases.py."""
        self.env = databases.environment(self.directory, self.service) | self.env
        super().spawn()

    @property
    def database(self) -> Path:
        """Its database file."""
        return self.directory / f"{self.service}.db"

    def start(self, wait: bool = True) -> "Process":
        """Start it. If `wait`, return when it is ready."""
        self.spawn()
        if wait:
            wait_until(self.ready, what=f"{self.service} ready")
        return self

    def ready(self) -> bool:
        """Return True when /readyz answers 200. Raises DidNotStart."""
        return self._get("/readyz") == 200

    def resident_mb(self) -> float:
        """Return the memory of gunicorn and its worker."""
        return kernel.resident_mb(self.pid)

    def peak_mb(self) -> float:
        """Return the most memory that gunicorn or its worker has ever had."""
        return kernel.peak_mb(self.pid)


def gunicorn(app: str) -> list[str]:
    """Return the command line that starts an application as this project's are started."""
    return [sys.executable, "-m", "gunicorn", "-c", "python:service_common.server.gunicorn_conf", app]


def stop_all(servers: Iterable[Server]) -> None:
    """Stop servers at the same time. Raises subprocess.TimeoutExpired when all have ended: one had to be killed."""
    started = [server for server in servers if server.process is not None]
    for server in started:
        assert server.process is not None
        if server.process.poll() is None:
            server.signal(signal.SIGCONT)  # a process that was paused by SIGSTOP would not see SIGTERM
            server.process.terminate()
    killed = None
    for server in started:
        try:
            server.stop()
        except subprocess.TimeoutExpired as late:
            killed = late
    if killed:
        raise killed
