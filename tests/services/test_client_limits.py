"""Limits on one client: connections, time, memory, descriptors, requests. Other clients are still served."""

import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import requests

from testbed import Fleet, Process, databases, wait_until

from .client import JSON, TIMEOUT_S, created, metric, new_user, post, refused, replies, rows
from .conftest import Alone

HEAD = b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
MIB = 1 << 20


def service(directory: Path, **env: str) -> Iterator[Process]:
    process = Process("users", "users_service.app:create_app()", directory, env).start()
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A users service with limits of half a second, one second for the next request, and enough users for a long list."""
    times = {f"{name}_TIMEOUT": "0.5" for name in ("HEADER", "BODY", "ANSWER")} | {"KEEPALIVE_TIMEOUT": "1"}
    for process in service(tmp_path_factory.mktemp("hasty"), **times):
        furnish(process)
        yield process


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A users service with room for 32 connections and four long bodies."""
    yield from service(tmp_path_factory.mktemp("small"), MAX_CONNECTIONS="32", MAX_HELD_BYTES=str(4 * MIB))


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A users service with default settings and enough users for a long list."""
    for process in service(tmp_path_factory.mktemp("furnished")):
        furnish(process)
        yield process


def furnish(users: Process) -> None:
    """Create enough users for a list that does not fit into the buffers of a connection."""
    name = "N" * 200
    items = [{"name": name, "email": f"{number}@example.com"} for number in range(1000)]
    assert post(users, {"items": items}, "/batch").status_code == 200


def connect(process: Process, sent: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
    """Return a connection that has sent `sent` and buffers little of the answer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(TIMEOUT_S)
    connection.bind((source, 0))
    connection.connect(("127.0.0.1", process.port))
    connection.sendall(sent)
    return connection


def read_all(connection: socket.socket) -> bytes:
    """Return what is received until the service closes or, after a complete answer, resets."""
    received = b""
    try:
        while piece := connection.recv(1 << 16):
            received += piece
    except ConnectionResetError:
        pass
    return received


def drip(connection: socket.socket, seconds: float) -> float:
    """Send a byte each 50 ms for at most `seconds`. Return the time until the service closed or answered."""
    began = time.monotonic()
    while time.monotonic() - began < seconds and connection.fileno() >= 0:
        try:
            connection.sendall(b"a")
            connection.settimeout(0.05)
            if connection.recv(1, socket.MSG_PEEK) is not None:
                break
        except TimeoutError:
            continue
        except OSError:
            break
    connection.settimeout(TIMEOUT_S)
    return time.monotonic() - began


def ended(process: Process, reason: str) -> float:
    return metric(process, "http_connections_ended_total", reason=reason)


def test_closes_a_connection_that_is_idle_for_too_long(hasty: Process) -> None:
    for sent, answers in ((b"", 0), (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", 1)):
        with closing(connect(hasty, sent)) as connection:
            began = time.monotonic()
            assert len(replies(read_all(connection))) == answers
            assert 0.5 < time.monotonic() - began < 4  # it is one second
    wait_until(lambda: ended(hasty, "idle") >= 2, what="the count of them")


def test_closes_a_connection_whose_headers_take_too_long(hasty: Process) -> None:
    with closing(connect(hasty, b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")) as connection:
        assert drip(connection, 10) < 5
        assert read_all(connection) == b""
    wait_until(lambda: ended(hasty, "headers") == 1, what="the count of it")


def test_refuses_a_body_that_takes_too_long_and_writes_nothing(hasty: Process) -> None:
    before = rows(hasty)
    for framing, start in (
        (b"Content-Length: 10000\r\n\r\n", b"{"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n{"),
    ):
        with closing(connect(hasty, HEAD + framing + start)) as connection:
            assert drip(connection, 10) < 5
            (answer,) = replies(read_all(connection))
            assert "did not arrive in time" in refused(answer, "malformed-body")["detail"]
    assert rows(hasty) == before
    wait_until(lambda: ended(hasty, "body") == 2, what="the count of them")


def test_resets_a_connection_whose_client_does_not_read_its_answer(hasty: Process) -> None:
    with closing(connect(hasty, b"GET /users?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n")) as connection:
        wait_until(lambda: ended(hasty, "answer") == 1, what="the end of it")
        assert len(read_all(connection)) < 200_000  # the rest of the answer was thrown away


def test_a_slow_reader_gets_its_whole_answer_within_the_limit(furnished: Process) -> None:
    asked = b"GET /users?limit=1000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with closing(connect(furnished, asked)) as connection:
        received = b""
        while piece := connection.recv(20_000):
            received += piece
            time.sleep(0.005)  # slowly
    (answer,) = replies(received)
    assert len(answer.json()["items"]) == 1000


@pytest.mark.parametrize("sent", [b"", b"GET /users HTTP/1.1\r\nHost", HEAD + b"Content-Length: 99\r\n\r\n{"])
def test_a_full_service_closes_the_longest_waiting_connections(small: Process, sent: bytes) -> None:
    before, room = rows(small), ended(small, "room")
    held = []
    for _ in range(100):
        held.append(connect(small, sent))
        assert created(small, new_user(), Connection="close")
    assert rows(small) == before + 100
    wait_until(lambda: ended(small, "room") - room >= 65, what="the count of evictions")
    with closing(held[0]) as longest, closing(held[-1]) as newest:
        answers = replies(read_all(longest))
        if sent.startswith(b"POST"):  # a request that has begun may be sent again: it is told so
            refused(answers[0], "overloaded")
        assert len(answers) == sent.startswith(b"POST")
        newest.setblocking(False)
        with pytest.raises(BlockingIOError):  # still waited for
            newest.recv(1)
    for connection in held:
        connection.close()


def test_closes_connections_of_the_most_crowded_address_first(small: Process) -> None:
    room = ended(small, "room")
    quiet = connect(small, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", source="127.0.0.2")
    crowd = [connect(small, source="127.0.0.3") for _ in range(200)]
    wait_until(lambda: ended(small, "room") - room >= 165, what="room")
    quiet.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert [answer.status_code for answer in replies(read_all(quiet))] == [200, 200]
    for connection in (quiet, *crowd):
        connection.close()


def test_limits_the_connections_of_one_address_when_that_is_set(alone: Alone) -> None:
    users = alone("users", MAX_CONNECTIONS_PER_CLIENT="4")
    asked = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    other = connect(users, source="127.0.0.2")
    own = [connect(users, source="127.0.0.3") for _ in range(20)]
    wait_until(lambda: ended(users, "client") == 16, what="the end of all but four")
    answered = 0
    for connection in (other, *own):
        with closing(connection), suppress(ConnectionError):
            connection.sendall(asked)
            answered += len(replies(read_all(connection)))
    assert answered == 5


def test_limits_the_bytes_held_and_closes_the_longest_stalled_connection(small: Process) -> None:
    before, memory = rows(small), small.resident_mb()
    stalled = HEAD + b"Content-Length: %d\r\n\r\n" % MIB + b" " * (MIB - 1)
    held = [connect(small, stalled, source="127.0.0.2") for _ in range(30)]
    body = json.dumps(new_user()).encode()
    wait_until(lambda: post(small, body.ljust(MIB)).status_code == 201, what="room for one more")
    wait_until(lambda: ended(small, "bytes") >= 1, what="the count of an eviction")
    assert small.resident_mb() - memory < 40
    assert rows(small) == before + 1
    refused(replies(read_all(held[0]))[0], "overloaded")
    for connection in held:
        connection.close()


def test_answers_overloaded_when_only_running_requests_hold_bytes(alone: Alone) -> None:
    users = alone("users", MAX_BODY_BYTES="20000", MAX_HELD_BYTES="20000")
    first, second = (json.dumps(new_user()).encode().ljust(15_000) for _ in range(2))
    sent = HEAD + b"Connection: close\r\nContent-Length: 15000\r\n\r\n" + first
    with databases.hold_writes(users), closing(connect(users, sent)) as running:  # so that it waits, with its bytes
        wait_until(lambda: metric(users, "http_held_bytes") == 15_000, what="the first to be read")
        refused(post(users, second), "overloaded")
        refused(replies(read_all(running))[0], "storage-unavailable")
    created(users, first)


def test_accepts_a_body_that_just_fits(alone: Alone) -> None:
    users = alone("users", MAX_BODY_BYTES="20000", MAX_HELD_BYTES="20000")
    created(users, json.dumps(new_user()).encode().ljust(20_000))
    chunks = iter([json.dumps(new_user()).encode().ljust(20_000)])
    answer = requests.post(f"{users.url}/users", data=chunks, headers=JSON, timeout=TIMEOUT_S)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("size", [3 * MIB, 50 * MIB])
def test_refuses_a_huge_body_without_reading_it_and_says_why(fleet: Fleet, size: int) -> None:
    refused(post(fleet.users, b" " * size), "body-too-large")
    pieces = (b" " * 65_536 for _ in range(size >> 16))
    refused(requests.post(f"{fleet.users.url}/users", data=pieces, headers=JSON, timeout=TIMEOUT_S), "body-too-large")
    assert created(fleet.users, new_user())  # over the connection of the first: it was told that this has closed


def test_refuses_a_body_in_thousands_of_chunks(fleet: Fleet) -> None:
    users = fleet.users
    framed = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    with closing(connect(users)) as connection:
        connection.sendall(framed + b"1\r\n \r\n" * 4095 + b"0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        refused(replies(read_all(connection))[0], "malformed-json")  # white space alone: it was read
    with closing(connect(users, framed + b"1\r\n \r\n" * 5000)) as connection:
        refused(replies(read_all(connection))[0], "malformed-body")


@pytest.mark.parametrize("size", [15_000, 20_000, 1_000_000])
def test_limits_the_size_of_request_headers(fleet: Fleet, size: int) -> None:
    users = fleet.users
    field = b"X-A: " + b"a" * 993 + b"\r\n"
    head = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + field * (size // 1000)
    with closing(connect(users)) as connection:
        try:
            connection.sendall(head + (b"\r\n" if size < 16_384 else b""))  # headers without an end must end too
        except OSError:
            assert size > 100_000
        answers = replies(read_all(connection))
    assert [answer.status_code for answer in answers] == [200 if size < 16_384 else 431]


def test_serves_newcomers_with_few_file_descriptors(tmp_path: Path) -> None:
    users = Process("users", "users_service.app:create_app()", tmp_path, {})
    users.start(wait=False)
    assert users.process is not None
    resource.prlimit(users.process.pid, resource.RLIMIT_NOFILE, (500, 500))  # before its worker asks for more
    try:
        wait_until(users.ready, what="users ready")
        held = [connect(users) for _ in range(700)]
        assert created(users, new_user(), Connection="close")
        assert "only 500 of" in users.logged()
        assert "Too many open files" not in users.logged()
        for connection in held:
            connection.close()
    finally:
        users.stop()


def test_limits_the_rate_of_each_address_but_not_probes(alone: Alone) -> None:
    users = alone("users", RATE_LIMIT="5/hour")
    answers = [requests.get(f"{users.url}/users/0", timeout=TIMEOUT_S) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [404] * 5 + [429] * 3
    problem = answers[-1].json()
    assert (problem["type"], problem["status"]) == ("/problems/rate-limited", 429)
    assert answers[-1].headers["Content-Type"] == "application/problem+json"
    assert problem["request_id"] == answers[-1].headers["X-Request-ID"]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 3600
    for path in ("/livez", "/readyz"):
        assert requests.get(users.url + path, timeout=TIMEOUT_S).status_code == 200
    with closing(
        connect(users, b"GET /users/0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "127.0.0.2")
    ) as other:
        assert replies(read_all(other))[0].status_code == 404


def test_does_not_limit_the_rate_of_exempt_networks(alone: Alone) -> None:
    users = alone("users", RATE_LIMIT="2/hour", RATE_LIMIT_EXEMPT="10.0.0.0/8 127.0.0.0/31")
    answers = [requests.get(f"{users.url}/users/0", timeout=TIMEOUT_S) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [404] * 6
    asked = b"GET /users/0 HTTP/1.1\r\nHost: x\r\n\r\n"
    with closing(
        connect(users, asked * 3 + asked.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), "127.0.0.2")
    ) as other:
        assert [reply.status_code for reply in replies(read_all(other))] == [404, 404, 429, 429]


@pytest.mark.parametrize("exempt", ["orders.inside", "localhost", "10.0.0.1/8", "10.0.0.0/8,127.0.0.1"])
def test_refuses_to_start_with_an_exemption_that_is_not_a_network(alone: Alone, exempt: str) -> None:
    users = alone("users", wait=False, RATE_LIMIT_EXEMPT=exempt)
    assert users.process is not None
    assert users.process.wait(30) != 0
    assert "RATE_LIMIT_EXEMPT: " in users.logged()
    assert "host names are not looked up" in users.logged()


@pytest.mark.parametrize("rate", ["many", "5", "5/fortnight", "-1/second"])
def test_refuses_to_start_with_a_rate_that_cannot_be_read(alone: Alone, rate: str) -> None:
    users = alone("users", wait=False, RATE_LIMIT=rate)
    assert users.process is not None
    assert users.process.wait(30) != 0
    assert "RATE_LIMIT" in users.logged()


def test_answers_small_requests_between_large_ones(furnished: Process) -> None:
    users = furnished
    over = threading.Event()
    statuses: list[int] = []

    def ask() -> None:
        while not over.is_set():
            statuses.append(requests.get(f"{users.url}/users?limit=1000", timeout=60).status_code)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            before = len(statuses)
            wait_until(lambda: len(statuses) > before, what="a list")  # noqa: B023
            began = time.monotonic()
            assert created(users, new_user())
            assert time.monotonic() - began < 2  # all the lists that wait take longer than that
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert 200 in statuses
    assert set(statuses) <= {200, 503}


def test_frees_a_refused_body_with_its_answer(furnished: Process) -> None:
    """An error that refers to itself by its traceback keeps the body until a garbage collection, which is rare."""
    long_text = b'"' + b"a" * (MIB - 2) + b'"'
    taken = json.dumps({"items": [{"name": "A", "email": "1@example.com"}] * 1000}).encode()
    wrong = json.dumps({"items": [{}] * 1000}).encode()
    bodies = [(long_text, "", 422), (wrong, "/batch", 200), (taken, "/batch", 200)]
    for body, path, status in bodies:
        assert post(furnished, body, path).status_code == status
    before = furnished.resident_mb()
    for body, path, _ in bodies:
        for _ in range(40):
            post(furnished, body, path)
        assert furnished.resident_mb() - before < 25
