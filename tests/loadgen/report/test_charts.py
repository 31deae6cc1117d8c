import re

import pytest

from loadgen.report.charts import Mark, Series, chart, clock, linear, logarithmic, path, times_of


@pytest.mark.parametrize("largest", [0.0, 0.03, 1.0, 7.0, 99.0, 101.0, 123_456.0])
def test_a_linear_axis_is_round_and_holds_every_value(largest: float) -> None:
    axis = linear([0.0, None, largest])
    assert axis.ticks[0] == 0
    assert axis.top >= largest
    assert axis.top == axis.ticks[-1]
    assert 3 <= len(axis.ticks) <= 6
    assert axis.share(largest) <= 1


def test_on_a_logarithmic_axis_each_step_is_ten_times_the_last() -> None:
    axis = logarithmic([3.0, None, 450.0])
    assert axis.ticks == [1.0, 10.0, 100.0, 1000.0]
    assert [round(axis.share(tick), 3) for tick in axis.ticks] == [0, 0.333, 0.667, 1]


@pytest.mark.parametrize("values", [[], [None], [0.0], [5.0], [10.0]])
def test_draws_an_axis_of_few_values_or_none(values: list[float | None]) -> None:
    for axis in (linear(values), logarithmic(values)):
        assert axis.top > axis.bottom
        assert len(axis.ticks) >= 2


def test_a_line_stops_at_a_gap_and_a_lone_value_is_a_dot() -> None:
    assert path([0, 10, None, 5, None], linear([10.0]), 1, 5) == "M100.0 200.0L300.0 0.0M700.0 100.0h0"


def test_draws_the_last_slice_as_wide_as_the_rest_of_the_time() -> None:
    assert path([10, 10], linear([10.0]), 10, 15).split("L")[1].startswith("833.3 ")


@pytest.mark.parametrize(("seconds", "last"), [(0.5, "0 s"), (6, "6 s"), (70, "1:00"), (4000, "1:00:00")])
def test_times_are_round_and_few(seconds: float, last: str) -> None:
    times = list(times_of(seconds))
    assert len(times) <= 7
    assert clock(times[-1]) == last


def test_draws_faults_behind_the_lines_and_escapes_names() -> None:
    marks = [Mark("users served no write", 2.0, 4.0), Mark("orders restarted", 9.999, 9.999)]
    drawn = chart("Per second", [Series("<b>", "p50", [1, 2, None, 3])], linear([3.0]), 1, 10, marks)
    assert "&lt;b&gt;" in drawn
    assert "<title>users served no write</title>" in drawn
    assert drawn.index("outage") < drawn.index('class="line')
    rects = re.findall(r'<rect class="(\w+)" x="([\d.]+)" y="0" width="([\d.]+)"', drawn)
    assert rects == [("outage", "200.0", "200.0"), ("restart", "998.0", "2.0")]
