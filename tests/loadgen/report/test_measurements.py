import random

import pytest

from loadgen.report.histogram import FINE, Histogram
from loadgen.report.measurements import MOST_FAILURES, OTHER_FAILURES, Measurements

TIMES = [random.Random(7).lognormvariate(3, 1) for _ in range(5000)]


def load(times: list[float]) -> Measurements:
    measurements = Measurements()
    for place, milliseconds in enumerate(times):
        failure = "503 overloaded" if place % 10 == 0 else None
        measurements.add("orders", "create_order", "POST", milliseconds, failure)
        measurements.timeline.add(place / 1000, milliseconds, "ok", 1)
    return measurements


def test_percentiles_of_an_action_are_at_most_one_percent_off() -> None:
    (latency,) = load(TIMES).latencies()
    ordered = sorted(TIMES)
    assert (latency.action, latency.method, latency.requests, latency.failures) == ("create_order", "POST", 5000, 500)
    for name, share in (("p50", 0.50), ("p95", 0.95), ("p99", 0.99)):
        assert getattr(latency, name) == pytest.approx(ordered[int(share * len(ordered)) - 1], rel=FINE.growth - 1)
    assert latency.max == round(ordered[-1], 2)


def test_two_loads_that_are_merged_are_as_one() -> None:
    whole, merged = load(TIMES), Measurements()
    for half in (TIMES[:2500], TIMES[2500:]):
        merged.merge(load(half).pack())
    assert merged.latencies() == whole.latencies()
    assert merged.failures() == whole.failures() == [("503 overloaded", 500)]
    assert merged.requests == whole.requests == {"users": 0, "products": 0, "orders": 5000}
    assert sum(merged.timeline.as_json()["requests"]) == 5000


def test_keeps_a_bounded_number_of_different_failures() -> None:
    measurements = Measurements()
    for number in range(3 * MOST_FAILURES):
        measurements.add("users", "browse", "GET", 1.0, f"failure {number}")
    failures = dict(measurements.failures())
    assert len(failures) == MOST_FAILURES + 1
    assert failures[OTHER_FAILURES] == 2 * MOST_FAILURES


@pytest.mark.parametrize("milliseconds", [0.0, 0.05, 1e9])
def test_counts_times_beyond_the_classes(milliseconds: float) -> None:
    histogram = Histogram(FINE)
    histogram.add(milliseconds)
    assert histogram.quantile(0.5) is not None
    assert (histogram.count, histogram.longest_ms) == (1, milliseconds)


def test_a_histogram_without_a_request_has_no_percentile() -> None:
    assert Histogram(FINE).quantile(0.99) is None
