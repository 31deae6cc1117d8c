import json
from contextlib import closing
from typing import Any

import gevent
import pytest
from gevent.server import StreamServer
from geventhttpclient.response import HTTPConnectionClosed

from loadgen.audit.ledger import read
from loadgen.run.state import Run
from loadgen.settings import Settings
from loadgen.traffic.operation import Op, interpret
from loadgen.traffic.sender import RETRIES, Http, Result, Sender
from loadgen.traffic.workload import Workload

from ..conftest import Connect

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
        (CREATE, 422, [], "unknown"),
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
def test_accepts_only_a_promised_body_as_an_acknowledgement(op: Op, status: int, body: Any, outcome: str) -> None:
    assert interpret(op, status, {}, json.dumps(body).encode()).outcome == outcome


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"id": 9', b"\xff\xfe", b"[" * 100_000])
def test_takes_garbage_for_an_unknown_outcome(content: bytes) -> None:
    assert interpret(CREATE, 201, {}, content).outcome == "unknown"


def test_keeps_the_headers_that_matter() -> None:
    headers = {"idempotency-replayed": "true", "etag": '"3"', "location": "/users/9"}
    answer = interpret(CREATE, 201, headers, b'{"id": 9}')
    assert (answer.replayed, answer.etag, answer.location) == (True, '"3"', "/users/9")


@pytest.mark.parametrize("type_", ["/problems/duplicate-email", "https://shop.example/problems/duplicate-email"])
def test_reads_the_slug_of_a_problem_from_the_end_of_its_type(type_: str) -> None:
    assert interpret(CREATE, 409, {}, json.dumps({"type": type_}).encode()).problem == "duplicate-email"


def user(workload: Workload, email: str = "ada@example.com") -> Op:
    return workload.write_op("users", "create_user", {"name": "Ada", "email": email})


def test_writes_a_line_before_and_a_line_after_a_request(workload: Workload, connect: Connect) -> None:
    op = user(workload)
    answer = connect(None).send(op)
    _, sent, ended = read(workload.ledger.path)
    assert sent == op.sent("create_user") | {"try": 1}
    assert (ended["event"], ended["op"], ended["try"], ended["status"]) == ("ok", 1, 1, 201)
    assert ended["answer"] == answer.body
    assert ended["location"] == "/users/1"
    assert ended["ms"] > 0


def test_keeps_a_write_open_until_its_fate_is_known(workload: Workload, connect: Connect) -> None:
    sender = connect("drop_answers")
    ops = [user(workload, f"ada{n}@example.com") for n in range(7)]
    outcomes = [sender.send(op).outcome for op in ops]
    assert outcomes == ["ok"] * 6 + ["unknown"]
    assert list(workload.open.values()) == [ops[-1]]
    assert sender.send(ops[-1], "settle").replayed
    assert not workload.open
    assert (workload.tallies["users"].attempted, workload.tallies["users"].acknowledged) == (7, 7)


def test_a_service_that_does_not_listen_leaves_the_outcome_unknown(workload: Workload, tmp_path: Any) -> None:
    sender = Sender(workload, Settings.from_env({"USERS_URL": "http://127.0.0.1:1", "REPORT_DIR": str(tmp_path)}))
    answer = sender.send(user(workload))
    assert answer.outcome == "unknown"
    assert "refused" in str(answer.error)
    assert [line["event"] for line in read(workload.ledger.path)] == ["run", "sent", "unknown"]


def test_does_not_flood_a_service_that_closes_every_connection() -> None:
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
        assert len(asked) == 2 + RETRIES  # a write is sent once: a virtual user decides to send it again, with its key


def test_a_request_that_is_killed_is_unknown(workload: Workload, connect: Connect) -> None:
    sender = connect(None)
    sending = gevent.spawn(sender.send, op := user(workload))
    gevent.sleep(0)  # it begins
    sending.kill()
    *_, last = read(workload.ledger.path)
    assert (last["event"], last["error"]) == ("unknown", "stopped by the load generator")
    assert op.fate == "unknown"


def test_sends_nothing_that_the_ledger_cannot_hold(run: Run, workload: Workload, connect: Connect) -> None:
    sender = connect(None)
    workload.ledger.close()
    with pytest.raises(OSError, match="ledger"):
        sender.send(user(workload))
    assert run.flaws
    assert workload.budget.exhausted.is_set()
    status, _, content = sender.http["users"].request("GET", "/users")
    assert (status, json.loads(content)["items"]) == (200, [])


def test_reports_each_try_and_counts_an_expected_refusal_as_a_success(workload: Workload, connect: Connect) -> None:
    seen: list[Result] = []
    sender = connect(None)
    sender._ended = seen.append
    sender.send(user(workload, "eve@example.com"))
    sender.send(user(workload, "EVE@example.com"))
    sender.send(workload.write_op("users", "race_same_email", {"name": "Eve", "email": "eve@EXAMPLE.com"}, "any"))
    sender.send(workload.write_op("users", "invalid_user", {"name": "", "email": "x@example.com"}, "validation"))
    sender.send(workload.write_op("users", "invalid_user", {"name": "Max", "email": "x@example.com"}, "validation"))
    assert [(each.action, each.op.failure(each.answer)) for each in seen] == [
        ("create_user", None),
        ("create_user", "409 duplicate-email"),
        ("race_same_email", None),
        ("invalid_user", None),
        ("invalid_user", "201 instead of validation"),
    ]
