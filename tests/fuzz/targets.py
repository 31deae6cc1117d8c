"""What parses bytes that strangers send, each with what must hold of whatever comes out. Every target takes any bytes."""

import itertools
import json
import tempfile
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from flask import Request
from pydantic import TypeAdapter, ValidationError
from werkzeug.test import EnvironBuilder

from loadgen.audit import audit, canonical, cents
from loadgen.client import interpret
from loadgen.ledger import LedgerDamaged, Op, dumps, read
from orders_service.lookups import ProductPage
from products_service.models import NewProduct
from service_common import ijson
from service_common.idempotency import KEY
from service_common.inbound import MAX_ID, choices, number, numbers, parse, query
from service_common.observe import REQUEST_ID
from service_common.problems import Problem
from users_service.models import NewUser, email_key

from ..generated.test_ijson_oracle import exact
from ..generated.test_ijson_oracle import read as oracle
from ..loadgen.histories import Json, clean

Target = Callable[[bytes], None]
FAST = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
workplace = tempfile.TemporaryDirectory(prefix="fuzz-", dir=FAST)
scratch = Path(workplace.name) / "ledger.jsonl"
page = TypeAdapter(ProductPage)
LISTS = {
    "limit": number(1, 1000), "after": number(0, MAX_ID), "ids": numbers(500), "user_id": number(1, MAX_ID),
    "expand": choices("user", "product"),
}  # fmt: skip
OPS = [
    Op(50, "users", "create_user", "POST", "/users", {"name": "Ada", "email": "a@b"}, "k"),
    Op(50, "orders", "batch_orders", "POST", "/orders/batch", {"items": [{}, {}]}, "k", ["ok", "validation"]),
    Op(50, "products", "race_patch", "PATCH", "/products/1", {"price": "1.00"}, None, "any", '"1"'),
    Op(50, "products", "browse", "GET", "/products?limit=20&after=0"),
]
STATUS = (200, 201, 204, 302, 409, 422, 500, 503)


def body(data: bytes) -> None:
    """ijson: what it takes has the value that Python's json module gives it, what it refuses is no I-JSON."""
    try:
        expected, refused = oracle(data), False
    except (ValueError, RecursionError):
        expected, refused = None, True
    try:
        value = ijson.loads(data)
    except ValueError as error:
        assert refused and len(str(error)) < 200
    else:
        assert not refused and value == expected and exact(value)


def fields(data: bytes) -> None:
    """Bodies: a valid user or product is within the contract, all else one of two problems that JSON can hold."""
    for model in (NewUser, NewProduct):
        try:
            new = parse(model, data)
        except Problem as problem:
            assert problem.kind in ("malformed-json", "validation")
            assert len(json.dumps(problem.body("x"))) < 20_000
            continue
        assert 1 <= len(new.name) <= 200 and new.name == new.name.strip()
        assert not any(unicodedata.category(character) == "Cc" for character in new.name)
        if isinstance(new, NewUser):
            assert new.email.count("@") == 1 and len(new.email) <= 254
            assert email_key(email_key(new.email)) == email_key(new.email)
        else:
            assert 0 <= new.price <= 100_000_000


def parameters(data: bytes) -> None:
    """Query strings: what is taken is in its range, all else is `validation`, and small."""
    if not data.isascii():
        return  # the server refuses such a request line
    environ = EnvironBuilder(path="/").get_environ() | {"QUERY_STRING": data.decode("latin-1")}
    try:
        given = query(Request(environ), LISTS)
    except Problem as problem:
        assert problem.kind == "validation" and problem.errors
        assert len(json.dumps(problem.body("x"))) < 20_000
        return
    assert given.keys() <= LISTS.keys()
    assert 1 <= given.get("limit", 1) <= 1000 and 0 <= given.get("after", 0) <= MAX_ID
    assert all(1 <= id <= MAX_ID for id in given.get("ids", [])) and len(given.get("ids", [])) <= 500
    assert set(given.get("expand", [])) <= {"user", "product"}


def keys(data: bytes) -> None:
    """Headers: the two that are matched by a pattern are what the contract says in words."""
    text = data.decode("latin-1")
    assert (KEY.fullmatch(text) is not None) == (1 <= len(data) <= 255 and all(0x21 <= byte <= 0x7E for byte in data))
    plain = text.isascii() and all(character.isalnum() or character in "._:-" for character in text)
    assert (REQUEST_ID.fullmatch(text) is not None) == (plain and 1 <= len(text) <= 128)


def lookup(data: bytes) -> None:
    """Answers of products: an order believes only an id, a name and a price that can be."""
    try:
        found = page.validate_json(data)
    except ValidationError:
        return
    for item in found["items"]:
        assert type(item["id"]) is int and 1 <= item["id"] <= MAX_ID
        assert 1 <= len(item["name"]) <= 200 and not any(unicodedata.category(c) == "Cc" for c in item["name"])
        assert 0 <= int(item["price"].replace(".", "")) == cents(item["price"]) <= 100_000_000
        item["name"].encode()  # it can be stored


def answered(data: bytes) -> list[Json]:
    """The lines of a ledger in which the last is about this answer."""
    op, status = OPS[data[0] % len(OPS)] if data else OPS[0], STATUS[data[1] % len(STATUS)] if data[1:] else 200
    told = interpret(op, status, {"etag": data[:9].decode("latin-1")}, data[2:])
    assert told.outcome in ("ok", "refused", "unknown")
    assert told.outcome != "ok" or (status < 300 and isinstance(told.body, dict))
    assert told.outcome != "refused" or status >= 400
    line = {
        "event": told.outcome, "op": 50, "try": 1, "action": op.action, "ms": 1.0, "status": told.status, "etag": told.etag,
        "problem": told.problem, "replayed": told.replayed, "location": told.location, "answer": told.body,
    }  # fmt: skip
    return [*clean().lines, op.sent(op.action) | {"try": 1}, line]


def answer(data: bytes) -> None:
    """Answers as the load generator takes them: each is one of three outcomes, and comes back from the ledger."""
    text = dumps(answered(data)[-1])
    kept = json.loads(text, parse_float=Decimal)
    assert dumps(json.loads(text)) == text
    canonical(kept)


def judged(data: bytes) -> None:
    """Answers, and rows that are listed: whatever they are, the audit reaches a verdict."""
    lines = [json.loads(dumps(line), parse_float=Decimal) for line in answered(data)]
    body = lines[-1]["answer"]
    audit(lines, [("orders", body), ("users", body)] if isinstance(body, dict) else [], scratch=FAST)


def ledger(data: bytes) -> None:
    """Ledgers: whole lines before the first that cannot be read; damage that is not at the end is told."""
    scratch.write_bytes(data)
    whole, damaged = [], False
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1].removesuffix(b"\n")
    lines = lines if lines[-1] else lines[:-1]
    for place, line in enumerate(lines):
        try:
            whole.append(json.loads(line, parse_float=Decimal))
        except ValueError:
            damaged = place < len(lines) - 1
            break
    seen, told = [], False
    try:
        for each in read(scratch):
            seen.append(each)  # what came before the damage counts
    except LedgerDamaged:
        told = True
    assert (repr(seen), told) == (repr(whole), damaged)


TARGETS: dict[str, Target] = {
    target.__name__: target for target in (body, fields, parameters, keys, lookup, answer, judged, ledger)
}
ANSWERS = [
    bytes([op, status]) + text
    for (op, status), text in itertools.product(
        [(0, 1), (1, 0), (2, 0), (3, 0), (0, 5)],
        [b'{"id":1,"name":"Ada","email":"a@b","price":"1.00"}', b'{"type":"/problems/validation","status":422}',
         b'{"results":[{"status":201,"item":{"id":5}},{"status":422,"problem":{"type":"/problems/validation"}}]}'],
    )
]  # fmt: skip
SEEDS: dict[str, list[bytes]] = {
    "body": [b'{"a": [1, -0.5e3, "\\ud83d\\ude00", true, null], "b": {}}', b"[NaN]", b'{"a":1,"\\u0061":2}', b'"\\ufffe"'],
    "fields": [b'{"name": "Ada", "email": "ada@example.com"}', b'{"name": "Tea", "price": "19.99"}', b'{"name":"T","price":1e2}'],
    "parameters": [b"limit=5&after=1", b"ids=1,2,3&expand=user,product", b"limit=%D9%A3", b"user_id=9223372036854775807"],
    "keys": [b"my-first-order", b"0de9dbbcca9bc23eb6826d130f42e3da", b"a" * 128, b"~" * 255],
    "lookup": [b'{"items":[{"id":1,"name":"Tea","price":"19.99","created_at":"x"}],"next":null}', b'{"items":[{"id":1,"name":"Tea","price":"9999999.99"}]}', b'{"items":[{"id":0,"name":"\\u001b","price":"1.00"}]}', b'{"items":[]}'],
    "answer": ANSWERS,
    "judged": ANSWERS,
    "ledger": [b'{"event":"run","run":"x","kinds":[]}\n{"event":"sent","op":1}\n{"event"', b'{"n": 1}\n{"n\n{"n": 3}\n'],
}  # fmt: skip
