"""Traces of real orders at a real receiver: the whole tree, what orders share, failures, and a receiver that crashes."""

import random
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from testbed import Fleet, databases, wait_until

from .receiver import Receiver, Span, parse, spans

AT_ONCE = 12  # orders
SERVER, CLIENT, INTERNAL = 2, 3, 1


class Shop:
    """The services with a receiver, a user, and products."""

    def __init__(self, directory: Path, **env: str) -> None:
        self.receiver = Receiver(directory)
        self.fleet = Fleet(
            directory,
            env={
                "OTEL_EXPORTER_OTLP_ENDPOINT": self.receiver.url, "OTEL_TRACES_SAMPLER_ARG": "0",
                "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=a%20test", "BREAKER_COOLDOWN": "5",
            },
        )  # fmt: skip
        for process in self.fleet.all:
            process.env |= env

    def open(self) -> "Shop":
        self.receiver.spawn()
        wait_until(self.receiver.answers, what="the receiver")
        self.fleet.start()
        self.user = self._created("users", {"name": "Ada", "email": "ada@example.com"})
        self.product = self._created("products", {"name": "Tea", "price": "1.00"})
        self.limited = self._created("products", {"name": "Rare tea", "price": "1.00", "stock": 1000})
        assert self.order(product=self.limited)[0] == 201  # orders learns that it is limited
        return self

    def close(self) -> None:
        self.fleet.stop()
        self.receiver.signal(signal.SIGCONT)
        self.receiver.stop()

    def _created(self, name: str, body: dict[str, Any]) -> int:
        answer = requests.post(f"{self.fleet.by_name[name].url}/{name}", json=body, timeout=10)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def order(self, product: int | None = None, parent: str | None = "new", **headers: str) -> tuple[int, str]:
        """Send an order as part of a trace, a new one by default. Return the status of its answer, and the trace."""
        trace = f"{random.getrandbits(128):032x}"
        if parent == "new":
            parent = f"00-{trace}-00f067aa0ba902b7-01"
        if parent is not None:
            headers["traceparent"] = parent
        body = {"user_id": self.user, "product_id": product or self.product, "quantity": 1}
        return requests.post(
            f"{self.fleet.orders.url}/orders", json=body, headers=headers, timeout=10
        ).status_code, trace

    def traced(self, trace: str, size: int = 9) -> Span:
        """Return the root of a trace, once at least `size` of its spans were received."""

        def received() -> list[Span]:
            found = [span for span in self.receiver.spans().values() if span.trace == trace]
            return found if len(found) >= size and any("/orders" in span.name for span in found) else []

        found = wait_until(received, 10, f"the spans of {trace}")
        (root,) = (span for span in found if span.name.endswith("/orders"))
        return root

    def metric(self, name: str) -> float:
        """Return the sum of a metric over all services."""
        pages = [requests.get(f"{process.url}/metrics", timeout=5).text for process in self.fleet.all]
        lines = [line for page in pages for line in page.splitlines()]
        return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split()[0] == name)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    before = databases._server
    if request.param == "postgres":
        databases.use_server(request.getfixturevalue("postgres"))
    shop = Shop(tmp_path_factory.mktemp(request.param))
    try:
        yield shop.open()
    finally:
        shop.close()
        databases.use_server(before)


def check_times(span: Span) -> None:
    """Check that the parts of a span lie within it."""
    for each in span.everything():
        for part in each.children:
            assert each.message.start_time_unix_nano <= part.message.start_time_unix_nano, (each, part)
            assert part.message.end_time_unix_nano <= each.message.end_time_unix_nano, (each, part)


def test_an_order_is_one_tree_across_the_services(shop: Shop) -> None:
    status, trace = shop.order()
    assert status == 201
    root = shop.traced(trace)
    assert (root.name, root.service, root.parent, root.message.kind) == (
        "POST /orders",
        "orders",
        "00f067aa0ba902b7",
        SERVER,
    )
    assert root.attributes.items() >= {
        "http.request.method": "POST", "http.route": "/orders", "url.path": "/orders", "url.scheme": "http",
        "http.response.status_code": 201,
    }.items()  # fmt: skip
    assert root.names() == ["look-ups", "transaction", "wait for the writer"]
    lookups, wait, transaction = (root.child(name) for name in ("look-ups", "wait for the writer", "transaction"))
    assert lookups.attributes == {"threefold.round.size": 1}
    assert lookups.events == ["round begins"]
    assert lookups.names() == ["GET /products", "GET /users"]
    for request in lookups.children:
        (answer,) = request.children
        assert (request.message.kind, request.service) == (CLIENT, "orders")
        assert request.attributes.items() >= {"http.request.method": "GET", "http.response.status_code": 200}.items()
        assert (answer.name, answer.message.kind, answer.service) == (request.name, SERVER, request.name.split("/")[1])
        assert not answer.children
    assert transaction.attributes["threefold.group.size"] >= 1
    assert transaction.names() == ["COMMIT"]
    commit = transaction.child("COMMIT")
    assert (commit.message.kind, commit.attributes["db.operation.name"]) == (CLIENT, "COMMIT")
    assert commit.attributes["db.system.name"] in ("sqlite", "postgresql")
    assert lookups.message.end_time_unix_nano <= wait.message.start_time_unix_nano
    assert wait.message.end_time_unix_nano <= transaction.message.start_time_unix_nano
    check_times(root)
    assert not any(span.failed or span.links for span in root.everything())
    assert len(root.everything()) == 9


def test_each_message_names_the_service_and_its_attributes(shop: Shop) -> None:
    shop.traced(shop.order()[1])
    for message in shop.receiver.messages():
        (resource,) = message.resource_spans
        named = {each.key: each.value.string_value for each in resource.resource.attributes}
        assert named["service.name"] in ("users", "products", "orders")
        assert named["deployment.environment.name"] == "a test"
        assert named["service.instance.id"]
        assert named["service.version"]


def test_what_orders_share_has_one_span_with_parts_and_is_linked_both_ways(shop: Shop) -> None:
    def shared() -> list[Span]:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            sent = list(threads.map(lambda _: shop.order(), range(AT_ONCE)))
        assert {status for status, _ in sent} == {201}
        roots = [shop.traced(trace, size=4) for _, trace in sent]
        found = {name: [root.child(name) for root in roots] for name in ("look-ups", "transaction")}
        return roots if all(any(span.links for span in each) for each in found.values()) else []

    roots = wait_until(shared, 20, "orders that share a round and a transaction")
    wait_until(lambda: len([span for span in shop.receiver.spans().values() if span.name == "COMMIT"]) > 1, 5, "COMMIT")
    every = shop.receiver.spans()
    mine = {root.trace for root in roots}
    for name, parts in (("look-ups", ["GET /products", "GET /users"]), ("transaction", ["COMMIT"])):
        size = {"look-ups": "threefold.round.size", "transaction": "threefold.group.size"}[name]
        firsts, others = [], []
        for span in every.values():
            if span.name == name and span.trace in mine:
                (firsts if span.children else others).append(span)
        assert others
        for first in firsts:
            assert first.names() == parts
            assert first.attributes[size] >= 1 + len(first.links)
            linked = [every[id] for _, id in first.links]
            assert {(each.trace, each.id) for each in linked} == first.links
            for other in linked:
                assert (other.name, other.links) == (name, {(first.trace, first.id)})
                assert other.attributes[size] == first.attributes[size]
                assert other.message.end_time_unix_nano > other.message.start_time_unix_nano
        assert {(other.trace, other.id) for other in others} <= {link for first in firsts for link in first.links}


def test_a_reservation_is_part_of_the_order_down_to_its_commit_at_products(shop: Shop) -> None:
    status, trace = shop.order(shop.limited)
    assert status == 201
    root = shop.traced(trace, size=12)
    lookups = root.child("look-ups")
    assert lookups.names() == ["GET /users", "POST /products/reservations"]
    answer = lookups.child("POST /products/reservations").child("POST /products/reservations")
    assert answer.service == "products"
    assert answer.names() == ["transaction", "wait for the writer"]
    assert answer.child("transaction").names() == ["COMMIT"]
    check_times(root)


def test_a_service_shows_its_part_of_a_trace(shop: Shop) -> None:
    _, trace = shop.order()
    shop.traced(trace)
    found: dict[str, Span] = {}
    for process in shop.fleet.all:
        answer = requests.get(f"{process.url}/traces/{trace}", timeout=5)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
        here = spans([parse(answer.text)])
        assert {span.service for span in here.values()} == {process.service}
        found |= here
    assert found.keys() == {span.id for span in shop.receiver.spans().values() if span.trace == trace}
    missing = requests.get(f"{shop.fleet.orders.url}/traces/{'1' * 32}", timeout=5)
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/not-found")


def test_what_is_not_sampled_leaves_no_span_and_says_nothing_to_others(shop: Shop) -> None:
    for parent in (None, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", "nonsense"):
        assert shop.order(parent=parent)[0] == 201
    shop.traced(shop.order()[1])  # whatever was before has been sent by now, too
    every = shop.receiver.spans().values()
    assert "4bf92f3577b34da6a3ce929d0e0e4736" not in {span.trace for span in every}
    assert not [span for span in every if span.name == "POST /orders" and not span.parent]
    assert not [span for span in every if span.name == "GET /users" and not span.parent]


def test_tracestate_is_passed_on(shop: Shop) -> None:
    _, trace = shop.order(tracestate="vendor=1,other=a b")
    assert {span.message.trace_state for span in shop.traced(trace).everything()} == {"vendor=1,other=a b"}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Shop]:
    """A shop that a test may break."""
    shop = Shop(tmp_path)
    try:
        yield shop.open()
    finally:
        shop.close()


def test_failures_retries_and_the_breaker_are_events(small: Shop) -> None:
    small.fleet.users.kill()
    status, trace = small.order()
    assert status == 503
    root = small.traced(trace, size=6)
    assert root.failed
    assert root.attributes["error.type"] == "dependency-unavailable"
    assert root.events == ["problem"]
    lookups = root.child("look-ups")
    assert lookups.failed
    assert lookups.events == ["round begins", "retry", "retry", "circuit opens", "circuit is open", "exception"]
    attempts = [span for span in lookups.children if span.name == "GET /users"]
    assert [span.attributes.get("http.request.resend_count") for span in attempts] == [None, 1, 2]
    assert all(span.failed and span.events == ["exception"] for span in attempts)
    assert {span.attributes["error.type"] for span in attempts} == {"ConnectionError"}
    _, trace = small.order()
    refused = small.traced(trace, size=4).child("look-ups")
    assert refused.events == ["round begins", "circuit is open", "exception"]


def test_a_failed_transaction_is_a_failed_span(small: Shop) -> None:
    with databases.hold_writes(small.fleet.orders):
        status, trace = small.order()
    assert status == 503
    transaction = small.traced(trace, size=8).child("transaction")
    assert (transaction.failed, transaction.events) == (True, ["exception"])


def test_a_receiver_that_hangs_or_crashes_costs_no_answer_and_what_waits_is_sent_afterwards(small: Shop) -> None:
    small.receiver.signal(signal.SIGSTOP)
    sent = [small.order() for _ in range(20)]
    small.receiver.kill()
    sent += [small.order() for _ in range(20)]
    assert {status for status, _ in sent} == {201}
    wait_until(lambda: "spans wait and 0 were dropped" in small.fleet.orders.logged(), 10, "a warning in the log")
    small.receiver.spawn()
    wait_until(
        lambda: {trace for _, trace in sent} <= {span.trace for span in small.receiver.spans().values()}, 20, "spans"
    )
    for _, trace in sent:
        assert small.traced(trace).names() == ["look-ups", "transaction", "wait for the writer"]
    assert small.metric("trace_spans_dropped_total") == 0
    wait_until(lambda: small.metric("trace_spans_waiting") == 0, 5, "nothing that waits")
    assert small.metric("trace_spans_exported_total") >= len(small.receiver.spans())
