"""The parts of look-ups that need no other service: pieces of ids, and the circuit breaker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders_service.lookups import LONGEST_IDS, MOST_IDS, Breaker, chunks
from service_common.inbound import MAX_ID

from ..fleet import wait_until


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
    breaker = Breaker(3, cooldown=0.05)
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
