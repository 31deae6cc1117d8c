"""A service does not depend on whoever reads its log: a reader that stalls, closes or was never there costs no answer."""

import fcntl
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import requests

from testbed import Process, wait_until

from .client import created, log_lines, metric, new_user, send
from .test_stopping import children

SMALL_PIPE = 4096  # bytes
LONG_PATH = "/" + "%FF" * 256  # logged as 1.5 KB
Piped = Callable[[str], Process]


class PipedProcess(Process):
    """A service whose standard output and error are a pipe; `read` reads what is in it."""

    redirection = ""
    closed = False

    def start(self, wait: bool = True) -> Process:
        self.reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, SMALL_PIPE)
        os.set_blocking(self.reading, False)
        command = f"exec {sys.executable} -m gunicorn -c python:service_common.server.gunicorn_conf '{self.app}'"
        self.process = subprocess.Popen(
            ["sh", "-c", f"{command} {self.redirection}"], stdout=writing, stderr=writing, start_new_session=True,
            env=os.environ | {"DATA_DIR": str(self.directory), "PORT": str(self.port)} | self.env,
        )  # fmt: skip
        os.close(writing)
        wait_until(self.answers, what="ready")
        return self

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def close(self) -> None:
        """Close the reading end."""
        if not self.closed:
            self.closed = True
            os.close(self.reading)

    def read(self) -> bytes:
        received = b""
        with suppress(BlockingIOError):
            while piece := os.read(self.reading, 1 << 16):
                received += piece
        return received


@pytest.fixture
def piped(tmp_path: Path) -> Iterator[Piped]:
    started: list[PipedProcess] = []

    def start(redirection: str = "") -> Process:
        process = PipedProcess("users", "users_service.app:create_app()", tmp_path, {})
        process.redirection = redirection
        started.append(process)
        return process.start()

    yield start  # type: ignore[misc]
    for process in started:
        process.stop()
        process.close()


def test_a_reader_that_stalls_costs_no_answer_and_its_lines_are_counted(piped: Piped) -> None:
    users = piped("")
    assert isinstance(users, PipedProcess)
    slowest = 0.0
    for number in range(1200):
        began = time.monotonic()
        send(users, "GET", LONG_PATH)
        if number % 100 == 0:
            assert send(users, "GET", "/livez").status_code == 200
            created(users, new_user())
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 2
    dropped = metric(users, "log_lines_dropped_total")
    assert dropped > 100
    received = b""

    def read(text: bytes) -> int:
        nonlocal received
        received += users.read()
        return received.count(text)

    wait_until(lambda: read(b'"status":404') + dropped >= 1200, what="the lines that waited")
    send(users, "GET", "/users", X_Request_ID="after-the-stall")
    wait_until(lambda: read(b"after-the-stall"), what="the lines of now")
    for line in received.splitlines()[:-1]:
        assert json.loads(line)["service"] == "users"


def test_a_service_stops_in_time_when_nobody_reads_its_log(piped: Piped) -> None:
    users = piped("")
    for _ in range(100):
        send(users, "GET", LONG_PATH)
    began = time.monotonic()
    assert users.stop() == 0
    assert time.monotonic() - began < 5


def test_a_reader_that_closes_its_end_costs_no_answer(piped: Piped) -> None:
    users = piped("")
    assert isinstance(users, PipedProcess)
    users.close()
    for _ in range(50):
        created(users, new_user())
    wait_until(lambda: metric(users, "log_lines_dropped_total") >= 50, what="the count")
    assert users.stop() == 0


@pytest.mark.parametrize("redirection", [">&- 2>&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_cost_no_answer_and_no_data(piped: Piped, redirection: str) -> None:
    users = piped(redirection)
    ids = [created(users, new_user())["id"] for _ in range(20)]
    assert users.process is not None
    for pid in (users.process.pid, *children(users)):
        for descriptor in range(3):  # none of them may become a client's connection
            assert not os.readlink(f"/proc/{pid}/fd/{descriptor}").startswith(
                ("socket:", "anon_inode:", str(users.directory))
            )
    assert users.stop() == 0
    with closing(sqlite3.connect(users.database)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert [id for (id,) in database.execute("SELECT id FROM users ORDER BY id")] == ids


def test_what_is_printed_becomes_log_lines(tmp_path: Path) -> None:
    """gunicorn, gevent and Python print tracebacks; those must not block either."""
    (tmp_path / "printing.py").write_text(
        "import sys\n"
        "import gevent\n"
        "from users_service.app import create_app as create_users\n\n\n"
        "def create_app():\n"
        "    print('to standard output')\n"
        "    print('to standard error', file=sys.stderr)\n"
        "    gevent.spawn(lambda: 1 / 0)\n"
        "    return create_users()\n"
    )
    users = Process("users", "printing:create_app()", tmp_path, {"PYTHONPATH": f"{tmp_path}:."})
    try:
        users.start()
        lines = {(line.get("logger"), line["message"]) for line in log_lines(users)}
    finally:
        users.stop()
    assert ("stdout", "to standard output") in lines
    assert ("stderr", "to standard error") in lines
    assert ("stderr", "ZeroDivisionError: division by zero") in lines
