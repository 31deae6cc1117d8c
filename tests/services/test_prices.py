"""Prices: exact to the cent, from the body to the database and to an order's total."""

import time
from typing import Any

import pytest

from testbed import Fleet, databases

from .client import created, get, new_product, new_user, patch, pointers, post, refused
from .conftest import Alone

LARGEST_CENTS = 100_000_000


def priced(price: bytes) -> bytes:
    """Return the body of a product whose price is written like this."""
    return b'{"name": "Tea", "price": ' + price + b"}"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (b'"19.99"', "19.99"), (b'"0"', "0.00"), (b'"0.00"', "0.00"), (b'"0.01"', "0.01"), (b'"0.1"', "0.10"), (b'".5"', "0.50"),
        (b'"5."', "5.00"), (b'"007.50"', "7.50"), (b'"1000000"', "1000000.00"), (b'"1000000.00"', "1000000.00"),
        (b'"999999.99"', "999999.99"), (b'"0.29"', "0.29"), (b'"1.10"', "1.10"), (b'"\\u0031.5"', "1.50"),
        (b"19.99", "19.99"), (b"0", "0.00"), (b"0.0", "0.00"), (b"-0", "0.00"), (b"-0.0", "0.00"), (b"0.1", "0.10"), (b"0.29", "0.29"),
        (b"0.57", "0.57"), (b"1.005e3", "1005.00"), (b"1e2", "100.00"), (b"1E+2", "100.00"), (b"1e-2", "0.01"), (b"100.000", "100.00"),
        (b"19.990", "19.99"), (b"0.01e4", "100.00"), (b"1e6", "1000000.00"), (b"1000000.00", "1000000.00"), (b"999999.99", "999999.99"),
        (b"1" + b"0" * 100 + b"e-100", "1.00"), (b"1." + b"0" * 1000, "1.00"), (b"0e999999999", "0.00"), (b"0e-999999999", "0.00"),
    ],
)  # fmt: skip
def test_keeps_a_price_to_the_cent(fleet: Fleet, given: bytes, kept: str) -> None:
    item = created(fleet.products, priced(given))
    assert item["price"] == kept
    assert get(fleet.products, f"/{item['id']}").json() == item


@pytest.mark.parametrize(
    "price",
    ["19.999", "0.001", "1000000.01", "1000001", "-1", "-0", "+1", "1e2", "", ".", "..", " 1", "1 ", "1\n", "1,5", "1.2.3", "１９", "٣", "1٫5",
     "NaN", "Infinity", "0x10", "1_000", "1/2", "$1", "1\x00", "9" * 5000, "0." + "0" * 5000, True, False, None, [], {}, ["1"],
     -1, -0.01, 0.001, 19.999, 1000000.01, 1000001, 10**400, 0.1 + 0.2],
)  # fmt: skip
def test_rejects_an_invalid_price(fleet: Fleet, price: Any) -> None:
    assert pointers(refused(post(fleet.products, new_product(price=price)), "validation")) == ["/price"]


@pytest.mark.parametrize(
    "number",
    [b"1e999999999", b"-1e999999999", b"1e-999999999", b"1e99999999999999999999", b"1e-99999999999999999999", b"0.1e-999999999999",
     b"9" * 5_000, b"9" * 1_000_000, b"0." + b"0" * 1_000_000 + b"1", b"1" + b"0" * 500_000 + b"e-500003"],
    ids=lambda number: f"{number[:24].decode()} ({len(number)} bytes)",
)  # fmt: skip
def test_rejects_an_extreme_number_within_two_seconds(fleet: Fleet, number: bytes) -> None:
    began = time.monotonic()
    assert pointers(refused(post(fleet.products, priced(number)), "validation")) == ["/price"]
    assert time.monotonic() - began < 2


def test_changes_a_price_exactly(fleet: Fleet) -> None:
    item = created(fleet.products, new_product(price="1"))
    assert patch(fleet.products, item["id"], b'{"price": 0.29}').json()["price"] == "0.29"
    assert patch(fleet.products, item["id"], {"price": "0"}).json()["price"] == "0.00"
    assert pointers(refused(patch(fleet.products, item["id"], {"price": "-1"}), "validation")) == ["/price"]
    assert pointers(refused(patch(fleet.products, item["id"], {"price": -1}), "validation")) == ["/price"]


def test_stores_prices_as_whole_cents(alone: Alone) -> None:
    products = alone("products")
    given = ["0.29", "19.99", "0.07", "1000000", "0.58", "1.15", "4.35"]
    for price in given:
        created(products, priced(price.encode()))
    rows = databases.query(products, "SELECT cents FROM products ORDER BY id")
    assert rows == [(cents,) for cents in (29, 1999, 7, LARGEST_CENTS, 58, 115, 435)]
    assert all(type(cents) is int for (cents,) in rows)


@pytest.mark.parametrize(
    ("price", "quantity", "total"),
    [("19.99", 2, "39.98"), ("19.99", 3, "59.97"), ("19.99", 10_000, "199900.00"), ("0.29", 100, "29.00"), ("0.29", 10_000, "2900.00"),
     ("0.07", 100, "7.00"), ("1.1", 3, "3.30"), ("0", 10_000, "0.00"), ("0.01", 1, "0.01"), ("999999.99", 9_999, "9998999900.01"),
     ("1000000", 10_000, "10000000000.00")],
)  # fmt: skip
def test_a_total_is_price_times_quantity_to_the_cent(fleet: Fleet, price: str, quantity: int, total: str) -> None:
    user, product = created(fleet.users, new_user()), created(fleet.products, new_product(price=price))
    order = created(fleet.orders, {"user_id": user["id"], "product_id": product["id"], "quantity": quantity})
    assert (order["unit_price"], order["total"]) == (product["price"], total)


def test_keeps_every_number_of_cents_in_two_euros(fleet: Fleet) -> None:
    items = b",".join(b'{"name":"c","price":%d.%02d}' % divmod(cents, 100) for cents in range(200))
    results = post(fleet.products, b'{"items":[' + items + b"]}", "/batch").json()["results"]
    assert [result["item"]["price"] for result in results] == [f"{c // 100}.{c % 100:02d}" for c in range(200)]
