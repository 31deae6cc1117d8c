import time

import gevent

from loadgen.arrivals import Arrivals


def test_requests_are_due_at_a_steady_rate_also_those_that_are_late() -> None:
    arrivals = Arrivals(rate=200)
    first = arrivals.wait()
    assert first is not None
    time.sleep(0.05)  # a stall: ten more have been due
    late = [arrivals.wait() for _ in range(4)]
    assert [round(due - first, 6) for due in late if due is not None] == [0.005, 0.01, 0.015, 0.02]
    assert arrivals.latest == 0  # whoever was busy, the load generator was not


def test_one_that_is_not_due_yet_is_waited_for() -> None:
    arrivals = Arrivals(rate=20)
    arrivals.wait()
    due = arrivals.wait()
    assert due is not None
    assert time.perf_counter() >= due


def test_a_request_that_follows_another_takes_the_place_of_one() -> None:
    arrivals = Arrivals(rate=1000)
    first = arrivals.wait()
    arrivals.extra()
    second = arrivals.wait()
    assert first is not None
    assert second is not None
    assert round(second - first, 6) == 0.002


def test_when_the_load_ends_nobody_waits_on() -> None:
    arrivals = Arrivals(rate=0.1)
    arrivals.wait()
    waiting = gevent.spawn(arrivals.wait)
    gevent.sleep(0)
    arrivals.stopped.set()
    assert waiting.get(timeout=1) is None
