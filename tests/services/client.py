"""Requests for the tests of the services, and checks of an answer against the contract."""

import itertools
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from testbed import Fleet, Process, databases

TIMEOUT_S = 20
JSON = {"Content-Type": "application/json"}
SERVICES = pytest.mark.parametrize("name", ["users", "products", "orders"])
CHANGEABLE = pytest.mark.parametrize("name", ["users", "products"])
# The contract's table of problems.
STATUS = {
    "malformed-json": 400, "malformed-body": 400, "idempotency-key-invalid": 400, "unauthorized": 401, "not-found": 404,
    "method-not-allowed": 405, "duplicate-email": 409, "out-of-stock": 409, "in-use": 409, "precondition-failed": 412, "body-too-large": 413,
    "unsupported-media-type": 415, "validation": 422, "unknown-reference": 422, "idempotency-key-reused": 422, "rate-limited": 429,
    "overloaded": 503, "dependency-unavailable": 503, "stock-held": 503, "storage-unavailable": 503, "outcome-unknown": 503, "internal": 500,
}  # fmt: skip
WITH_RETRY_AFTER = {"rate-limited", "overloaded", "dependency-unavailable", "stock-held", "storage-unavailable"}
WITH_ERRORS = {"validation", "unknown-reference", "out-of-stock"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
MONEY = re.compile(r"\d+\.\d\d")
# Regular expressions, class names, and sentences of pydantic, Werkzeug, gunicorn and Python's json.
INTERNAL = re.compile(
    r"\^|\\[a-z]|\(\?|Input should|instance of|\b(New(User|Product|Order)|(User|Product)Change|Batch|Decimal)\b|\w_type\b|\w(Error|Exception)\b"
    r"|Extra inputs|Field required|Value error|at most \d+ item|If you entered the URL|method is not allowed for|requested URL"
    r"|[Pp]ydantic|[Ww]erkzeug|gunicorn|Expecting (value|property|')|\(char \d+\)|Extra data|Unterminated string"
)
LONGEST_LINE = 30_000  # of a log: a message of 4,000 characters, escaped, and what stands around it

Item = dict[str, Any]
Result = TypeVar("Result")
unique = itertools.count(1)
local = threading.local()


def session() -> requests.Session:
    """Return the connections of this thread."""
    if not hasattr(local, "session"):
        local.session = requests.Session()
        local.session.trust_env = False  # no proxy stands before a service
    kept: requests.Session = local.session
    return kept


def served(fleet: Fleet, name: str) -> Process:
    """Return the process of the service with that name."""
    process: Process = getattr(fleet, name)
    return process


def new_user(**fields: Any) -> Item:
    return {"name": "Ada Lovelace", "email": f"ada-{next(unique)}@example.com"} | fields


def new_product(**fields: Any) -> Item:
    return {"name": f"Tea {next(unique)}", "price": "19.99"} | fields


def new_order(fleet: Fleet, **fields: Any) -> Item:
    """Return the body of an order for a new user and a new product."""
    user, product = post(fleet.users, new_user()).json(), post(fleet.products, new_product()).json()
    return {"user_id": user["id"], "product_id": product["id"], "quantity": 2} | fields


def new_item(fleet: Fleet, name: str) -> Item:
    """Return the body of an item that the service accepts."""
    return {"users": new_user, "products": new_product}[name]() if name != "orders" else new_order(fleet)


def new_key() -> str:
    return f"key-{next(unique)}"


def encoded(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def send(process: Process, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
    """Send one request. `If_Match="…"` is the header If-Match. A body that is not bytes is sent as JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = None if body is None else encoded(body)
    given = named if body is None else JSON | named
    return session().request(
        method, f"{process.url}{path}", data=data, headers=given, timeout=TIMEOUT_S, allow_redirects=False
    )


def post(process: Process, body: Any, path: str = "", **headers: str) -> requests.Response:
    return send(process, "POST", f"/{process.service}{path}", body, **headers)


def get(process: Process, path: str = "", **headers: str) -> requests.Response:
    return send(process, "GET", f"/{process.service}{path}", **headers)


def patch(process: Process, id: int, body: Any, **headers: str) -> requests.Response:
    return send(process, "PATCH", f"/{process.service}/{id}", body, **headers)


def delete(process: Process, id: int, **headers: str) -> requests.Response:
    return send(process, "DELETE", f"/{process.service}/{id}", **headers)


def created(process: Process, body: Any, **headers: str) -> Item:
    """Create an item by POST and return it."""
    answer = post(process, body, **headers)
    assert answer.status_code == 201, answer.text
    item: Item = answer.json()
    return item


def everything(process: Process, query: str = "limit=1000") -> list[Item]:
    """Return all items of a service, read page by page."""
    path: str | None = f"/{process.service}?{query}"
    items: list[Item] = []
    while path:
        page = send(process, "GET", path).json()
        items += page["items"]
        path = page["next"]
    return items


def rows(process: Process) -> int:
    """Return the number of items in the database of a service. The service is not asked."""
    return int(databases.query(process, f"SELECT count(*) FROM {process.service}")[0][0])


def refused(answer: "requests.Response | Reply", kind: str) -> Item:
    """Check that an answer is a problem of that kind and has the one shape. Return its JSON."""
    assert answer.status_code == STATUS[kind], answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.content.endswith(b"}\n")
    problem: Item = answer.json()
    keys = {"type", "title", "status", "detail", "request_id"}
    assert set(problem) == (keys | {"errors"} if kind in WITH_ERRORS else keys)
    assert (problem["type"], problem["status"]) == (f"/problems/{kind}", STATUS[kind])
    assert problem["title"] and problem["detail"]
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert ("Retry-After" in answer.headers) == (kind in WITH_RETRY_AFTER)
    assert int(answer.headers.get("Retry-After", "1")) >= 1
    assert problem.get("errors", True)
    for error in problem.get("errors", []):
        assert set(error) in ({"pointer", "detail"}, {"parameter", "detail"})
        assert error["detail"]
    for text in (problem["detail"], *(error["detail"] for error in problem.get("errors", []))):
        assert not INTERNAL.search(text), text
    return problem


def pointers(problem: Item) -> list[str]:
    """Return the pointers of the errors of a problem."""
    return [error["pointer"] for error in problem["errors"]]


def well_formed(name: str, item: Item) -> bool:
    """Return whether an item has the contract's fields, each of its type, and no others."""
    id = item["id"]
    whole = isinstance(id, int) and id > 0 and TIME.fullmatch(item["created_at"]) is not None
    if name == "users":
        return whole and set(item) == {"id", "name", "email", "created_at"}
    if name == "products":
        whole = whole and (item["stock"] is None or type(item["stock"]) is int)
        fields = {"id", "name", "price", "stock", "created_at"}
        return whole and set(item) == fields and MONEY.fullmatch(item["price"]) is not None
    money = MONEY.fullmatch(item["unit_price"]) and MONEY.fullmatch(item["total"])
    fields = {"id", "user_id", "product_id", "quantity", "product_name", "unit_price", "total", "created_at"}
    return whole and set(item) == fields and money is not None


def at_once(count: int, call: Callable[[], Result]) -> list[Result]:
    """Call from `count` threads at the same moment and return their results."""
    barrier = threading.Barrier(count)

    def wait_and_call() -> Result:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(wait_and_call) for _ in range(count)]]


def metric(process: Process, sample: str, **labels: str) -> float:
    """Return one number of /metrics; 0 where it has not been counted yet."""
    text = send(process, "GET", "/metrics").text
    found = [
        one.value for family in text_string_to_metric_families(text) for one in family.samples
        if one.name == sample and labels.items() <= one.labels.items()
    ]  # fmt: skip
    return sum(found)


def log_lines(process: Process) -> list[Item]:
    """Return the log of a process. Each line must be one JSON object of limited length."""
    lines = process.logged().splitlines()
    assert max(map(len, lines)) < LONGEST_LINE
    return [json.loads(line) for line in lines]


def requests_logged(process: Process, request_id: str) -> list[Item]:
    """Return the requests with this id in the log of a process, after waiting a second for the first."""
    deadline = time.monotonic() + 1
    found: list[Item] = []
    while not found and time.monotonic() < deadline:
        found = [line for line in log_lines(process) if line.get("request_id") == request_id and "path" in line]
    return found


@dataclass
class Reply:
    """An answer as it was read from a socket."""

    status_code: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


def raw(process: Process, sent: bytes) -> list[Reply]:
    """Send these bytes and nothing more. Return the answers until the service closes."""
    with socket.create_connection(("127.0.0.1", process.port), TIMEOUT_S) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
    return replies(received)


def replies(received: bytes) -> list[Reply]:
    """Split received bytes into answers by their Content-Length."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers.get("Content-Length", "0"))
        found.append(Reply(int(status.split(" ")[1]), headers, rest[:length]))
        received = rest[length:]
    return found
