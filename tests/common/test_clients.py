"""Turns of large work, and what is counted of it."""

import resource
from contextlib import ExitStack

import gevent
import pytest

from service_common.clients import Turns, descriptors
from service_common.problems import Problem


def test_so_many_have_a_turn_at_once_and_the_next_one_when_one_has_ended() -> None:
    turns, order = Turns(2, patience=5), []

    def work(name: str) -> None:
        with turns.turn("a"):
            order.append(f"{name} begins")
            gevent.sleep(0.01)
            order.append(f"{name} ends")

    gevent.joinall([gevent.spawn(work, name) for name in "123"], raise_error=True)
    assert order.index("3 begins") > min(order.index("1 ends"), order.index("2 ends"))
    with ExitStack() as both:  # all places are free again
        both.enter_context(turns.turn("a"))
        both.enter_context(turns.turn("a"))


def test_addresses_have_their_turns_one_after_the_other() -> None:
    turns, order = Turns(1, patience=5), []

    def work(address: str, number: int) -> None:
        with turns.turn(address):
            order.append((address, number))

    with turns.turn("x"):
        crowd = [gevent.spawn(work, "crowd", number) for number in range(5)]
        gevent.sleep(0)
        single = gevent.spawn(work, "single", 0)
        gevent.sleep(0)
    gevent.joinall([*crowd, single], raise_error=True)
    assert order == [("crowd", 0), ("single", 0), *(("crowd", number) for number in range(1, 5))]


def test_who_waits_too_long_for_a_turn_is_refused_and_takes_none() -> None:
    turns = Turns(1, patience=0.01)
    with turns.turn("a"):
        for _ in range(2):
            with pytest.raises(Problem) as refused, turns.turn("b"):
                pass
            assert refused.value.kind == "overloaded"
    with turns.turn("b"):
        pass


def test_a_turn_that_ends_in_an_error_is_passed_on_too() -> None:
    turns = Turns(1, patience=0.01)
    for _ in range(3):
        with pytest.raises(ValueError, match="broke"), turns.turn("a"):
            raise ValueError("broke")


def test_a_process_has_as_many_descriptors_as_it_asked_for_or_less() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert descriptors(16) == 16
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft  # it had them already
        assert descriptors(10**9) == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
