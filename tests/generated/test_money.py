"""Prices and totals: no cent is lost between the client's JSON and the row that is answered."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from importlib import resources
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from orders_service import app as orders
from orders_service.checkout import Checkout
from orders_service.models import NewOrder
from orders_service.upstream.attempts import Attempts
from products_service import app as products
from products_service.models import NewProduct
from service_common.http.body import validate
from service_common.http.ijson import loads
from service_common.storage.database import Insert, Row, Schema, Table, Write, WriteLimits
from service_common.storage.sqlite.database import SqliteDatabase

CENTS = st.integers(0, 100_000_000)


@pytest.fixture(scope="module")
def inserted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Table, Row], dict[str, Any]]]:
    """Return a function that inserts a row into a table of its own database and returns it as it is answered."""
    opened: dict[str, SqliteDatabase] = {}

    def insert(table: Table, row: Row) -> dict[str, Any]:
        if table.name not in opened:
            sql = resources.files(f"{table.name}_service").joinpath("schema.sqlite.sql").read_text(encoding="utf-8")
            path = tmp_path_factory.mktemp("money") / f"{table.name}.db"
            database = SqliteDatabase(path, Schema(table.name, sql, (table,)), WriteLimits(), CollectorRegistry())
            database.file.writing.pragma("synchronous", 0)  # no crash is tested here
            opened[table.name] = database
        (found,) = opened[table.name].write(Write(Insert(table, [row])))
        return dict(zip(table.answers, found, strict=False))

    yield insert
    for database in opened.values():
        database.close(5)


def written(cents: int, form: str) -> str:
    """Return a price as JSON, in one of the forms that a client may use."""
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
def test_returns_a_price_as_its_exact_text(inserted: Callable[[Table, Row], Any], cents: int, form: str) -> None:
    body = f'{{"name": "Tea", "price": {written(cents, form)}}}'
    (row,) = products.rows([validate(NewProduct, loads(body.encode()))])
    assert row == ("Tea", cents, None)
    text = inserted(products.TABLE, row)["price"]
    assert Fraction(text) == Fraction(cents, 100)
    assert text == f"{Decimal(cents).scaleb(-2):.2f}"
    again = f'{{"name": "Tea", "price": "{text}"}}'
    assert validate(NewProduct, loads(again.encode())).price == cents


@given(CENTS, st.integers(1, 10_000))
@example(100_000_000, 10_000)
@example(1, 1)
def test_a_total_is_the_price_times_the_quantity(
    inserted: Callable[[Table, Row], Any], cents: int, quantity: int
) -> None:
    new = NewOrder(user_id=1, product_id=1, quantity=quantity)
    price = f"{Decimal(cents).scaleb(-2):.2f}"
    lookups: Any = Found({1: {"id": 1}}, {1: {"id": 1, "name": "Tea", "price": price, "stock": None}})
    (row,) = Checkout(lookups, Attempts(CollectorRegistry()), patience=1).rows([new])
    assert isinstance(row, tuple)
    order = inserted(orders.TABLE, row)
    assert Fraction(order["unit_price"]) * quantity == Fraction(order["total"])
    assert (order["unit_price"], order["total"]) == (price, f"{Decimal(cents * quantity).scaleb(-2):.2f}")


class Found:
    """Look-ups that find the same users and products for every order."""

    def __init__(self, *found: dict[int, dict[str, Any]]) -> None:
        self._found = found

    def fetch(self, _users: Any, _products: Any, _items: Any) -> tuple[dict[int, dict[str, Any]], ...]:
        return self._found
