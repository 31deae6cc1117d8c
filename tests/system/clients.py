"""Clients in threads that record their answers, and a door in front of a service that can be held shut."""

import itertools
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from testbed import Process, wait_until

PATIENCE_S = 30


def body_for(service: str, number: int) -> dict[str, Any]:
    """Return a body that is unique to `number`. Orders name user 1 and product 1, and repeat after 10,000."""
    if service == "users":
        return {"name": f"User {number}", "email": f"user-{number}@example.com"}
    if service == "products":
        return {"name": f"Product {number}", "price": f"{number}.07"}
    return {"user_id": 1, "product_id": 1, "quantity": (number - 1) % 10_000 + 1}


def identity(service: str, item: dict[str, Any]) -> Any:
    """Return the field of an item that identifies its body."""
    return item[{"users": "email", "products": "name", "orders": "quantity"}[service]]


def at_once(number: int, send: Callable[[int], Any]) -> list[Any]:
    """Call `send` with 0 to number - 1, all at the same moment, and return the results."""
    barrier = threading.Barrier(number)

    def run(index: int) -> Any:
        barrier.wait()
        return send(index)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


def post(process: Process, body: dict[str, Any], path: str = "", **headers: str) -> requests.Response:
    url = f"{process.url}/{process.service}{path}"
    return requests.post(url, json=body, headers=headers, timeout=PATIENCE_S)


def everything(process: Process) -> list[dict[str, Any]]:
    """Return all items of a service, over HTTP."""
    items: list[dict[str, Any]] = []
    path = f"/{process.service}?limit=1000"
    while path:
        page = requests.get(process.url + path, timeout=PATIENCE_S).json()
        items, path = items + page["items"], page["next"]
    return items


def metric(process: Process, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples with these labels."""
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    total = 0.0
    for line in requests.get(f"{process.url}/metrics", timeout=PATIENCE_S).text.splitlines():
        sample, _, value = line.rpartition(" ")
        named, _, given = sample.partition("{")
        if named == name and wanted <= set(given.rstrip("}").split(",")):
            total += float(value)
    return total


@dataclass
class Attempt:
    """One POST and its outcome; `status` is None without an answer."""

    number: int
    key: str
    began: float
    ended: float = 0.0
    status: int | None = None
    kind: str = ""
    retry_after: str | None = None
    item: dict[str, Any] = field(default_factory=dict)

    def unknown(self) -> bool:
        return self.status is None or self.kind == "outcome-unknown"


class Load:
    """Threads that POST to one service without a pause, each over its own connection, every request with a key."""

    def __init__(self, process: Process, threads: int = 16) -> None:
        self.process = process
        self.attempts: list[Attempt] = []
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def send(self, session: requests.Session, attempt: Attempt) -> Attempt:
        body = body_for(self.process.service, attempt.number)
        headers = {"Idempotency-Key": attempt.key, "X-Request-ID": attempt.key}
        attempt.status, attempt.kind, attempt.retry_after = None, "", None
        try:
            answer = session.post(
                f"{self.process.url}/{self.process.service}", json=body, headers=headers, timeout=PATIENCE_S
            )
            attempt.status = answer.status_code
            if answer.status_code == 201:
                attempt.item = answer.json()
            else:
                attempt.kind = answer.json()["type"].rpartition("/")[2]
                attempt.retry_after = answer.headers.get("Retry-After")
        except requests.RequestException:
            self._stop.wait(0.2)  # nothing listens: do not spin
        attempt.ended = time.monotonic()
        return attempt

    def _run(self) -> None:
        with requests.Session() as session:
            while not self._stop.is_set():
                attempt = Attempt(next(self._numbers), uuid.uuid4().hex, time.monotonic())
                self.attempts.append(self.send(session, attempt))

    def acknowledged(self) -> list[Attempt]:
        return [attempt for attempt in list(self.attempts) if attempt.status == 201]

    def await_more(self, writes: int, timeout: float = 30) -> None:
        """Wait until so many more writes have been acknowledged."""
        goal = len(self.acknowledged()) + writes
        wait_until(lambda: len(self.acknowledged()) >= goal, timeout, f"{goal} acknowledged writes")

    def end(self) -> list[Attempt]:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.attempts

    def settle(self) -> int:
        """Send every write with an unknown outcome again with its own key. Return their number."""
        unknown = [attempt for attempt in self.attempts if attempt.unknown()]
        with requests.Session() as session:
            for attempt in unknown:
                self.send(session, attempt)
                assert attempt.status == 201, attempt
        return len(unknown)

    def check(self) -> None:
        """Check that the service has exactly the acknowledged items, as they were answered."""
        assert everything(self.process) == sorted(
            (attempt.item for attempt in self.acknowledged()), key=lambda item: item["id"]
        )
        for attempt in self.acknowledged():
            body = body_for(self.process.service, attempt.number)
            assert {name: attempt.item[name] for name in body} == body


class Door:
    """A server in front of a service. While it is shut, requests wait; while it drips, answers never end."""

    def __init__(self, process: Process) -> None:
        door = self
        self.open = threading.Event()
        self.open.set()
        self.dripping = threading.Event()
        self.closed = threading.Event()
        self.requests: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                door.requests.append(self.path)
                drips = door.dripping.is_set()
                door.open.wait(PATIENCE_S)
                answer = requests.get(process.url + self.path, timeout=PATIENCE_S)
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(answer.content) + (1 << 20 if drips else 0)))
                self.end_headers()
                self.wfile.write(answer.content)
                while drips and not door.closed.wait(0.1):  # white space may follow JSON, so the answer stays valid
                    self.wfile.write(b" ")

            def log_message(self, *_args: Any) -> None:
                return None

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_args: Any) -> None:  # the client has gone
                return None

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self.closed.set()
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
