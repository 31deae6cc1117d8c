"""The judge reaches a verdict, whatever a service answers and lists."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadgen.audit.judge import FAIL, NO_VERDICT, audit
from loadgen.audit.ledger import Ledger, read
from loadgen.traffic.operation import Answer, Op, interpret

from ..loadgen.histories import Json, clean

TEXTS = st.text(max_size=6) | st.sampled_from(
    ["\ud800", "a\udfffb", "\x00", "19.99", "0.5", "a@b", "/problems/validation"]
)
NUMBERS = st.integers() | st.sampled_from([2**63, -(10**40), 201, 422]) | st.floats()
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    ["id", "name", "email", "price", "user_id", "product_id", "quantity", "product_name", "unit_price", "total", "type"]
)
ROWS = st.dictionaries(FIELDS, VALUES, max_size=8) | st.builds(
    lambda row, number: row | {"id": number}, st.dictionaries(FIELDS, VALUES, max_size=8), st.integers(1, 5)
)
RESULTS = st.fixed_dictionaries(
    {"status": st.sampled_from([201, 422, 500]) | NUMBERS},
    optional={"item": ROWS | VALUES, "problem": st.dictionaries(FIELDS, VALUES, max_size=3) | VALUES},
)
BODIES = ROWS | VALUES | st.fixed_dictionaries({"results": st.lists(RESULTS, min_size=1, max_size=3)})
STATUS = st.sampled_from([200, 201, 302, 409, 422, 500, 503])
SENT: list[tuple[str, str, Any, Any]] = [
    ("users", "POST", {"name": "Ada", "email": "a@b"}, "ok"),
    ("products", "POST", {"name": "Tea", "price": "1.00"}, "ok"),
    ("orders", "POST", {"user_id": 1, "product_id": 1, "quantity": 5}, "ok"),
    ("users", "POST", {"items": [{}, {"name": "Ada", "email": "c@d"}]}, ["validation", "ok"]),
    ("products", "PATCH", {"price": "2.00"}, "any"),
]
HEADERS = st.dictionaries(st.sampled_from(["etag", "location", "idempotency-replayed"]), TEXTS)
paths = itertools.count()


def ended(op: Op, answer: Answer) -> Json:
    """Return the ledger line about an answer, as the sender writes it."""
    line = {"event": answer.outcome, "op": op.number, "try": 1, "action": op.action, "ms": 1.0, "error": answer.error}
    return line | {
        "status": answer.status, "problem": answer.problem, "replayed": answer.replayed, "etag": answer.etag,
        "location": answer.location, "answer": answer.body,
    }  # fmt: skip


def told(directory: Path, answers: list[tuple[int, Json, bytes]], found: list[Json]) -> int:
    """Return the verdict on a history with these answers, where these rows are listed."""
    history = clean()
    ledger = Ledger(directory / f"{next(paths)}.jsonl")
    for line in history.lines:
        ledger.write(line)
    for number, ((service, method, body, expects), (status, headers, content)) in enumerate(
        zip(SENT, answers, strict=False), 50
    ):
        op = Op(number, service, "create_user", method, f"/{service}/1", body, f"k{number}", expects, '"1"', tries=1)
        ledger.write(op.sent("create_user"))
        ledger.write(ended(op, interpret(op, status, headers, content)))
    ledger.close()
    rows = [(service, row) for (service, _), row in history.rows.items()]
    return audit(
        read(ledger.path), [*rows, *(("orders", row) for row in found), *(("users", row) for row in found)]
    ).verdict


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@given(st.lists(st.tuples(STATUS, HEADERS, BODIES), min_size=5, max_size=5), st.lists(ROWS, max_size=3))
@example([(500, {}, {"type": "/problems/\ud800"})], [])
@example([(200, {}, {})] * 3 + [(200, {}, {"results": [{"status": 10**30, "problem": {}}] * 2})], [])
@example([], [{"id": 1, "user_id": "\ud800"}])
def test_judges_any_answer_and_any_row(directory: Path, answers: list[Any], found: list[Json]) -> None:
    told(directory, [(status, headers, json.dumps(body).encode()) for status, headers, body in answers], found)


@pytest.mark.parametrize("depth", [40, 60, 200, 900, 980, 990, 995, 1000, 10_000])
def test_judges_an_answer_that_is_nested_deeply(directory: Path, depth: int) -> None:
    body = b'{"id": 1, "name": ' + b"[" * depth + b"]" * depth + b"}"
    assert told(directory, [(201, {}, body)], []) == (FAIL if depth < 50 else NO_VERDICT)
