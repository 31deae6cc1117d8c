"""Problems: one shape, an explanation of each kind, and services in trouble: full queues, deadlines, disks, defects."""

import re
import resource
from typing import Any

import pytest

from testbed import Fleet, Process, databases, wait_until

from .client import (
    INTERNAL,
    SERVICES,
    STATUS,
    Item,
    at_once,
    created,
    everything,
    get,
    log_lines,
    new_item,
    new_key,
    new_product,
    new_user,
    patch,
    post,
    raw,
    refused,
    send,
    served,
)
from .conftest import Alone

OWN_KINDS = {  # which not every service has
    "duplicate-email": {"users"}, "unknown-reference": {"orders"}, "in-use": {"products"},
    "out-of-stock": {"products", "orders"}, "stock-held": {"orders"},
}  # fmt: skip


def worker(process: Process) -> int:
    """Return the id of the process that serves and writes."""
    assert process.process is not None
    (pid,) = wait_until(lambda: _children(process.process.pid), what="a worker")  # type: ignore[union-attr]
    return pid


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [int(child) for child in children.read().split()]


def limit_files(process: Process, size: int) -> None:
    """Let no file of the service grow past `size` bytes, as a full disk would."""
    _, hard = resource.prlimit(worker(process), resource.RLIMIT_FSIZE)
    resource.prlimit(worker(process), resource.RLIMIT_FSIZE, (size, hard))


@SERVICES
def test_explains_each_kind_of_problem_that_it_answers(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    for slug, status in STATUS.items():
        answer = send(process, "GET", f"/problems/{slug}")
        if name not in OWN_KINDS.get(slug, {name}):
            refused(answer, "not-found")
            continue
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json"), slug
        kind = answer.json()
        assert list(kind) == ["type", "title", "status", "meaning", "action"]
        assert (kind["type"], kind["status"]) == (f"/problems/{slug}", status)
        assert all(kind[part] and not INTERNAL.search(kind[part]) for part in ("title", "meaning", "action"))


@SERVICES
def test_the_type_of_a_problem_leads_to_its_own_title(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    long = b"GET /%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    fields = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: %b\r\n\r\n"
    answers: list[Any] = [
        get(process, "/0"), send(process, "PUT", "/"), post(process, {}), post(process, b"{"),
        send(process, "GET", "/docs/index.css", Range="bytes=99999999-"), raw(process, b"nonsense\r\n\r\n")[0],
        raw(process, long % (b"x" * 9000))[0], raw(process, fields % (b"x" * 9000))[0],
    ]  # fmt: skip
    if name == "orders":
        answers.append(post(process, {"user_id": 10**9, "product_id": 10**9, "quantity": 1}))
    if name == "users":
        answers.append(post(process, new_user(email=created(process, new_user())["email"])))
    kinds = [answer.json() for answer in answers]
    assert len({kind["type"] for kind in kinds}) == len(kinds)
    for kind in kinds:
        explained = send(process, "GET", kind["type"])
        assert explained.status_code == 200, kind
        assert {part: kind[part] for part in ("type", "title", "status")}.items() <= explained.json().items()


@SERVICES
@pytest.mark.parametrize("path", ["nothing", "Validation", "validation/", "", "validation/x", "..", "%2e%2e"])
def test_answers_not_found_for_a_kind_that_does_not_exist(fleet: Fleet, name: str, path: str) -> None:
    line = f"GET /problems/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    refused(raw(served(fleet, name), line.encode())[0], "not-found")


@SERVICES
def test_every_answer_ends_with_one_newline(fleet: Fleet, name: str) -> None:
    process, item, key = served(fleet, name), new_item(fleet, name), new_key()
    first = post(process, item, Idempotency_Key=key)
    answers = [
        first, post(process, item, Idempotency_Key=key), post(process, {"items": [new_item(fleet, name), {}]}, "/batch"),
        get(process), get(process, f"/{first.json()['id']}"), get(process, "?ids=1,2"), post(process, {}), post(process, b"{"),
        *(send(process, "GET", path) for path in ("/", "/livez", "/readyz", "/openapi.json", "/metrics", "/problems/internal", "/nothing")),
    ]  # fmt: skip
    if name != "orders":
        answers.append(patch(process, first.json()["id"], {"name": "B"}))
    for answer in answers:
        assert answer.content.endswith(b"\n") and not answer.content.endswith(b"\n\n"), answer.url
        assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert answers[1].content == first.content


@SERVICES
@pytest.mark.parametrize(
    "path", ["/", "/livez", "/readyz", "/metrics", "/openapi.json", "/problems/validation", "/docs", "/docs/"]
)
def test_rejects_unknown_query_parameters_on_every_route(fleet: Fleet, name: str, path: str) -> None:
    problem = refused(send(served(fleet, name), "GET", f"{path}?x=1"), "validation")
    assert [error["parameter"] for error in problem["errors"]] == ["x"]
    assert send(served(fleet, name), "GET", path).status_code == 200


@pytest.mark.parametrize(
    ("service", "path", "body", "details"),
    [
        ("users", "", [], {"": "must be an object"}), ("users", "", b"2", {"": "must be an object"}), ("users", "", {}, {"/name": "is missing", "/email": "is missing"}),
        ("users", "", {"name": 1, "email": "a@b", "x": 1}, {"/name": "must be a string", "/x": "is not a known field"}),
        ("users", "", {"name": " ", "email": "a"}, {"/name": "must have a length of at least 1", "/email": "must be an e-mail address: one @ with something before and after it"}),
        ("users", "", {"name": "a" * 201, "email": "a@" + "b" * 253}, {"/name": "must have a length of at most 200", "/email": "must have a length of at most 254"}),
        ("users", "", {"name": "\u3164", "email": "a @b"}, {"/name": "must hold at least one visible character", "/email": "must hold no white space and no invisible characters"}),
        ("users", "", {"name": "\x00a", "email": "a@b"}, {"/name": "must hold no control characters"}),
        ("users", "/batch", {"items": {}}, {"/items": "must be an array"}), ("users", "/batch", {"items": []}, {"/items": "must have a length of at least 1"}),
        ("users", "/batch", {"items": [1] * 1001}, {"/items": "must have a length of at most 1000"}), ("users", "/batch", [], {"": "must be an object"}),
        ("orders", "", {"user_id": "1", "product_id": True, "quantity": 1.5}, dict.fromkeys(["/user_id", "/product_id", "/quantity"], "must be an integer")),
        ("orders", "", {"user_id": 0, "product_id": 2**63, "quantity": 10**30}, {"/user_id": "must be at least 1", "/product_id": "must be at most 9223372036854775807", "/quantity": "must be an integer"}),
        ("products", "", {"name": "a", "price": "1.999"}, {"/price": 'must be a decimal such as "19.99", from 0.00 to 1000000.00 with at most two decimals'}),
    ],
)  # fmt: skip
def test_says_what_is_wrong_with_a_field_in_its_own_words(
    fleet: Fleet, service: str, path: str, body: Any, details: Item
) -> None:
    problem = refused(post(served(fleet, service), body, path), "validation")
    assert {error["pointer"]: error["detail"] for error in problem["errors"]} == details


@SERVICES
def test_every_problem_has_the_title_of_its_kind(fleet: Fleet, name: str) -> None:
    """`refused` checks the shape; here is one of each kind that any service answers."""
    process, item, key = served(fleet, name), new_item(fleet, name), new_key()
    post(process, item, Idempotency_Key=key)
    titles = {
        kind: refused(answer, kind)["title"]
        for kind, answer in {
            "malformed-json": post(process, b"{"),
            "idempotency-key-invalid": post(process, item, Idempotency_Key=""),
            "not-found": get(process, "/0"),
            "method-not-allowed": send(process, "PUT", f"/{name}"),
            "body-too-large": post(process, b" " * ((1 << 20) + 1)),
            "unsupported-media-type": post(process, item, Content_Type="text/plain"),
            "validation": post(process, {}),
            "idempotency-key-reused": post(process, new_item(fleet, name), Idempotency_Key=key),
        }.items()
    }
    assert len(set(titles.values())) == len(titles)  # a title is of its kind
    assert refused(post(process, b"["), "malformed-json")["title"] == titles["malformed-json"]


def test_a_full_queue_refuses_at_once_and_writes_nothing(alone: Alone) -> None:
    products = alone("products", WRITE_QUEUE_LIMIT="1", WRITE_BATCH_ROWS="1")
    accepted = 0
    for _ in range(50):
        answers = at_once(20, lambda: post(products, new_product()))
        late = [answer for answer in answers if answer.status_code != 201]
        accepted += 20 - len(late)
        for answer in late:
            refused(answer, "overloaded")
        if late:
            break
    assert late
    assert len(everything(products)) == accepted


def test_the_outcome_of_a_late_write_is_unknown_until_its_key_is_sent_again(alone: Alone) -> None:
    products, body = alone("products", WRITE_TIMEOUT="0.3"), new_product()
    with databases.hold_transactions(products):
        refused(post(products, body, Idempotency_Key="k"), "outcome-unknown")
    again = wait_until(
        lambda: (a := post(products, body, Idempotency_Key="k")).status_code == 201 and a, what="the answer"
    )
    assert again.headers["Idempotency-Replayed"] == "true"
    assert everything(products) == [again.json()]


def test_a_full_disk_fails_writes_truthfully_and_they_recover_by_themselves(alone: Alone, sqlite_only: None) -> None:
    products = alone("products", ACCESS_LOG="0")
    kept, bodies = created(products, new_product()), {new_key(): new_product() for _ in range(5)}
    limit_files(products, 0)
    for key, body in bodies.items():
        answer = post(products, body, Idempotency_Key=key)
        kind = answer.json()["type"].removeprefix("/problems/")
        assert kind in ("storage-unavailable", "outcome-unknown")
        refused(answer, kind)
        refused(send(products, "GET", "/readyz"), "storage-unavailable")
    refused(send(products, "PATCH", f"/products/{kept['id']}", {"name": "B"}), "storage-unavailable")
    refused(send(products, "DELETE", f"/products/{kept['id']}"), "storage-unavailable")
    assert send(products, "GET", "/livez").status_code == 200
    limit_files(products, resource.RLIM_INFINITY)
    wait_until(products.ready, what="ready again")
    made = [created(products, body, Idempotency_Key=key) for key, body in bodies.items()]
    assert everything(products) == [kept, *made]


def test_answers_while_its_log_cannot_be_written(alone: Alone) -> None:
    products = alone("products")
    kept = created(products, new_product())
    limit_files(products, 0)
    assert get(products, f"/{kept['id']}").json() == kept
    limit_files(products, resource.RLIM_INFINITY)


def test_shows_the_cause_of_a_defect_in_the_log_only(alone: Alone) -> None:
    products = alone("products")
    databases.query(products, "ALTER TABLE products RENAME TO hidden")
    request_id = new_key()
    for answer in (get(products, "/1", X_Request_ID=request_id), post(products, new_product()), get(products)):
        problem = refused(answer, "internal")
        for word in ("Traceback", "apsw", "psycopg", "relation", "sql", "SELECT", "no such table", ".py"):
            assert word.lower() not in answer.text.lower()
    assert problem["request_id"] != request_id
    caused = [line for line in log_lines(products) if line.get("request_id") == request_id and "exception" in line]
    assert len(caused) == 1
    assert re.search('no such table|relation "products" does not exist', caused[0]["exception"])
    assert caused[0]["level"] == "error"
    assert send(products, "GET", "/livez").status_code == 200


@pytest.mark.parametrize("name", ["users", "products", "orders"])
def test_no_problem_shows_anything_of_the_machine(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    for answer in (get(process, "/0"), post(process, b"{"), post(process, {}), send(process, "GET", "/nothing")):
        for word in ("traceback", ".py", "site-packages", str(process.directory), "pydantic", "werkzeug", "select "):
            assert word not in answer.text.lower()
