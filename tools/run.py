"""`make run` and `make demo`: start the services, watch over them, and let them stop as they promise.

Ctrl-C, SIGTERM and a closed terminal (SIGHUP) stop everything. A service then finishes its requests in flight, writes
what is queued and checkpoints its log; gunicorn bounds that itself (`graceful_timeout`, 28 s). Ctrl-C again cuts
requests off, a third time it kills. In a demo the load generator is stopped first, since its audit reads the services.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NoReturn
from urllib.parse import urlsplit

from tools.preflight import SERVICES, complaint, setting, urls

PAUSE_S = 0.1  # between two looks at what changes without a signal
REPEAT_S = 0.5  # within which a second Ctrl-C is the first one, sent to the group and to the process
QUIET_S = 1.0  # a stop that takes longer is explained
AUDIT_S = 30.0  # that the load generator has after SIGTERM or SIGHUP; after Ctrl-C it has the time it needs
NO_VERDICT = 2
STOP = (signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL)  # for gunicorn: gracefully, at once, by force
STOP_LOAD = (signal.SIGINT, signal.SIGINT, signal.SIGKILL)
LOAD = "load generator"
GUNICORN = ["gunicorn", "-c", "python:service_common.server.gunicorn_conf", "--log-level", "warning"]


def stop_s() -> float:
    """Return the seconds a service may take to stop: a little more than gunicorn gives its worker."""
    with suppress(ValueError, OverflowError):
        delay = float(os.environ.get("STOP_DELAY") or 0)
        return 2 + delay + max(18 + int(float(os.environ.get("DRAIN_TIMEOUT") or 10)), 28)
    return 30  # the setting cannot be used, and the service will say so


def say(text: str, to: int = 2) -> None:
    """Write lines to a file descriptor; where nobody reads any more, such as a closed terminal, they are lost."""
    with suppress(OSError):
        os.write(to, f"{text}\n".encode())


def send(groups: Iterable[int], number: int) -> None:
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):  # macOS: of a group that has only ended processes
            os.killpg(group, number)


def lives(group: int) -> bool:
    """Return True when a process of the group is left, such as the worker of a killed gunicorn."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def runs(leader: subprocess.Popen[bytes]) -> bool:
    """Return True when a process of the leader's group is left."""
    leader.poll()
    return lives(leader.pid)


class Guard:
    """A process that stops what this one started, should this one be killed without a chance to do it."""

    def __init__(self) -> None:
        reader, self._writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._writer)
            self._watch(reader)
        os.close(reader)

    def add(self, group: int) -> None:
        os.write(self._writer, b"%d\n" % group)

    def dismiss(self) -> None:
        """Tell it that all has ended."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def _watch(self, reader: int) -> NoReturn:
        os.setsid()  # what is sent to the terminal's group is not for it
        with open(reader) as started:
            groups = [int(line) for line in started]  # until the end of the pipe, which is the end of its writer
        send(groups, signal.SIGTERM)
        deadline = time.monotonic() + stop_s()
        while any(map(lives, groups)) and time.monotonic() < deadline:
            time.sleep(PAUSE_S)
        send(groups, signal.SIGKILL)
        os._exit(0)


class Supervisor:
    """The services, in a demo also the load generator, each in a process group of its own."""

    def __init__(self, demo: bool) -> None:
        self.guard = Guard()
        self.events = SimpleQueue[int]()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda number, _: self.events.put(number))
        self.demo = demo
        self.logs = Path(os.environ.get("REPORT_DIR") or "reports")  # of the services, in a demo
        self.environ = os.environ | urls()
        if demo:
            self.logs.mkdir(parents=True, exist_ok=True)
            self.environ["ACCESS_LOG"] = os.environ.get("ACCESS_LOG") or "0"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.asked = 0  # how many times somebody asked to stop
        self.asked_at = 0.0
        self.deadline = float("inf")  # when the load generator is killed
        self.status = 0

    def run(self) -> int:
        """Start everything, wait until it has ended, and return the exit status."""
        for name, default in SERVICES.items():
            app = f"{name}_service.app:create_app()"
            self.start(name, [*GUNICORN, app], {"PORT": os.environ.get(setting(name)) or str(default)})
        if self.demo:
            self.start(LOAD, ["loadgen", "--headless"], {})
        else:
            self.announce()
        trouble = self.watch()
        if trouble and not self.demo:
            say(trouble)
        self.end()
        if trouble and self.demo:  # after the last word of the load generator
            say(trouble)
        self.guard.dismiss()
        return self.status

    def start(self, name: str, command: list[str], env: dict[str, str]) -> None:
        """Start a process. In a demo a service writes to a file, so that the verdict is what stays on the screen."""
        with open(self.logs / f"{name}.log" if self.demo and name != LOAD else os.devnull, "wb") as log:
            output = log if self.demo and name != LOAD else None
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command], env=self.environ | env, process_group=0,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        self.guard.add(self.processes[name].pid)

    def ended(self) -> dict[str, int]:
        """Return the exit statuses of ended processes by name, negative for a signal."""
        return {name: status for name, each in self.processes.items() if (status := each.poll()) is not None}

    def next_event(self, timeout: float | None = None) -> None:
        """Wait for a signal, and note if it asks to stop. The load generator gets it at once."""
        try:
            number = self.events.get(timeout=timeout)
        except Empty:
            return
        again = number == signal.SIGINT and time.monotonic() > self.asked_at + REPEAT_S
        if number == signal.SIGCHLD or (self.asked and not again):  # terminal, shell and make may each send one
            return
        self.asked += 1
        self.asked_at = time.monotonic()
        if self.demo and LOAD not in self.ended():
            send([self.processes[LOAD].pid], STOP_LOAD[min(self.asked, 3) - 1])
            if number != signal.SIGINT:
                self.deadline = time.monotonic() + AUDIT_S

    def announce(self) -> None:
        """Print where the services are, once all are ready."""
        waiting = set(urls().values())
        while waiting and not self.asked and not self.ended():
            waiting = {url for url in waiting if not ready(url)}
            self.next_event(PAUSE_S)
        if not waiting:
            lines = [f"{name.removesuffix('_URL').lower():<9} {url}" for name, url in urls().items()]
            say("\n".join([*lines, "Ready. Ctrl-C stops them."]), sys.stdout.fileno())

    def watch(self) -> str:
        """Wait until it is time to stop the services. Return the reason if a service has ended, otherwise nothing."""
        while not (ended := self.ended()):
            if self.asked and not self.demo:
                return ""
            if time.monotonic() > self.deadline:
                send([self.processes[LOAD].pid], signal.SIGKILL)
            self.next_event(PAUSE_S if self.deadline < float("inf") else None)
        name, status = next(iter(ended.items()))
        if name == LOAD:
            self.status = status if status >= 0 else NO_VERDICT
            return ""
        self.status = NO_VERDICT if self.demo else 1
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        where = f"Its log is {self.logs / name}.log" if self.demo else "See its last lines above"
        return f"The {name} service {how}, so all were stopped. {where}."

    def end(self) -> None:
        """Stop the processes that still run, wait for them, and kill those that do not stop in time."""
        sent, began, explained = 0, time.monotonic(), self.demo
        deadline = began + stop_s()
        while left := {name: each.pid for name, each in self.processes.items() if runs(each)}:
            if sent < max(self.asked, 1):
                sent = max(self.asked, 1)
                send(left.values(), STOP[min(sent, 3) - 1])
            if time.monotonic() > deadline:
                say(f"Killed, because not stopped within {stop_s():g} s: {', '.join(left)}.")
                send(left.values(), signal.SIGKILL)
                deadline, self.status = float("inf"), self.status or 1
            if not explained and time.monotonic() > began + QUIET_S:
                explained = True
                say("Stopping: requests in flight are finished first. Ctrl-C again cuts them off.")
            self.next_event(PAUSE_S)


def ready(url: str) -> bool:
    """Return True when the service at `url` is ready."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    if reason := complaint():
        say(reason)
        sys.exit(NO_VERDICT)
    sys.exit(Supervisor(demo=sys.argv[1:] == ["demo"]).run())
