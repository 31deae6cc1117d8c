"""Errors that need a service in trouble: full queues, deadlines, disks, and defects."""

import resource

import apsw
import pytest

from service_common.problems import KINDS
from service_common.worker import INVALID_KEY
from service_common.worker import KINDS as BEFORE_FLASK

from ..fleet import Fleet, Process, wait_until
from .client import (
    SERVICES,
    at_once,
    created,
    everything,
    get,
    log_lines,
    new_item,
    new_key,
    new_product,
    post,
    refused,
    send,
    served,
)
from .conftest import Alone


def worker(process: Process) -> int:
    """The process that serves and writes."""
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


def test_what_is_refused_before_flask_has_the_same_titles() -> None:
    assert all(KINDS[kind] == (status, title) for status, (kind, title) in BEFORE_FLASK.items())
    assert KINDS[INVALID_KEY[0]] == (400, INVALID_KEY[1])


@SERVICES
def test_every_problem_names_itself_alike(fleet: Fleet, name: str) -> None:
    """The one shape is judged by `refused`; here one of each kind that any service gives."""
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


def test_a_queue_that_is_full_refuses_at_once_and_writes_nothing(alone: Alone) -> None:
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


def test_a_write_whose_deadline_passed_is_unknown_until_its_key_is_sent_again(alone: Alone) -> None:
    products, body = alone("products", WRITE_TIMEOUT="0.000001"), new_product()
    refused(post(products, body, Idempotency_Key="k"), "outcome-unknown")
    again = wait_until(
        lambda: (a := post(products, body, Idempotency_Key="k")).status_code == 201 and a, what="the answer"
    )
    assert again.headers["Idempotency-Replayed"] == "true"
    assert everything(products) == [again.json()]


def test_a_disk_that_takes_nothing_fails_writes_truthfully_and_they_recover_by_themselves(alone: Alone) -> None:
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


def test_a_log_that_cannot_be_written_costs_no_answer(alone: Alone) -> None:
    products = alone("products")
    kept = created(products, new_product())
    limit_files(products, 0)
    assert get(products, f"/{kept['id']}").json() == kept
    limit_files(products, resource.RLIM_INFINITY)


def test_a_defect_shows_its_cause_in_the_log_only(alone: Alone) -> None:
    products = alone("products")
    with apsw.Connection(str(products.database)) as db:
        db.execute("ALTER TABLE products RENAME TO hidden")
    request_id = new_key()
    for answer in (get(products, "/1", X_Request_ID=request_id), post(products, new_product()), get(products)):
        problem = refused(answer, "internal")
        for word in ("Traceback", "apsw", "sql", "SELECT", "no such table", ".py"):
            assert word.lower() not in answer.text.lower()
    assert problem["request_id"] != request_id
    caused = [line for line in log_lines(products) if line.get("request_id") == request_id and "exception" in line]
    assert len(caused) == 1
    assert "no such table" in caused[0]["exception"] and caused[0]["level"] == "error"
    assert send(products, "GET", "/livez").status_code == 200


@pytest.mark.parametrize("name", ["users", "products", "orders"])
def test_no_problem_and_no_answer_tells_of_the_machine(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    for answer in (get(process, "/0"), post(process, b"{"), post(process, {}), send(process, "GET", "/nothing")):
        for word in ("traceback", ".py", "site-packages", str(process.directory), "pydantic", "werkzeug", "select "):
            assert word not in answer.text.lower()
