"""The parts of look-ups that need no other service: pieces of ids, rounds, the circuit breaker, addresses."""

import json
import time
from collections.abc import Collection
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter

from orders_service import lookups
from orders_service.lookups import (
    LONGEST_IDS,
    MOST_IDS,
    MOST_IN_ROUND,
    RESOLVE_PATIENCE_S,
    Breaker,
    Found,
    Lookups,
    Remote,
    UserPage,
    chunks,
)
from service_common.inbound import MAX_ID
from service_common.logs import JsonFormatter, request_id
from service_common.problems import Problem
from service_common.settings import Settings

from ..fleet import free_port, wait_until


@given(st.lists(st.integers(1, MAX_ID), max_size=2000))
def test_pieces_hold_every_id_once_in_order_and_fit_into_a_request(ids: list[int]) -> None:
    pieces = list(chunks(ids))
    assert [id for piece in pieces for id in piece] == ids
    for piece in pieces:
        assert 1 <= len(piece) <= MOST_IDS
        assert len(",".join(map(str, piece))) <= LONGEST_IDS


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (500, [500]), (501, [500, 1]), (1000, [500, 500]), (1001, [500, 500, 1])]
)
def test_short_ids_go_five_hundred_at_a_time(count: int, sizes: list[int]) -> None:
    assert [len(piece) for piece in chunks(list(range(1, count + 1)))] == sizes


def test_the_longest_ids_go_as_many_as_a_request_line_holds() -> None:
    ids = [MAX_ID] * 1000
    assert max(len(piece) for piece in chunks(ids)) == LONGEST_IDS // 20


def test_a_circuit_opens_after_so_many_failures_in_a_row_and_not_before() -> None:
    breaker = Breaker(3, cooldown=60)
    breaker.failed()
    breaker.failed()
    assert not breaker.is_open()
    breaker.succeeded()
    breaker.failed()
    breaker.failed()
    assert not breaker.is_open()
    breaker.failed()
    assert breaker.is_open()


def test_after_its_cooldown_one_failure_opens_it_again_and_a_success_closes_it() -> None:
    breaker = Breaker(3, cooldown=0.5)
    for _ in range(3):
        breaker.failed()
    assert breaker.is_open()
    wait_until(lambda: not breaker.is_open(), what="the end of the cooldown")
    breaker.failed()
    assert breaker.is_open()
    wait_until(lambda: not breaker.is_open(), what="the end of the cooldown")
    breaker.succeeded()
    breaker.failed()
    assert not breaker.is_open()


def test_a_round_holds_so_many_ids_and_who_comes_then_has_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def answer(_remote: Any, ids: Collection[int], _request_id: str) -> Found:
        asked.append(len(ids))
        gevent.sleep(0)
        return {id: {"id": id} for id in ids}

    monkeypatch.setattr(lookups, "attempt", answer)
    shared = Lookups(Settings(), CollectorRegistry())
    mine = [range(number * 100, number * 100 + 100) for number in range(200)]
    callers = [gevent.spawn(shared.fetch, ids, ids) for ids in mine]
    gevent.joinall(callers, timeout=10, raise_error=True)
    for ids, caller in zip(mine, callers, strict=True):
        users, products = caller.value
        assert set(ids) <= users.keys() and set(ids) <= products.keys()
    assert sum(asked) == 2 * 200 * 100
    assert max(asked) <= (MOST_IN_ROUND + 200) / 2


def test_what_is_logged_of_a_round_bears_the_id_of_its_first_order(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caplog.handler, "formatter", JsonFormatter())
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = Settings(users_url=url, products_url=url, breaker_failures=100, lookup_timeout=0.2)
    shared = Lookups(settings, CollectorRegistry())
    for id in ("first", "second"):
        token = request_id.set(id)
        with pytest.raises(Problem, match="dependency-unavailable"):
            shared.fetch([1], [1])
        request_id.reset(token)
    failed = [line for line in map(json.loads, caplog.text.splitlines()) if "failed" in line["message"]]
    assert {line["request_id"] for line in failed} == {"first", "second"}
    assert {line["message"].split()[2] for line in failed} == {"users", "products"}


def test_a_name_server_that_is_slow_does_not_hold_up_look_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, addresses = Event(), [["10.0.0.1"], ["10.0.0.2"]]

    def resolve(*_args: Any, **_options: Any) -> list[str]:
        answered.wait(10)
        return addresses.pop(0)

    monkeypatch.setattr(lookups.socket, "getaddrinfo", resolve)
    remote = Remote(
        "users", "http://users:8000", UserPage, Settings(), Counter("a", "", ("service", "outcome"), registry=None)
    )
    began = time.monotonic()
    for _ in range(5):
        remote._follow_address()
    assert time.monotonic() - began < 2 * RESOLVE_PATIENCE_S + 0.5  # waited for once
    session = remote._session
    answered.set()
    gevent.sleep(0.01)
    assert remote._session is session
    monkeypatch.setattr(lookups, "RESOLVE_EVERY_S", 0.0)
    remote._follow_address()
    assert not addresses
    assert remote._session is not session  # it was the second address
