"""The client of one remote service, as far as it needs none: chunks of ids, changed addresses."""

import time
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from orders_service.settings import OrdersSettings
from orders_service.upstream import client
from orders_service.upstream.client import LONGEST_IDS, MOST_IDS, RESOLVE_PATIENCE_S, Remote, chunks
from orders_service.upstream.metrics import LookupMetrics
from orders_service.upstream.pages import UserPage
from service_common.ids import MAX_ID


@given(st.lists(st.integers(1, MAX_ID), max_size=2000))
def test_chunks_hold_every_id_once_in_order_and_fit_into_a_request(ids: list[int]) -> None:
    found = list(chunks(ids))
    assert [id for chunk in found for id in chunk] == ids
    for chunk in found:
        assert 1 <= len(chunk) <= MOST_IDS
        assert len(",".join(map(str, chunk))) <= LONGEST_IDS


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (500, [500]), (501, [500, 1]), (1000, [500, 500]), (1001, [500, 500, 1])]
)
def test_a_request_has_at_most_500_ids(count: int, sizes: list[int]) -> None:
    assert [len(chunk) for chunk in chunks(list(range(1, count + 1)))] == sizes


def test_the_longest_ids_fit_into_a_request_line() -> None:
    ids = [MAX_ID] * 1000
    assert max(len(chunk) for chunk in chunks(ids)) == LONGEST_IDS // 20


def test_a_slow_name_server_does_not_delay_look_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, addresses = Event(), [["10.0.0.1"], ["10.0.0.2"]]

    def resolve(*_args: Any, **_options: Any) -> list[str]:
        answered.wait(10)
        return addresses.pop(0)

    monkeypatch.setattr(client.socket, "getaddrinfo", resolve)
    metrics = LookupMetrics(CollectorRegistry(), dict)
    remote = Remote("users", "http://users:8000", UserPage, OrdersSettings(), metrics)
    began = time.monotonic()
    for _ in range(5):
        remote._follow_address()
    assert time.monotonic() - began < 2 * RESOLVE_PATIENCE_S + 0.5  # only the first waited
    session = remote._session
    answered.set()
    gevent.sleep(0.01)
    assert remote._session is session
    monkeypatch.setattr(client, "RESOLVE_EVERY_S", 0.0)
    remote._follow_address()
    assert not addresses
    assert remote._session is not session  # the second address differs
