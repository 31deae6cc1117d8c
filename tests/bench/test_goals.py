import pytest

from bench.goals import GOALS, Goal, Value
from bench.sampling import Spread, ratios

from .written import FIGURES


def goal(words: str) -> Goal:
    (found,) = [each for each in GOALS if words in each.what]
    return found


def value(words: str) -> Value:
    found = goal(words)
    return found.value(FIGURES[found.part])


def test_a_spread_is_the_median_between_the_extremes() -> None:
    assert Spread.of([5.0, 1.0, 3.0, 2.0]) == Spread(2.5, 1.0, 5.0)


def test_nothing_measured_is_no_spread() -> None:
    with pytest.raises(ValueError, match="nothing"):
        Spread.of([])


def test_a_ratio_is_taken_within_each_round() -> None:
    assert ratios([10.0, 40.0, 30.0], [1.0, 2.0, 3.0]) == Spread(10.0, 10.0, 20.0)


def test_rounds_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios([10.0, 20.0], [1.0])


@pytest.mark.parametrize(
    ("words", "median", "of", "reached"),
    [
        ("tutorial", 13.3333, "", True),
        ("FastAPI", 8.66667, "", False),
        ("orders a second against the echoing", 0.65, "", False),
        ("users a second against the echoing", 0.875, "", True),
        ("p99", 4.5, "", True),
        ("bulk", 0.2, "orders", False),
        ("resident", 160.5, "100,321 orders", True),
        ("docker compose up", 4.05, "", False),
        ("image above", 70.0, "loadgen", False),
        ("10 million", 0.89, "10,000,000 rows", False),
        ("512 connections", 0.95, "", True),
    ],
)
def test_each_goal_is_judged_by_its_own_figures(words: str, median: float, of: str, reached: bool) -> None:
    found = value(words)
    assert found.spread.median == pytest.approx(median, rel=1e-4)
    assert found.of == of
    assert goal(words).reached(found) is reached


def test_every_goal_is_judged_above() -> None:
    (mark,) = test_each_goal_is_judged_by_its_own_figures.pytestmark  # type: ignore[attr-defined]
    assert {goal(words).what for words, *_ in mark.args[1]} == {each.what for each in GOALS}


def test_at_least_is_reached_by_equality_and_under_is_not() -> None:
    exactly = Value(Spread.of([0.75]))
    assert Goal("", "peers", "at least", 0.75, lambda _: exactly).reached(exactly)
    assert not Goal("", "peers", "under", 0.75, lambda _: exactly).reached(exactly)
