import json
from contextlib import closing
from typing import Any

import gevent
import pytest
from gevent.server import StreamServer
from geventhttpclient.response import HTTPConnectionClosed

from loadgen.client import RETRIES, Client, Http, interpret
from loadgen.ledger import Op, read
from loadgen.run import Run
from loadgen.settings import Settings

from .conftest import Connect

CREATE = Op(1, "users", "create_user", "POST", "/users", {"name": "Ada"})
BATCH = Op(1, "users", "batch_users", "POST", "/users/batch", {"items": [{}, {}]}, expects=["ok", "validation"])
GET = Op(1, "users", "read_own", "GET", "/users/9")
LIST = Op(1, "users", "browse", "GET", "/users?limit=20")
MADE = {"status": 201, "item": {"id": 9}}
REFUSED = {"status": 422, "problem": {"type": "/problems/validation"}}


@pytest.mark.parametrize(
    ("op", "status", "body", "outcome"),
    [
        (CREATE, 201, {"id": 9}, "ok"),
        (CREATE, 201, {}, "unknown"),
        (CREATE, 201, {"id": 0}, "unknown"),
        (CREATE, 201, {"id": True}, "unknown"),
        (CREATE, 201, {"id": "9"}, "unknown"),
        (CREATE, 201, [], "unknown"),
        (CREATE, 201, None, "unknown"),
        (CREATE, 422, [], "refused"),
        (BATCH, 200, {"results": [MADE, REFUSED]}, "ok"),
        (BATCH, 200, {"results": [MADE]}, "unknown"),
        (BATCH, 200, {"results": [MADE, {"status": 422}]}, "unknown"),
        (BATCH, 200, {"results": [{"status": 201, "item": {}}, REFUSED]}, "unknown"),
        (BATCH, 200, {"results": [MADE, None]}, "unknown"),
        (BATCH, 200, {"id": 9}, "unknown"),
        (GET, 200, {"id": 9}, "ok"),
        (GET, 404, {"type": "/problems/not-found"}, "refused"),
        (LIST, 200, {"items": []}, "ok"),
        (LIST, 200, {"items": None}, "unknown"),
    ],
)
def test_only_what_the_contract_promises_is_an_acknowledgement(op: Op, status: int, body: Any, outcome: str) -> None:
    assert interpret(op, status, {}, json.dumps(body).encode()).outcome == outcome


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"id": 9', b"\xff\xfe", b"[" * 100_000])
def test_garbage_is_unknown(content: bytes) -> None:
    assert interpret(CREATE, 201, {}, content).outcome == "unknown"


def test_what_the_headers_say_is_kept() -> None:
    headers = {"idempotency-replayed": "true", "etag": '"3"', "location": "/users/9"}
    answer = interpret(CREATE, 201, headers, b'{"id": 9}')
    assert (answer.replayed, answer.etag, answer.location) == (True, '"3"', "/users/9")


@pytest.mark.parametrize("type_", ["/problems/duplicate-email", "https://shop.example/problems/duplicate-email"])
def test_the_slug_of_a_problem_is_the_end_of_its_type(type_: str) -> None:
    assert interpret(CREATE, 409, {}, json.dumps({"type": type_}).encode()).problem == "duplicate-email"


def user(run: Run, email: str = "ada@example.com") -> Op:
    return run.write_op("users", "create_user", {"name": "Ada", "email": email})


def test_a_request_leaves_a_line_before_and_a_line_after(run: Run, connect: Connect) -> None:
    op = user(run)
    answer = connect(None).send(op)
    _, sent, ended = read(run.ledger.path)
    assert sent == op.sent("create_user") | {"try": 1}
    assert (ended["event"], ended["op"], ended["try"], ended["status"]) == ("ok", 1, 1, 201)
    assert ended["answer"] == answer.body
    assert ended["location"] == "/users/1"
    assert ended["ms"] > 0


def test_a_write_is_open_until_its_fate_is_known(run: Run, connect: Connect) -> None:
    client = connect("drop_answers")
    ops = [user(run, f"ada{n}@example.com") for n in range(7)]
    outcomes = [client.send(op).outcome for op in ops]
    assert outcomes == ["ok"] * 6 + ["unknown"]
    assert list(run.open.values()) == [ops[-1]]
    assert client.send(ops[-1], "settle").replayed
    assert not run.open
    assert (run.tallies["users"].attempted, run.tallies["users"].acknowledged) == (7, 7)


def test_a_service_that_does_not_listen_leaves_the_outcome_unknown(run: Run, tmp_path: Any) -> None:
    client = Client(run, Settings.from_env({"USERS_URL": "http://127.0.0.1:1", "REPORT_DIR": str(tmp_path)}))
    answer = client.send(user(run))
    assert answer.outcome == "unknown"
    assert "refused" in str(answer.error)
    assert [line["event"] for line in read(run.ledger.path)] == ["run", "sent", "unknown"]


def test_a_service_that_closes_every_connection_is_not_hammered() -> None:
    asked: list[bytes] = []

    def close(connection: Any, _address: Any) -> None:
        asked.append(connection.recv(1 << 16))

    with closing(StreamServer(("127.0.0.1", 0), close)) as server:
        server.start()
        http = Http(f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(HTTPConnectionClosed):
            http.request("GET", "/users/1")
        assert len(asked) == 1 + RETRIES
        with pytest.raises(HTTPConnectionClosed):
            http.request("POST", "/users", b"{}")
        assert len(asked) == 2 + RETRIES  # a write is sent once: who sends it again decides that, with its key


def test_a_request_that_is_killed_is_unknown(run: Run, connect: Connect) -> None:
    client = connect(None)
    sending = gevent.spawn(client.send, op := user(run))
    gevent.sleep(0)  # it begins
    sending.kill()
    *_, last = read(run.ledger.path)
    assert (last["event"], last["error"]) == ("unknown", "stopped by the generator")
    assert op.fate == "unknown"


def test_without_a_line_nothing_is_sent(run: Run, connect: Connect) -> None:
    client = connect(None)
    run.ledger.close()
    with pytest.raises(OSError, match="ledger"):
        client.send(user(run))
    assert run.flaws
    assert run.exhausted.is_set()
    status, _, content = client.http["users"].request("GET", "/users")
    assert (status, json.loads(content)["items"]) == (200, [])


def test_only_requests_of_the_load_are_measured(run: Run, connect: Connect) -> None:
    told: list[tuple[str, bool]] = []
    client = connect(None)
    client._tell = lambda **event: told.append((event["name"], event["exception"] is None))
    client.send(user(run))
    run.phase = "load"
    client.send(user(run, "eve@example.com"))
    client.send(user(run, "EVE@example.com"))
    client.send(run.write_op("users", "race_same_email", {"name": "Eve", "email": "eve@EXAMPLE.com"}, "any"))
    client.send(run.write_op("users", "invalid_user", {"name": "", "email": "x@example.com"}, "validation"))
    client.send(run.write_op("users", "invalid_user", {"name": "Max", "email": "x@example.com"}, "validation"))
    assert told == [
        ("create_user", True),
        ("create_user", False),
        ("race_same_email", True),
        ("invalid_user", True),
        ("invalid_user", False),
    ]
