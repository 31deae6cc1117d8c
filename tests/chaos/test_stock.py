"""The audit of limited stock in the files, on files written by hand."""

from typing import Any

import pytest

from chaos.databases.stock import Stock, compare_stock, supplied
from chaos.judge import summed


def sent(op: int, path: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"event": "sent", "op": op, "method": "POST", "service": "products", "path": path, "body": body}


def test_adds_up_what_was_acknowledged_once() -> None:
    history = [
        sent(1, "/products", {"name": "Vase", "price": "1.00", "stock": 10}),
        {"event": "ok", "op": 1, "answer": {"id": 4, "stock": 10}},
        sent(2, "/products", {"name": "Tea", "price": "1.00"}),
        {"event": "ok", "op": 2, "answer": {"id": 5, "stock": None}},
        sent(3, "/products/4/stock", {"add": 5}),
        {"event": "unknown", "op": 3},
        sent(3, "/products/4/stock", {"add": 5}),
        {"event": "ok", "op": 3, "answer": {"id": 4, "stock": 15}},
        {"event": "ok", "op": 3, "answer": {"id": 4, "stock": 15}},
        sent(3, "/products/4/stock", {"add": 5}),
        {"event": "ok", "op": 3, "answer": {"id": 4, "stock": 15}},
        sent(4, "/products/4/stock", {"add": -2}),
        {"event": "ok", "op": 4, "answer": {"id": 4, "stock": 13}},
        sent(5, "/products/4/stock", {"add": -90}),
        {"event": "refused", "op": 5},
    ]
    assert supplied(history) == {4: 13}


def held() -> Stock:
    """Return a product with 13 units supplied: 5 in two orders, 8 left."""
    stock = Stock()
    stock.add({"ordered": [["a.1.0", 4, 2], ["a.2.0", 4, 3]]})
    stock.add({"left": [[4, 8]], "reserved": [], "sold": [["a.1.0", 4, 2], ["a.2.0", 4, 3]]})
    return stock


def found(stock: Stock) -> dict[str, int]:
    return {name: number for name, number in compare_stock({4: 13}, stock).items() if number}


def test_files_that_agree_have_no_errors() -> None:
    assert found(held()) == {}


def lose_units(stock: Stock) -> None:
    stock.left[4] -= 1


def sell_under_a_token_of_no_order(stock: Stock) -> None:
    stock.sold["b.1.0"] = stock.sold.pop("a.1.0")


def sell_another_quantity(stock: Stock) -> None:
    stock.sold["a.1.0"] = (4, 1)
    stock.left[4] += 1


def never_confirm(stock: Stock) -> None:
    stock.reserved["a.1.0"] = stock.sold.pop("a.1.0")


def order_what_nobody_reserved(stock: Stock) -> None:
    stock.ordered["a.3.0"] = (4, 9)


@pytest.mark.parametrize(
    ("broken", "errors"),
    [
        (lose_units, {"units lost in file": 1}),
        (sell_under_a_token_of_no_order, {"tokens of orders and sales differ": 2}),
        (sell_another_quantity, {"tokens of orders and sales differ": 2}),
        (never_confirm, {"tokens of orders and sales differ": 1, "reserved in file": 1}),
        (order_what_nobody_reserved, {"oversold in file": 1, "tokens of orders and sales differ": 1}),
    ],
)
def test_counts_each_kind_of_error(broken: Any, errors: dict[str, int]) -> None:
    stock = held()
    broken(stock)
    assert found(stock) == errors


def test_a_finding_of_http_and_of_the_files_counts_once() -> None:
    counts = summed({"oversold": 1, "oversold in file": 1, "still reserved": 2, "sales and orders differ": 1})
    assert (counts["oversold"], counts["stuck"], counts["units_lost"], counts["other"]) == (1, 2, 0, 1)
