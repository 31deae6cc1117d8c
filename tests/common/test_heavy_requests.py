"""Heavy requests: a few at a time, in turns of their addresses; and the file descriptors of a process."""

import resource
from contextlib import ExitStack

import gevent
import pytest

from service_common.server.errors import TooManyLargeRequests
from service_common.server.heavy_requests import HeavyRequests
from service_common.server.process_limits import raise_descriptor_limit


def test_two_requests_have_places_and_the_next_waits_for_one() -> None:
    places, order = HeavyRequests(2, patience=5), []

    def work(name: str) -> None:
        with places.place("a"):
            order.append(f"{name} begins")
            gevent.sleep(0.01)
            order.append(f"{name} ends")

    gevent.joinall([gevent.spawn(work, name) for name in "123"], raise_error=True)
    assert order.index("3 begins") > min(order.index("1 ends"), order.index("2 ends"))
    with ExitStack() as both:  # both places are free again
        both.enter_context(places.place("a"))
        both.enter_context(places.place("a"))


def test_addresses_take_turns() -> None:
    places, order = HeavyRequests(1, patience=5), []

    def work(address: str, number: int) -> None:
        with places.place(address):
            order.append((address, number))

    with places.place("x"):
        crowd = [gevent.spawn(work, "crowd", number) for number in range(5)]
        gevent.sleep(0)
        single = gevent.spawn(work, "single", 0)
        gevent.sleep(0)
    gevent.joinall([*crowd, single], raise_error=True)
    assert order == [("crowd", 0), ("single", 0), *(("crowd", number) for number in range(1, 5))]


def test_a_request_that_waits_too_long_is_refused_and_takes_no_place() -> None:
    places = HeavyRequests(1, patience=0.01)
    with places.place("a"):
        for _ in range(2):
            with pytest.raises(TooManyLargeRequests), places.place("b"):
                pass
    with places.place("b"):
        pass


def test_a_place_is_passed_on_after_an_error() -> None:
    places = HeavyRequests(1, patience=0.01)
    for _ in range(3):
        with pytest.raises(ValueError, match="broke"), places.place("a"):
            raise ValueError("broke")


def test_a_process_gets_the_descriptors_that_it_asks_for_or_fewer() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert raise_descriptor_limit(16) == 16
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft  # it had them already
        assert raise_descriptor_limit(10**9) == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
