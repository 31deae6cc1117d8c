import random

import pytest

from loadgen.report.histogram import COARSE
from loadgen.report.timeline import MOST_OUTAGES, MOST_SLICES, Timeline


def test_counts_each_request_in_the_second_in_which_it_ended() -> None:
    timeline = Timeline()
    timeline.add(0.4, 5.0, "ok", 1)
    timeline.add(0.9, 7.0, "refused", 0)
    timeline.add(2.1, 9.0, "unknown", 0)
    said = timeline.as_json()
    assert said["slice_seconds"] == 1
    assert (said["requests"], said["writes"]) == ([2, 0, 1], [1, 0, 0])
    assert (said["refused"], said["failed"]) == ([1, 0, 0], [0, 0, 1])
    assert said["max"] == [7.0, None, 9.0]
    assert said["p50"][1] is None


def test_percentiles_are_as_exact_as_the_classes_of_the_histogram() -> None:
    timeline = Timeline()
    times = [random.lognormvariate(3, 1) for _ in range(5000)]
    for milliseconds in times:
        timeline.add(0.0, milliseconds, "ok", 0)
    times.sort()
    said = timeline.as_json()
    for name, share in (("p50", 0.50), ("p95", 0.95), ("p99", 0.99)):
        assert said[name][0] == pytest.approx(times[int(share * len(times)) - 1], rel=COARSE.growth - 1)
    assert said["max"][0] == round(times[-1], 2)


def test_a_run_of_hours_needs_no_more_memory_and_loses_no_request() -> None:
    timeline = Timeline()
    hours = 5 * 3600
    outcomes = ("ok", "refused", "unknown")
    for second in range(hours):
        timeline.add(second + 0.5, 1000.0 if second == 599 else 10.0, outcomes[second % 3], 1)
    said = timeline.as_json()
    width = said["slice_seconds"]
    assert len(timeline.slices) <= MOST_SLICES
    assert width * len(timeline.slices) >= hours
    assert sum(said["requests"]) == sum(said["writes"]) == hours
    assert sum(said["refused"]) == sum(said["failed"]) == hours / 3
    assert max(said["requests"]) == width
    assert said["max"].index(1000.0) == 599 // width
    assert max(said["p50"][1:]) == pytest.approx(10.0, rel=COARSE.growth - 1)


def test_takes_in_the_latest_slices_of_a_load_again_and_again() -> None:
    load, copy = Timeline(), Timeline()
    for at in range(MOST_SLICES + 50):
        load.add(at, 10.0, "ok", 1)
        if at % 3 == 0:
            copy.replace(load.pack(max(0, len(load.slices) - 5)))
    copy.replace(load.pack(max(0, len(load.slices) - 5)))
    assert copy.width_s == load.width_s == 2
    assert copy.as_json() == load.as_json()
    assert copy.as_json(300)["requests"] == load.as_json()["requests"][300:]


def test_tells_an_outage_that_goes_on() -> None:
    timeline = Timeline()
    timeline.not_served("users", 1.0, 1.2, "refused")
    assert timeline.outages_as_json() == []
    timeline.not_served("users", 1.2, 2.0, "refused")
    assert [(each["from"], each["to"]) for each in timeline.outages_as_json()] == [(1.0, 2.0)]
    timeline.served("users", 2.5)
    assert [(each["from"], each["to"]) for each in timeline.outages_as_json()] == [(1.0, 2.5)]


def test_merges_loads_with_slices_of_different_widths() -> None:
    long, short, whole = Timeline(), Timeline(), Timeline()
    for at in range(2 * MOST_SLICES):
        long.add(at, 10.0, "ok", 1)
    for at in range(10):
        short.add(at, 500.0, "refused", 0)
    assert (long.width_s, short.width_s) == (2, 1)
    for each in (short, long, short):
        whole.merge(each.pack(), later_s=float(MOST_SLICES))
    said = whole.as_json()
    assert len(said["requests"]) <= MOST_SLICES
    assert (sum(said["requests"]), sum(said["writes"])) == (2 * MOST_SLICES + 20, 2 * MOST_SLICES)
    first = MOST_SLICES // said["slice_seconds"]
    assert said["requests"][first - 1 : first + 1] == [0, 3 * said["slice_seconds"]]
    assert said["max"][first] == 500.0


def test_copes_with_a_gap_of_hours_between_two_requests() -> None:
    timeline = Timeline()
    timeline.add(0.0, 1.0, "ok", 0)
    timeline.add(1e6, 1.0, "ok", 0)
    assert len(timeline.slices) <= MOST_SLICES
    assert sum(timeline.as_json()["requests"]) == 2


@pytest.mark.parametrize("milliseconds", [0.0, 0.05, 1e9])
def test_counts_times_beyond_the_classes(milliseconds: float) -> None:
    timeline = Timeline()
    timeline.add(0.0, milliseconds, "ok", 0)
    assert timeline.as_json()["p99"][0] is not None


def test_an_outage_lasts_from_the_first_failed_write_to_the_next_served_one() -> None:
    timeline = Timeline()
    timeline.served("users", 1.0)
    timeline.not_served("users", 2.0, 2.1, "ConnectionRefusedError")
    timeline.not_served("users", 1.9, 2.2, "TimeoutError")
    timeline.served("orders", 2.3)
    timeline.served("users", 4.5)
    assert timeline.outages_as_json() == [
        {"service": "users", "from": 1.9, "to": 4.5, "writes": 2, "why": "ConnectionRefusedError"}
    ]


def test_one_reset_connection_is_not_an_outage() -> None:
    timeline = Timeline()
    timeline.not_served("users", 2.0, 2.1, "ConnectionResetError")
    timeline.served("users", 9.0)
    timeline.not_served("users", 9.1, 9.2, "ConnectionResetError")
    timeline.not_served("users", 9.1, 9.2, "ConnectionResetError")
    timeline.served("users", 9.3)
    assert timeline.outages_as_json() == []


def test_keeps_an_outage_that_goes_on_at_the_end() -> None:
    timeline = Timeline()
    timeline.not_served("orders", 2.0, 2.1, "x")
    timeline.not_served("orders", 6.0, 7.0, "x")
    timeline.close()
    (outage,) = timeline.outages_as_json()
    assert (outage["from"], outage["to"]) == (2.0, 7.0)


def test_keeps_the_longest_of_very_many_outages() -> None:
    timeline = Timeline()
    for place in range(3 * MOST_OUTAGES):
        begin, length = 10.0 * place, 5.0 if place == 1 else 1.0
        timeline.not_served("users", begin, begin + 0.1, "x")
        timeline.not_served("users", begin, begin + 0.2, "x")
        timeline.served("users", begin + length)
    assert len(timeline.outages) == MOST_OUTAGES
    assert max(outage.end - outage.begin for outage in timeline.outages) == 5.0
