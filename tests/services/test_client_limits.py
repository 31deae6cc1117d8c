"""What one client may hold of a service: connections, time, memory, descriptors, requests. The others are served."""

import json
import resource
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import requests

from ..fleet import Fleet, Process, wait_until
from ..system.clients import at_once
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
    """Users that wait half a second for anything, and one for the next request; there are enough for a long list."""
    times = {f"{name}_TIMEOUT": "0.5" for name in ("HEADER", "BODY", "ANSWER")} | {"KEEPALIVE_TIMEOUT": "1"}
    for process in service(tmp_path_factory.mktemp("hasty"), **times):
        furnish(process)
        yield process


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Users with room for 32 connections, and for four long bodies."""
    yield from service(tmp_path_factory.mktemp("small"), MAX_CONNECTIONS="32", MAX_HELD_BYTES=str(4 * MIB))


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Users as they are by default, with enough of them for a long list."""
    for process in service(tmp_path_factory.mktemp("furnished")):
        furnish(process)
        yield process


def furnish(users: Process) -> None:
    """Users enough for a list that does not fit into what a connection buffers."""
    name = "N" * 200
    items = [{"name": name, "email": f"{number}@example.com"} for number in range(1000)]
    assert post(users, {"items": items}, "/batch").status_code == 200


def connect(process: Process, sent: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
    """A connection that has sent `sent`; it takes in little of what is answered before that is read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(TIMEOUT_S)
    connection.bind((source, 0))
    connection.connect(("127.0.0.1", process.port))
    connection.sendall(sent)
    return connection


def read_all(connection: socket.socket) -> bytes:
    """What is received until the other side closes, or resets, which may follow an answer that is complete."""
    received = b""
    try:
        while piece := connection.recv(1 << 16):
            received += piece
    except ConnectionResetError:
        pass
    return received


def drip(connection: socket.socket, seconds: float) -> float:
    """Send a byte each 50 ms for at most `seconds`; how long it took until the other side had enough."""
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


def test_a_connection_may_wait_so_long_for_its_next_request_and_no_longer(hasty: Process) -> None:
    for sent, answers in ((b"", 0), (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", 1)):
        with closing(connect(hasty, sent)) as connection:
            began = time.monotonic()
            assert len(replies(read_all(connection))) == answers
            assert 0.5 < time.monotonic() - began < 4  # it is one second
    wait_until(lambda: ended(hasty, "idle") >= 2, what="the count of them")


def test_a_head_that_comes_byte_by_byte_is_given_up(hasty: Process) -> None:
    with closing(connect(hasty, b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")) as connection:
        assert drip(connection, 10) < 5
        assert read_all(connection) == b""
    wait_until(lambda: ended(hasty, "head") == 1, what="the count of it")


def test_a_body_that_comes_byte_by_byte_is_given_up_and_nothing_written(hasty: Process) -> None:
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


def test_who_does_not_read_an_answer_is_not_waited_for(hasty: Process) -> None:
    with closing(connect(hasty, b"GET /users?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n")) as connection:
        wait_until(lambda: ended(hasty, "answer") == 1, what="the end of it")
        assert len(read_all(connection)) < 200_000  # what is left of the answer was thrown away, not kept for it


def test_who_reads_an_answer_slowly_but_in_time_gets_it_whole(furnished: Process) -> None:
    asked = b"GET /users?limit=1000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with closing(connect(furnished, asked)) as connection:
        received = b""
        while piece := connection.recv(20_000):
            received += piece
            time.sleep(0.005)  # slowly
    (answer,) = replies(received)
    assert len(answer.json()["items"]) == 1000


@pytest.mark.parametrize("sent", [b"", b"GET /users HTTP/1.1\r\nHost", HEAD + b"Content-Length: 99\r\n\r\n{"])
def test_where_all_connections_are_taken_those_that_wait_longest_give_way(small: Process, sent: bytes) -> None:
    before, room = rows(small), ended(small, "room")
    held = []
    for _ in range(100):
        held.append(connect(small, sent))
        assert created(small, new_user(), Connection="close")
    assert rows(small) == before + 100
    wait_until(lambda: ended(small, "room") - room >= 65, what="the count of those that gave way")
    with closing(held[0]) as longest, closing(held[-1]) as newest:
        assert all(answer.status_code == 400 for answer in replies(read_all(longest)))
        newest.setblocking(False)
        with pytest.raises(BlockingIOError):  # still waited for
            newest.recv(1)
    for connection in held:
        connection.close()


def test_the_crowd_of_one_address_gives_way_before_the_others(small: Process) -> None:
    room = ended(small, "room")
    quiet = connect(small, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", source="127.0.0.2")
    crowd = [connect(small, source="127.0.0.3") for _ in range(200)]
    wait_until(lambda: ended(small, "room") - room >= 165, what="room")
    quiet.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert [answer.status_code for answer in replies(read_all(quiet))] == [200, 200]
    for connection in (quiet, *crowd):
        connection.close()


def test_one_address_may_have_so_many_connections_when_that_is_set(alone: Alone) -> None:
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


def test_bytes_that_clients_hold_are_bounded_and_who_holds_longest_gives_way(small: Process) -> None:
    before, memory = rows(small), small.resident_mb()
    stalled = HEAD + b"Content-Length: %d\r\n\r\n" % MIB + b" " * (MIB - 1)
    held = [connect(small, stalled, source="127.0.0.2") for _ in range(30)]
    body = json.dumps(new_user()).encode()
    wait_until(lambda: post(small, body.ljust(MIB)).status_code == 201, what="room for one more")
    wait_until(lambda: ended(small, "bytes") >= 1, what="the count of one that gave way")
    assert small.resident_mb() - memory < 40
    assert rows(small) == before + 1
    for connection in held:
        connection.close()


def test_a_body_for_which_there_is_no_room_while_another_is_worked_on_is_overload(alone: Alone) -> None:
    users = alone("users", MAX_BODY_BYTES="20000", MAX_HELD_BYTES="20000")
    bodies = [json.dumps(new_user()).encode().ljust(15_000) for _ in range(2)]
    with closing(sqlite3.connect(users.database, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")  # so that the first waits, with its bytes
        answers = at_once(2, lambda number: post(users, bodies[number]))
    first, second = sorted(answers, key=lambda answer: str(answer.json()["type"]))
    refused(first, "overloaded")
    refused(second, "storage-unavailable")
    created(users, bodies[0])


def test_a_body_for_which_there_is_just_room_is_taken(alone: Alone) -> None:
    users = alone("users", MAX_BODY_BYTES="20000", MAX_HELD_BYTES="20000")
    created(users, json.dumps(new_user()).encode().ljust(20_000))
    chunks = iter([json.dumps(new_user()).encode().ljust(20_000)])
    answer = requests.post(f"{users.url}/users", data=chunks, headers=JSON, timeout=TIMEOUT_S)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("size", [3 * MIB, 50 * MIB])
def test_a_body_that_is_refused_is_not_read_to_its_end_and_its_client_hears_why(fleet: Fleet, size: int) -> None:
    refused(post(fleet.users, b" " * size), "body-too-large")
    pieces = (b" " * 65_536 for _ in range(size >> 16))
    refused(requests.post(f"{fleet.users.url}/users", data=pieces, headers=JSON, timeout=TIMEOUT_S), "body-too-large")
    assert created(fleet.users, new_user())  # over the connection of the first: it was told that this has closed


def test_a_body_in_thousands_of_chunks_is_refused(fleet: Fleet) -> None:
    users = fleet.users
    framed = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    with closing(connect(users)) as connection:
        connection.sendall(framed + b"1\r\n \r\n" * 4095 + b"0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        refused(replies(read_all(connection))[0], "malformed-json")  # white space alone: it was read
    with closing(connect(users, framed + b"1\r\n \r\n" * 5000)) as connection:
        refused(replies(read_all(connection))[0], "malformed-body")


@pytest.mark.parametrize("size", [15_000, 20_000, 1_000_000])
def test_a_head_has_a_size_that_it_may_not_exceed(fleet: Fleet, size: int) -> None:
    users = fleet.users
    field = b"X-A: " + b"a" * 993 + b"\r\n"
    head = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + field * (size // 1000)
    with closing(connect(users)) as connection:
        try:
            connection.sendall(head + (b"\r\n" if size < 16_384 else b""))  # a head without an end must end too
        except OSError:
            assert size > 100_000
        answers = replies(read_all(connection))
    assert [answer.status_code for answer in answers] == [200 if size < 16_384 else 431]


def test_with_few_file_descriptors_fewer_connections_are_served_and_newcomers_still_are(tmp_path: Path) -> None:
    users = Process("users", "users_service.app:create_app()", tmp_path, {})
    users.start(wait=False)
    assert users.process is not None
    resource.prlimit(users.process.pid, resource.RLIMIT_NOFILE, (500, 500))  # long before its worker asks for more
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


def test_a_rate_is_kept_for_each_address_and_probes_are_answered(alone: Alone) -> None:
    users = alone("users", RATE_LIMIT="5/hour")
    answers = [requests.get(f"{users.url}/users/0", timeout=TIMEOUT_S) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [404] * 5 + [429] * 3
    problem = answers[-1].json()
    assert (problem["type"], problem["status"]) == ("/problems/too-many-requests", 429)
    assert answers[-1].headers["Content-Type"] == "application/problem+json"
    assert problem["request_id"] == answers[-1].headers["X-Request-ID"]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 3600
    for path in ("/livez", "/readyz"):
        assert requests.get(users.url + path, timeout=TIMEOUT_S).status_code == 200
    with closing(
        connect(users, b"GET /users/0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "127.0.0.2")
    ) as other:
        assert replies(read_all(other))[0].status_code == 404


def test_a_rate_is_not_for_hosts_that_are_exempt(alone: Alone) -> None:
    users = alone("users", RATE_LIMIT="2/hour", RATE_LIMIT_EXEMPT="nowhere.invalid a..b localhost")
    answers = [requests.get(f"{users.url}/users/0", timeout=TIMEOUT_S) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [404] * 6
    asked = b"GET /users/0 HTTP/1.1\r\nHost: x\r\n\r\n"
    with closing(
        connect(users, asked * 3 + asked.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), "127.0.0.2")
    ) as other:
        assert [reply.status_code for reply in replies(read_all(other))] == [404, 404, 429, 429]


@pytest.mark.parametrize("rate", ["many", "5", "5/fortnight", "-1/second"])
def test_a_rate_that_cannot_be_read_is_named(alone: Alone, rate: str) -> None:
    users = alone("users", wait=False, RATE_LIMIT=rate)
    assert users.process is not None
    assert users.process.wait(30) != 0
    assert "RATE_LIMIT" in users.logged()


def test_large_requests_are_worked_on_a_few_at_a_time_and_the_others_between(furnished: Process) -> None:
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


def test_what_was_refused_is_freed_with_its_answer(furnished: Process) -> None:
    """An error whose traceback leads to itself keeps the body until a garbage collection, which is seldom."""
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
