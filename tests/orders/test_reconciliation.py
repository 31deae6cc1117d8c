"""Contradictions stop a product in every process, whichever has found them."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from orders_service.stock.reconciliation import Reconciliation
from orders_service.upstream.attempts import Attempts
from service_common.storage.sqlite.database import SqliteDatabase


class Products:
    """Products as the reconciliation asks it. It counts how often it is asked for a product's stock."""

    def __init__(self) -> None:
        self.changes = 0  # of the stock by hand
        self.asked = 0

    def sold(self, _remote: Any, _after: str) -> list[dict[str, Any]]:
        return []

    def additions(self, _remote: Any, _product: int) -> int:
        self.asked += 1
        return self.changes


@pytest.fixture
def products() -> Products:
    return Products()


def process(database: SqliteDatabase, products: Products) -> tuple[Attempts, Reconciliation]:
    attempts = Attempts(CollectorRegistry())
    return attempts, Reconciliation(attempts, database, products, None)  # type: ignore[arg-type]


def test_what_one_process_finds_stops_the_product_in_all(database: SqliteDatabase, products: Products) -> None:
    (attempts, one), (others, other) = process(database, products), process(database, products)
    for each in (one, other):
        each.once()
    attempts.missed["token"] = 7
    one.once()
    other.once()
    assert attempts.stopped == others.stopped == {7}


def test_a_change_of_stock_ends_the_stop_in_all_until_something_new_is_found(
    database: SqliteDatabase, products: Products
) -> None:
    (attempts, one), (others, other) = process(database, products), process(database, products)
    attempts.missed["token"] = 7
    one.once()
    other.once()
    products.changes = 1
    for each in (one, other):
        each.once()
    assert attempts.stopped == others.stopped == set()
    asked = products.asked
    one.once()
    assert products.asked == asked  # what has ended is not asked for again
    others.missed["another"] = 7
    other.once()
    one.once()
    assert attempts.stopped == others.stopped == {7}
