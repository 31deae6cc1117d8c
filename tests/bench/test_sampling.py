"""Spreads and ratios of repeated measurements."""

import pytest

from bench.sampling import Spread, ratios


def test_a_spread_is_the_median_between_the_extremes() -> None:
    assert Spread.of([5.0, 1.0, 3.0, 2.0]) == Spread(2.5, 1.0, 5.0)


def test_rejects_a_spread_of_nothing() -> None:
    with pytest.raises(ValueError, match="nothing"):
        Spread.of([])


def test_a_ratio_is_taken_within_each_round() -> None:
    assert ratios([10.0, 40.0, 30.0], [1.0, 2.0, 3.0]) == Spread(10.0, 10.0, 20.0)


def test_rejects_a_ratio_of_unequally_many_rounds() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios([10.0, 20.0], [1.0])
