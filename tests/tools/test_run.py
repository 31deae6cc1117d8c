"""`make run` and `make demo` end as the services promise, whatever ends them, and leave nothing behind."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from testbed import SERVICES, wait_until
from testbed.ports import free_port
from tools.run import REPEAT_S

ROOT = Path(__file__).parents[2]
HONCHO_S = 5  # after which a common supervisor kills; a request in flight has 12 s
BODY = json.dumps({"name": "Ada", "email": "ada@example.com"}).encode()
HEAD = (
    b"POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(BODY)
)


class Running:
    """`python -m tools.run`, started as make starts it, with ports and directories of its own."""

    def __init__(self, directory: Path, *arguments: str, terminal: bool = False, **env: str) -> None:
        self.directory = directory
        self.ports = {name: free_port() for name in SERVICES}
        self.env = os.environ | {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        self.env |= {"DATA_DIR": str(directory / "data"), "REPORT_DIR": str(directory / "reports"), **env}
        self.output = directory / "output"
        command = [sys.executable, "-m", "tools.run", *arguments]
        self.terminal = -1
        if terminal:
            self.pid, self.terminal = pty.fork()
            if self.pid == 0:
                os.chdir(ROOT)
                os.execve(command[0], command, self.env)
        else:
            with self.output.open("wb") as output:
                self.process = subprocess.Popen(
                    command, cwd=ROOT, env=self.env, stdout=output, stderr=output, start_new_session=True
                )
            self.pid = self.process.pid

    def url(self, name: str) -> str:
        return f"http://{self.env.get('BIND_ADDRESS', '127.0.0.1')}:{self.ports[name]}"

    def ready(self) -> bool:
        try:
            return all(requests.get(f"{self.url(name)}/readyz", timeout=2).ok for name in SERVICES)
        except requests.RequestException:
            return False

    def wait_until_ready(self) -> "Running":
        wait_until(self.ready, what="the services ready")
        return self

    def processes(self) -> set[int]:
        """Return the processes with this run's data directory in their environment, the supervisor included."""
        found = set()
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if f"DATA_DIR={self.directory}/data\0".encode() in environ.read_bytes():
                    found.add(int(environ.parent.name))
        return found

    def leader_of(self, name: str) -> int:
        """Return the gunicorn that watches over a service's worker."""
        for pid in self.processes():
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if f"{name}_service".encode() in command and os.getpgid(pid) == pid:
                return pid
        raise AssertionError(f"no gunicorn of {name}")

    def ended(self, timeout: float) -> int:
        """Wait for the end of the supervisor and of all that it started, and return its exit status."""
        status = self.process.wait(timeout)
        wait_until(lambda: not self.processes(), timeout=5, what="the end of all processes")
        return status

    def printed(self) -> str:
        return self.output.read_text()

    def checkpointed(self) -> bool:
        """Return True when every database was closed in order, which removes its log."""
        files = {path.name for path in (self.directory / "data").iterdir()}
        return {f"{name}.db" for name in SERVICES} <= files and not {name for name in files if "-wal" in name}

    def kill(self) -> None:
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    it = Running(tmp_path)
    yield it.wait_until_ready()
    it.kill()


@pytest.fixture
def half_sent(running: Running) -> Iterator[socket.socket]:
    """A request of which the last byte is still to come."""
    with socket.create_connection(("127.0.0.1", running.ports["users"]), 30) as connection:
        connection.sendall(HEAD + BODY[:-1])
        requests.get(f"{running.url('users')}/livez", timeout=5)  # so the first bytes have been read, too
        yield connection


def test_prints_the_urls_once_the_services_are_ready_and_ends_quietly(running: Running) -> None:
    wait_until(lambda: "Ready." in running.printed(), what="the line that says so")
    for name, port in running.ports.items():
        assert f"{name:<9} http://127.0.0.1:{port}\n" in running.printed()
    os.kill(running.pid, signal.SIGINT)
    assert running.ended(15) == 0
    assert running.printed().count("\n") == len(running.ports) + 1
    assert running.checkpointed()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_in_flight_is_answered_and_the_log_checkpointed(
    running: Running, half_sent: socket.socket, number: signal.Signals
) -> None:
    os.kill(running.pid, number)
    assert half_sent.getblocking()
    with pytest.raises(subprocess.TimeoutExpired):
        running.process.wait(HONCHO_S + 1)
    half_sent.sendall(BODY[-1:])
    assert half_sent.recv(12) == b"HTTP/1.1 201"
    assert running.ended(15) == 0
    assert running.checkpointed()


def test_ctrl_c_again_cuts_requests_off(running: Running, half_sent: socket.socket) -> None:
    began = time.monotonic()
    os.kill(running.pid, signal.SIGINT)
    wait_until(lambda: "Ctrl-C again" in running.printed(), what="the offer")
    os.kill(running.pid, signal.SIGINT)
    assert running.ended(8) == 0
    assert time.monotonic() - began < 8
    assert running.checkpointed()


def test_a_signal_that_comes_twice_at_once_is_one(running: Running, half_sent: socket.socket) -> None:
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(running.pid, number)
    with pytest.raises(subprocess.TimeoutExpired):
        running.process.wait(3)
    half_sent.sendall(BODY[-1:])
    assert half_sent.recv(12) == b"HTTP/1.1 201"
    assert running.ended(15) == 0


def test_nothing_outlives_a_supervisor_that_is_killed(running: Running) -> None:
    assert len(running.processes()) >= 7  # three services of two processes, and the supervisor
    os.kill(running.pid, signal.SIGKILL)
    assert running.ended(15) == -signal.SIGKILL
    wait_until(lambda: not running.processes(), timeout=15, what="the end of all processes")
    assert running.checkpointed()


def test_a_service_that_dies_ends_all_and_is_named(running: Running) -> None:
    os.kill(running.leader_of("products"), signal.SIGKILL)
    assert running.ended(20) == 1
    assert "The products service was ended by SIGKILL, so all were stopped." in running.printed()


def test_a_third_ctrl_c_kills(running: Running) -> None:
    os.kill(running.leader_of("orders"), signal.SIGSTOP)
    for _ in range(3):
        os.kill(running.pid, signal.SIGINT)
        time.sleep(REPEAT_S + 0.1)  # a Ctrl-C that comes sooner is the same one
    assert running.ended(5) == 0


def test_a_service_that_does_not_stop_in_time_is_killed_and_named(running: Running) -> None:
    os.killpg(running.leader_of("orders"), signal.SIGSTOP)
    os.kill(running.pid, signal.SIGTERM)
    assert running.ended(40) == 1
    assert running.printed().splitlines()[-1] == "Killed, because not stopped within 30 s: orders."


def test_closing_the_terminal_ends_everything(tmp_path: Path) -> None:
    running = Running(tmp_path, terminal=True).wait_until_ready()
    try:
        os.close(running.terminal)
        os.waitpid(running.pid, 0)
        wait_until(lambda: not running.processes(), timeout=15, what="the end of all processes")
        assert running.checkpointed()
    finally:
        running.kill()


def test_ctrl_c_on_a_terminal_ends_everything(tmp_path: Path) -> None:
    running = Running(tmp_path, terminal=True).wait_until_ready()
    try:
        os.write(running.terminal, b"\x03")
        drain(running.terminal)
        assert os.waitstatus_to_exitcode(os.waitpid(running.pid, 0)[1]) == 0
        assert not running.processes()
        assert running.checkpointed()
    finally:
        running.kill()


def test_services_that_listen_elsewhere_are_found(tmp_path: Path) -> None:
    demo = Running(tmp_path, "demo", BIND_ADDRESS="127.0.0.2", API_TOKEN="secret", LOADGEN_WRITES="300")
    try:
        assert demo.ended(60) == 0, demo.printed()
    finally:
        demo.kill()


def test_a_demo_ends_with_its_verdict(tmp_path: Path) -> None:
    demo = Running(tmp_path, "demo", LOADGEN_WRITES="300")
    try:
        assert demo.ended(60) == 0, demo.printed()
        after = demo.printed().partition("PASS")[2].splitlines()[1:]
        assert [line for line in after if str(tmp_path / "reports") not in line] == []
        assert "gunicorn" not in demo.printed()
        assert demo.checkpointed()
    finally:
        demo.kill()


def test_ctrl_c_in_a_demo_ends_the_load_and_judges_what_was_done(tmp_path: Path) -> None:
    demo = Running(tmp_path, "demo", LOADGEN_WRITES="1000000")
    try:
        wait_until(lambda: " of 1,000,000 writes" in demo.printed(), timeout=60, what="progress")
        os.kill(demo.pid, signal.SIGINT)
        assert demo.ended(60) == 0, demo.printed()
        assert "PASS" in demo.printed()
        assert demo.checkpointed()
    finally:
        demo.kill()


def test_a_service_that_dies_in_a_demo_leaves_no_verdict(tmp_path: Path) -> None:
    demo = Running(tmp_path, "demo", LOADGEN_WRITES="1000000")
    try:
        wait_until(lambda: " of 1,000,000 writes" in demo.printed(), timeout=60, what="progress")
        os.kill(demo.leader_of("users"), signal.SIGKILL)
        assert demo.ended(45) == 2
        assert demo.printed().splitlines()[-1].startswith("The users service was ended by SIGKILL, so all were")
        assert f"Its log is {tmp_path}/reports/users.log." in demo.printed()
    finally:
        demo.kill()


def test_two_equal_ports_are_refused_before_anything_starts(tmp_path: Path) -> None:
    refused = Running(tmp_path, ORDERS_PORT="8001", USERS_PORT="8001")
    assert refused.ended(10) == 2
    assert refused.printed() == "USERS_PORT and ORDERS_PORT are both 8001: set one of them to another port.\n"


def drain(terminal: int) -> None:
    """Read until the other end is closed."""
    with suppress(OSError):
        while os.read(terminal, 4096):
            pass
