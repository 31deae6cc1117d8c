"""From what a client writes to what the database answers: no cent is lost on the way."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from importlib import resources

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orders_service import app as orders
from orders_service.models import CheckedOrder, NewOrder
from products_service import app as products
from products_service.models import NewProduct
from service_common.inbound import parse

CENTS = st.integers(0, 100_000_000)


def table(name: str) -> apsw.Connection:
    """A database in memory with the schema of a service."""
    db = apsw.Connection(":memory:")
    db.execute(resources.files(f"{name}_service").joinpath("schema.sql").read_text(encoding="utf-8"))
    return db


@pytest.fixture(scope="module")
def product_table() -> Iterator[apsw.Connection]:
    with table("products") as db:
        yield db


@pytest.fixture(scope="module")
def order_table() -> Iterator[apsw.Connection]:
    with table("orders") as db:
        yield db


def written(cents: int, form: str) -> str:
    """A price in one of the forms in which a client may write it, as JSON."""
    exact = f"{cents // 100}.{cents % 100:02}"
    return {
        "string": f'"{exact}"',
        "long string": f'"000{exact}"',
        "number": exact,
        "long number": f"{exact}000",
        "exponent": f"{cents}e-2",
        "shifted": f"{cents}0.0E-3",
    }[form]


FORMS = st.sampled_from(["string", "long string", "number", "long number", "exponent", "shifted"])


@given(CENTS, FORMS)
@example(0, "number")
@example(100_000_000, "shifted")
@example(29, "number")  # 0.29 * 100 is 28.999999999999996
def test_a_price_comes_back_as_its_exact_text(product_table: apsw.Connection, cents: int, form: str) -> None:
    body = f'{{"name": "Tea", "price": {written(cents, form)}}}'
    ((stored, text),) = products.insert(product_table, parse(NewProduct, body.encode()), "cents, price")
    assert stored == cents
    assert Fraction(text) == Fraction(cents, 100)
    assert text == f"{Decimal(cents).scaleb(-2):.2f}"
    again = f'{{"name": "Tea", "price": "{text}"}}'
    assert parse(NewProduct, again.encode()).price == cents


@given(CENTS, st.integers(1, 10_000))
@example(100_000_000, 10_000)
@example(1, 1)
def test_a_total_is_the_price_times_the_quantity(order_table: apsw.Connection, cents: int, quantity: int) -> None:
    checked = CheckedOrder(NewOrder(user_id=1, product_id=1, quantity=quantity), "Tea", cents)
    ((unit_price, total),) = orders.insert(order_table, checked, "unit_price, total")
    assert Fraction(unit_price) * quantity == Fraction(total)
    assert (unit_price, total) == tuple(f"{Decimal(each).scaleb(-2):.2f}" for each in (cents, cents * quantity))
