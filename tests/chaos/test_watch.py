"""The checks of orders during an outage, on correct and on incorrect orders services."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chaos import campaign
from chaos.campaign import look, unchecked, watch
from chaos.faults import FAULTS
from chaos.judge import Round
from chaos.load import Load
from chaos.system import System

from .test_history import ended, history, sent

REFUSED = (503, {"Retry-After": "1"}, {"type": "/problems/dependency-unavailable"})
READ = (200, {}, {"items": [], "next": None})
Said = tuple[int, dict[str, str], Any] | None  # status, header fields, body; None: the connection closes


@contextmanager
def orders(post: Said = REFUSED, get: Said = READ) -> Iterator[str]:
    """Serve an address that gives every POST, and every GET, the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, said: Said) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if said is None:
                return
            body = json.dumps(said[2]).encode()
            self.send_response(said[0])
            for name, value in {**said[1], "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.answer(post)

        def do_GET(self) -> None:
            self.answer(get)

        def log_message(self, *_args: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_correct_refusals_and_reads_are_no_violation() -> None:
    with orders() as url:
        assert list(look(f"{url}/orders")) == []


@pytest.mark.parametrize(
    ("post", "get", "said"),
    [
        ((201, {}, {"id": 1}), READ, "not dependency-unavailable"),
        ((422, {}, {"type": "/problems/unknown-reference"}), READ, "not dependency-unavailable"),
        ((503, {"Retry-After": "1"}, {"type": "/problems/overloaded"}), READ, "not dependency-unavailable"),
        ((503, {}, REFUSED[2]), READ, "not dependency-unavailable"),
        ((503, {"Retry-After": "1"}, ["no problem"]), READ, "an order got no answer"),
        (None, READ, "an order got no answer"),
        (REFUSED, (503, {"Retry-After": "1"}, {"type": "/problems/storage-unavailable"}), "reading orders: status 503"),
        (REFUSED, None, "a read of orders got no answer"),
    ],
)
def test_each_mistake_of_orders_in_an_outage_is_reported(post: Said, get: Said, said: str) -> None:
    with orders(post, get) as url:
        (found,) = look(f"{url}/orders")
    assert found.startswith(said)


@pytest.mark.parametrize("name", ["ORDER_DEADLINE_S", "READ_DEADLINE_S"])
def test_a_late_answer_is_reported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, name, 0.0)
    with orders() as url:
        assert len(list(look(f"{url}/orders"))) == 1


def test_an_order_sent_and_accepted_during_an_outage_counts_as_unchecked() -> None:
    made = history(sent(1, service="orders"))
    load, place = cast(Load, SimpleNamespace(history=made)), made.place()
    for line in (ended(1, status=201), sent(2), ended(2, status=201)):
        made.add(line)
    assert unchecked(load, place) == []  # one was sent before, the other is no order
    made.add(sent(3, service="orders"))
    made.add(ended(3, event="refused", status=503, problem="dependency-unavailable"))
    assert unchecked(load, place) == []
    made.add(sent(4, service="orders"))
    made.add(ended(4, status=201))
    assert len(unchecked(load, place)) == 1


@pytest.mark.parametrize(("grows", "found"), [(campaign.MEMORY_MB - 1, 0), (campaign.MEMORY_MB + 1, 1)])
def test_growing_memory_of_orders_in_an_outage_is_a_violation(grows: float, found: int) -> None:
    memory = iter((100.0, 100.0 + grows))
    load, into = cast(Load, SimpleNamespace(history=history())), Round(["late-users"])
    with orders() as url:
        system = SimpleNamespace(url=lambda _service: url, memory_mb=lambda _service: next(memory))
        watch(cast(System, system), load, replace(FAULTS["late-users"], lasts=0.0), into)
    assert (len(into.violations), into.grown_mb) == (found, grows)
