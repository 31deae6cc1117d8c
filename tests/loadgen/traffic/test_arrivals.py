import time

import gevent

from loadgen.traffic.arrivals import Arrivals


def test_schedules_requests_at_a_steady_rate_even_after_a_stall() -> None:
    arrivals = Arrivals(rate=200)
    first = arrivals.wait()
    assert first is not None
    time.sleep(0.05)  # a stall: ten more requests were scheduled in it
    late = [arrivals.wait() for _ in range(4)]
    assert [round(due - first, 6) for due in late if due is not None] == [0.005, 0.01, 0.015, 0.02]
    assert arrivals.latest == 0  # the load generator itself was not late


def test_waits_for_the_scheduled_moment() -> None:
    arrivals = Arrivals(rate=20)
    arrivals.wait()
    due = arrivals.wait()
    assert due is not None
    assert time.perf_counter() >= due


def test_a_follow_up_request_takes_the_place_of_a_scheduled_one() -> None:
    arrivals = Arrivals(rate=1000)
    first = arrivals.wait()
    arrivals.extra()
    second = arrivals.wait()
    assert first is not None
    assert second is not None
    assert round(second - first, 6) == 0.002


def test_stops_waiting_when_the_load_ends() -> None:
    arrivals = Arrivals(rate=0.1)
    arrivals.wait()
    waiting = gevent.spawn(arrivals.wait)
    gevent.sleep(0)
    arrivals.stopped.set()
    assert waiting.get(timeout=1) is None
