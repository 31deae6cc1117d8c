"""After a backup was restored, what orders and products disagree about stops that product until a person has looked."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from testbed import Fleet, Process, wait_until

from .shop import Shop
from .test_stock_rules import bought, metric, stock


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    fleet = Fleet(tmp_path / "data", env={"SWEEP_EVERY": "0.3", "OWNER_BEAT": "0.3", "ACCESS_LOG": "0"})
    try:
        yield Shop(fleet.start()).open()
    finally:
        fleet.stop()


def copy(process: Process, to: Path) -> None:
    process.stop()
    shutil.copy(process.database, to)
    process.start()


def restore(process: Process, copied: Path) -> None:
    process.stop()
    for file in process.directory.glob(f"{process.service}.db*"):
        file.unlink()
    shutil.copy(copied, process.database)
    process.start()


def stopped(shop: Shop, product: int) -> bool:
    answer = shop.send(product)
    if answer.status_code != 503:
        return False
    assert answer.json()["type"] == "/problems/stock-held"
    assert f"the stock of product {product}" in answer.json()["detail"]
    return True


def change_stock(shop: Shop, product: int, add: int) -> None:
    url = f"{shop.fleet.products.url}/products/{product}/stock"
    assert requests.post(url, json={"add": add}, timeout=5).status_code == 200


def test_sales_that_orders_has_forgotten_stop_the_product_until_its_stock_is_changed(
    shop: Shop, tmp_path: Path
) -> None:
    product, other = shop.product(5), shop.product(5)
    orders = shop.fleet.orders
    copy(orders, tmp_path / "copy.db")
    bought(shop, product)
    restore(orders, tmp_path / "copy.db")
    wait_until(lambda: stopped(shop, product), 5, "the stop")
    assert metric(orders, "stock_unreconciled_total") == 1
    assert "a backup was restored" in orders.logged()
    assert shop.order(other) == 201
    orders.kill()
    orders.start()
    wait_until(lambda: stopped(shop, product), 5, "the stop after a restart")
    assert metric(orders, "stock_unreconciled_total") == 0  # it is written down, and not news
    before = stock(shop, product)
    change_stock(shop, product, 1)
    wait_until(lambda: not stopped(shop, product), 5, "the end of the stop")
    assert stock(shop, product) == before
    orders.kill()
    orders.start()
    assert shop.order(product) == 201


def test_a_confirm_that_products_does_not_know_stops_the_product(shop: Shop, tmp_path: Path) -> None:
    product = shop.product(5)
    assert shop.order(product) == 201
    wait_until(lambda: not shop.unsettled(), 5, "settling")
    with closing(sqlite3.connect(shop.fleet.products.database)) as db, db:  # what a restore in the middle does
        db.execute(
            "CREATE TRIGGER forgetful AFTER INSERT ON reservations BEGIN"
            " DELETE FROM reservations WHERE token = new.token; UPDATE products SET stock = stock + 1; END"
        )
    assert shop.order(product) == 201
    wait_until(lambda: stopped(shop, product), 5, "the stop")
    wait_until(lambda: metric(shop.fleet.orders, "stock_unreconciled_total") >= 1, 5, "the count")
    with closing(sqlite3.connect(shop.fleet.products.database)) as db, db:
        db.execute("DROP TRIGGER forgetful")
    change_stock(shop, product, -1)
    wait_until(lambda: not stopped(shop, product), 5, "the end of the stop")
