"""Rounds of look-ups."""

import json
from collections.abc import Collection
from typing import Any

import gevent
import pytest
from prometheus_client import CollectorRegistry

from orders_service.settings import OrdersSettings
from orders_service.upstream.attempts import Attempts
from orders_service.upstream.client import Found, Remote
from orders_service.upstream.reservations import Reservations
from orders_service.upstream.rounds import MOST_IN_ROUND, Lookups
from service_common.http.problems import Problem
from service_common.telemetry.logs import JsonFormatter
from service_common.telemetry.request_id import request_id
from testbed import free_port


def lookups(settings: OrdersSettings) -> Lookups:
    registry = CollectorRegistry()
    attempts = Attempts(registry)
    return Lookups(settings, attempts, Reservations(attempts), registry)


def test_a_full_round_takes_no_more_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def answer(_remote: Remote, ids: Collection[int], _request_id: str) -> Found:
        asked.append(len(ids))
        gevent.sleep(0)
        return {id: {"id": id} for id in ids}

    monkeypatch.setattr(Remote, "get", answer)
    shared = lookups(OrdersSettings())
    mine = [range(number * 100, number * 100 + 100) for number in range(200)]
    callers = [gevent.spawn(shared.fetch, ids, ids) for ids in mine]
    gevent.joinall(callers, timeout=10, raise_error=True)
    for ids, caller in zip(mine, callers, strict=True):
        users, products = caller.value
        assert set(ids) <= users.keys() and set(ids) <= products.keys()
    assert sum(asked) == 2 * 200 * 100
    assert max(asked) <= (MOST_IN_ROUND + 200) / 2


def test_a_round_releases_no_more_than_products_accepts_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two large batches that release together would be refused, and a refusal counts against products."""
    released: list[int] = []

    def exchange(*arguments: Any) -> Found:
        released.append(len(arguments[4]))
        gevent.sleep(0)
        return {7: {"id": 7}}

    monkeypatch.setattr(Reservations, "exchange", exchange)
    shared = lookups(OrdersSettings())
    for count in (600, 400, 1, 999, 600):
        gevent.spawn(shared.fetch, (), (7,), (), ["token"] * count)
    gevent.sleep(0.1)
    assert released == [1000, 1000, 600]


def test_log_lines_of_a_round_carry_the_request_id_of_its_first_order(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caplog.handler, "formatter", JsonFormatter())
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = OrdersSettings(users_url=url, products_url=url, breaker_failures=100, lookup_timeout=0.2)
    shared = lookups(settings)
    for id in ("first", "second"):
        token = request_id.set(id)
        with pytest.raises(Problem, match="dependency-unavailable"):
            shared.fetch([1], [1])
        request_id.reset(token)
    failed = [line for line in map(json.loads, caplog.text.splitlines()) if "failed" in line["message"]]
    assert {line["request_id"] for line in failed} == {"first", "second"}
    assert {line["message"].split()[2] for line in failed} == {"users", "products"}


def test_no_order_waits_for_ever_for_a_round_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Remote, "get", lambda *_: gevent.sleep(60))
    shared = lookups(OrdersSettings(lookup_timeout=0.01))
    with gevent.Timeout(5), pytest.raises(Problem) as refused:
        shared.fetch([1], [1])
    assert (refused.value.kind.slug, refused.value.detail) == (
        "dependency-unavailable", "The look-ups take too long. Nothing was written."
    )  # fmt: skip
