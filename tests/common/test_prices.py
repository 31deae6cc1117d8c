"""Prices in whole cents, however the number is written."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from products_service.models import HIGHEST, cents
from service_common.http import ijson

NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)


def exact(written: str) -> Fraction:
    return Fraction(Decimal(written))


@given(NUMBERS)
@example("1e-2")
@example("10000000e-1")
@example("1000000.00000000000000000000000000000000001")
@example("0.0" + "0" * 100 + "1")
def test_accepts_exactly_the_numbers_that_are_whole_cents_in_range(written: str) -> None:
    value = exact(written) * 100
    if value.denominator == 1 and 0 <= value <= HIGHEST * 100:
        assert cents(ijson.loads(written.encode())) == value
    else:
        with pytest.raises(ValueError, match="must be a decimal"):
            cents(ijson.loads(written.encode()))


@given(st.text("0123456789.+-eE ,_", max_size=12))
def test_accepts_exactly_the_texts_of_digits_with_at_most_two_decimals(written: str) -> None:
    whole, point, decimals = written.partition(".")
    fits = (
        (whole + decimals).isdigit()
        and len(decimals) <= 2
        and int((whole + decimals) or "0") * 10 ** (2 - len(decimals)) <= HIGHEST * 100
    )
    if fits:
        assert cents(written) == exact(written if whole else f"0{point}{decimals}") * 100
    else:
        with pytest.raises(ValueError, match="must be a decimal"):
            cents(written)


@pytest.mark.parametrize(
    "price", [0.29, 19.99, 0.0, 1.0, float("nan"), float("inf"), 1j, b"1", object(), Fraction(1, 2)]
)
def test_rejects_every_float(price: Any) -> None:
    with pytest.raises(ValueError, match="must be a decimal"):
        cents(price)


@pytest.mark.parametrize("price", [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("-Infinity")])
def test_rejects_a_number_that_is_not_finite(price: Decimal) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        cents(price)
