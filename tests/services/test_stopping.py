"""A service that is told to stop answers what is under way, says that it closes, and is gone soon."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
import requests

from testbed import Process, databases, wait_until

from .client import TIMEOUT_S, Reply, created, log_lines, metric, new_user, replies, rows
from .conftest import Alone

BODY = b'{"name":"Ada","email":"last@example.com"}'
HEAD = b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(BODY)
PROBE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def kept_alive(process: Process) -> Iterator[socket.socket]:
    """A connection that has been answered once and is kept."""
    with closing(socket.create_connection(("127.0.0.1", process.port), TIMEOUT_S)) as connection:
        connection.sendall(PROBE)
        received = b""
        while b'"alive"}' not in received:
            received += connection.recv(4096)
        assert b"Connection: keep-alive" in received
        yield connection


def told_to_stop(process: Process) -> None:
    """Send SIGTERM, and wait until the worker has it."""
    assert process.process is not None
    process.process.terminate()
    wait_until(lambda: "Handling signal: term" in process.logged(), what="the signal")


def last_answer(connection: socket.socket) -> Reply:
    received = b""
    while piece := connection.recv(4096):
        received += piece
    (answer,) = replies(received)
    return answer


def test_answers_a_request_under_way_and_says_that_the_connection_closes(alone: Alone) -> None:
    users = alone("users")
    with kept_alive(users) as connection:
        with databases.hold_writes(users):
            connection.sendall(HEAD + b"\r\n" + BODY)
            time.sleep(0.2)  # the write waits for the lock
            told_to_stop(users)
        answer = last_answer(connection)
    assert (answer.status_code, answer.headers["Connection"]) == (201, "close")
    assert rows(users) == 1


@pytest.mark.parametrize(
    "cut", [10, len(HEAD), len(HEAD) + 10], ids=["in the headers", "before their end", "in the body"]
)
def test_answers_a_request_that_has_half_arrived(alone: Alone, cut: int) -> None:
    users = alone("users")
    sent = HEAD + b"\r\n" + BODY
    with kept_alive(users) as connection:
        connection.sendall(sent[:cut])
        time.sleep(0.1)  # the service has it
        told_to_stop(users)
        time.sleep(0.3)  # the worker has looked for connections to close
        connection.sendall(sent[cut:])
        answer = last_answer(connection)
    assert (answer.status_code, answer.headers["Connection"]) == (201, "close")


def test_says_that_a_connection_of_http_1_0_closes(alone: Alone) -> None:
    users = alone("users")
    sent = HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Connection: keep-alive\r\n\r\n" + BODY
    with closing(socket.create_connection(("127.0.0.1", users.port), TIMEOUT_S)) as connection:
        connection.sendall(sent[:-1])
        time.sleep(0.1)
        told_to_stop(users)
        connection.sendall(sent[-1:])
        assert last_answer(connection).headers["Connection"] == "close"


def test_idle_and_stalled_connections_do_not_delay_the_stop(alone: Alone) -> None:
    users = alone("users")
    with kept_alive(users), kept_alive(users) as stalled:
        stalled.sendall(b"GET /users HTTP/1.1\r\nHos")
        time.sleep(0.1)
        began = time.monotonic()
        assert users.stop() == 0
        assert time.monotonic() - began < 4


def test_answers_a_request_that_arrives_with_the_signal(alone: Alone) -> None:
    """The signal and the request arrive together, while the loop is kept from looking at either."""
    users = alone("users")
    assert users.process is not None
    (worker,) = children(users)
    with kept_alive(users) as connection:
        os.kill(worker, signal.SIGSTOP)
        os.kill(worker, signal.SIGTERM)
        connection.sendall(PROBE)
        os.kill(worker, signal.SIGCONT)
        assert last_answer(connection).status_code == 200


def test_serves_for_a_while_after_the_signal_where_it_is_told_to(alone: Alone) -> None:
    users = alone("users", STOP_DELAY="5")
    with kept_alive(users) as connection:
        assert metric(users, "service_draining") == 0
        began = time.monotonic()
        told_to_stop(users)
        wait_until(lambda: requests.get(f"{users.url}/readyz", timeout=TIMEOUT_S).status_code == 503, what="the worker")
        assert (metric(users, "service_draining"), metric(users, "service_ready")) == (1, 0)
        answer = requests.post(f"{users.url}/users", json=new_user(), timeout=TIMEOUT_S)
        assert (answer.status_code, answer.headers["Connection"]) == (201, "close")
        assert time.monotonic() - began < 5, "this machine is too slow to see anything"
        connection.sendall(HEAD + b"\r\n" + BODY)
        kept = last_answer(connection)
        assert (kept.status_code, kept.headers["Connection"]) == (201, "close")
    assert users.process is not None
    assert users.process.wait(20) == 0
    assert 5 <= time.monotonic() - began < 15
    assert rows(users) == 2


def children(process: Process) -> list[int]:
    """The workers of a service."""
    assert process.process is not None
    with open(f"/proc/{process.process.pid}/task/{process.process.pid}/children") as file:
        return [int(child) for child in file.read().split()]


# More workers than one cannot write one SQLite database.


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"GUNICORN_CMD_ARGS": "--workers 2"}, "GUNICORN_CMD_ARGS (--workers)"),
        ({"GUNICORN_CMD_ARGS": "-w 2"}, "GUNICORN_CMD_ARGS (--workers)"),
        ({"GUNICORN_CMD_ARGS": "--workers=0"}, "GUNICORN_CMD_ARGS (--workers)"),
        ({"WEB_CONCURRENCY": "2"}, "WEB_CONCURRENCY"),
        ({"GUNICORN_CMD_ARGS": "--preload"}, "GUNICORN_CMD_ARGS (--preload)"),
        ({"GUNICORN_CMD_ARGS": "-k sync"}, "GUNICORN_CMD_ARGS (--worker-class)"),
        ({"GUNICORN_CMD_ARGS": "--threads 4"}, ""),
        ({"GUNICORN_CMD_ARGS": "--workers 1", "WEB_CONCURRENCY": "4"}, ""),
    ],
)  # fmt: skip
def test_refuses_settings_of_gunicorn_that_sqlite_cannot_serve(
    alone: Alone, sqlite_only: None, env: dict[str, str], named: str
) -> None:
    users = alone("users", wait=not named, **env)
    if not named:
        created(users, new_user())
        return
    assert users.process is not None
    assert users.process.wait(10) == 3
    (said,) = [line for line in log_lines(users) if line["level"] == "critical"]
    assert said["message"].startswith(named)
    assert not any("Listening" in line["message"] for line in log_lines(users))
    assert not users.database.exists()


def test_ignores_and_logs_the_signal_that_asks_for_one_more_worker(alone: Alone, sqlite_only: None) -> None:
    users = alone("users")
    assert users.process is not None
    workers = children(users)
    for _ in range(3):
        os.kill(users.process.pid, signal.SIGTTIN)
        time.sleep(0.05)
    os.kill(users.process.pid, signal.SIGTTOU)
    wait_until(lambda: "SIGTTIN is ignored" in users.logged(), what="its line")
    wait_until(lambda: "Handling signal: ttou" in users.logged(), what="the other signal")
    created(users, new_user())
    assert children(users) == workers
