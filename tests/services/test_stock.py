"""The stock of a product: set, added to, taken away, and kept while orders hold units."""

from typing import Any

import pytest

from testbed import Process

from .client import (
    Item,
    at_once,
    created,
    delete,
    get,
    metric,
    new_key,
    new_product,
    patch,
    pointers,
    post,
    refused,
    send,
)

MOST = 1_000_000_000


def limited(products: Process, stock: int | None) -> Item:
    """Return a new product with that stock."""
    product = created(products, new_product(stock=stock))
    assert product["stock"] == stock
    return product


def token() -> str:
    """Return a token of an attempt of its own."""
    return f"{new_key()}.1.0"


def exchange(products: Process, **messages: Any) -> Item:
    """Send messages of orders and return the answer."""
    answer = post(products, messages, "/reservations")
    assert answer.status_code == 200, answer.text
    exchanged: Item = answer.json()
    return exchanged


def reserve(products: Process, product: Item, quantity: int) -> str:
    """Reserve units of a product and return their token."""
    taken = token()
    messages = [{"token": taken, "product_id": product["id"], "quantity": quantity}]
    answer = exchange(products, reserve=messages)
    assert (answer["short"], answer["held"]) == ([], [])
    return taken


def add(products: Process, product: Item, units: Any, **headers: str) -> Any:
    return post(products, {"add": units}, f"/{product['id']}/stock", **headers)


def stock(products: Process, product: Item) -> Any:
    return get(products, f"/{product['id']}").json()["stock"]


def test_a_product_is_unlimited_unless_it_says_otherwise(products: Process) -> None:
    assert created(products, new_product())["stock"] is None
    items = [new_product(), new_product(stock=None), new_product(stock=0), new_product(stock=7.0)]
    results = post(products, {"items": items}, "/batch").json()["results"]
    assert [result["item"]["stock"] for result in results] == [None, None, 0, 7]


@pytest.mark.parametrize("wrong", [-1, MOST + 1, 1.5, "1", True, []])
def test_refuses_a_stock_that_is_no_number_of_units(products: Process, wrong: Any) -> None:
    product = limited(products, 1)
    assert pointers(refused(post(products, new_product(stock=wrong)), "validation")) == ["/stock"]
    assert pointers(refused(patch(products, product["id"], {"stock": wrong}), "validation")) == ["/stock"]
    assert stock(products, product) == 1


def test_a_patch_tells_unlimited_from_unchanged(products: Process) -> None:
    product = limited(products, 5)
    assert patch(products, product["id"], {"name": "Other"}).json()["stock"] == 5
    assert patch(products, product["id"], {"stock": None}).json()["stock"] is None
    assert patch(products, product["id"], {"price": "1.00"}).json()["stock"] is None
    changed = patch(products, product["id"], {"stock": MOST})
    assert (changed.json()["stock"], changed.headers["ETag"]) == (MOST, '"5"')


@pytest.mark.parametrize("value", [None, 5, 8])
def test_a_patch_of_stock_is_refused_while_units_are_reserved_or_sold(products: Process, value: int | None) -> None:
    product = limited(products, 5)
    taken = reserve(products, product, 2)
    refused(patch(products, product["id"], {"stock": value, "name": "Other"}), "in-use")
    exchange(products, confirm=[taken])
    refused(patch(products, product["id"], {"stock": value}), "in-use")
    left = get(products, f"/{product['id']}")
    assert (left.json(), left.headers["ETag"]) == (product | {"stock": 3}, '"1"')
    assert patch(products, product["id"], {"name": "Other"}).status_code == 200


def test_a_patch_of_stock_is_accepted_when_all_was_released(products: Process) -> None:
    product = limited(products, 5)
    exchange(products, release=[reserve(products, product, 5)])
    assert patch(products, product["id"], {"stock": None}).json()["stock"] is None


def test_the_version_is_compared_before_units_are_looked_for(products: Process) -> None:
    product = limited(products, 5)
    reserve(products, product, 2)
    refused(patch(products, product["id"], {"stock": 9}, If_Match='"7"'), "precondition-failed")
    refused(delete(products, product["id"], If_Match='"7"'), "precondition-failed")


def test_a_product_with_open_reservations_cannot_be_deleted(products: Process) -> None:
    product = limited(products, 5)
    taken = reserve(products, product, 2)
    refused(delete(products, product["id"]), "in-use")
    assert stock(products, product) == 3
    exchange(products, confirm=[taken])
    assert delete(products, product["id"]).status_code == 204
    refused(get(products, f"/{product['id']}"), "not-found")


def test_units_are_added_and_taken_away(products: Process) -> None:
    product = limited(products, 3)
    answer = add(products, product, 4)
    assert (answer.status_code, answer.json()) == (200, product | {"stock": 7})
    assert add(products, product, -7).json()["stock"] == 0
    assert stock(products, product) == 0


def test_stock_and_reservations_leave_the_version_as_it_is(products: Process) -> None:
    product = limited(products, 3)
    assert add(products, product, 4).headers["ETag"] == '"1"'
    exchange(products, confirm=[reserve(products, product, 1)], release=[reserve(products, product, 1)])
    assert patch(products, product["id"], {"name": "Other"}, If_Match='"1"').status_code == 200


def test_adds_units_only_to_the_version_that_is_named_and_keeps_a_refusal_under_its_key(products: Process) -> None:
    product, key = limited(products, 3), new_key()
    patch(products, product["id"], {"name": "Other"})
    refused(add(products, product, 4, If_Match='"1"', Idempotency_Key=key), "precondition-failed")
    refused(add(products, product, 4, If_None_Match="*"), "precondition-failed")
    assert stock(products, product) == 3
    assert add(products, product, 4, If_Match='"2"').json()["stock"] == 7
    replayed = add(products, product, 4, If_Match='"2"', Idempotency_Key=key)
    assert (replayed.status_code, replayed.headers["Idempotency-Replayed"]) == (412, "true")
    assert stock(products, product) == 7
    refused(post(products, {"add": 1}, "/999999999/stock", If_Match="*"), "not-found")


@pytest.mark.parametrize(("left", "detail"), [(0, "none is left"), (1, "only 1 is left"), (3, "only 3 are left")])
def test_takes_away_no_more_than_is_left(products: Process, left: int, detail: str) -> None:
    product = limited(products, left + 2)
    reserve(products, product, 2)
    problem = refused(add(products, product, -left - 1), "out-of-stock")
    assert problem["errors"] == [{"pointer": "/add", "detail": detail}]
    assert stock(products, product) == left


def test_what_is_reserved_counts_towards_the_highest_stock_because_it_may_come_back(products: Process) -> None:
    product = limited(products, MOST)
    taken = reserve(products, product, 10)
    assert pointers(refused(add(products, product, 1), "validation")) == ["/add"]
    exchange(products, release=[taken])
    assert stock(products, product) == MOST
    exchange(products, confirm=[reserve(products, product, 10)])
    assert add(products, product, 10).json()["stock"] == MOST


@pytest.mark.parametrize("body", [{"add": 0}, {"add": MOST + 1}, {"add": -MOST - 1}, {"add": "1"}, {"add": None}])
def test_refuses_what_is_no_number_of_units_to_add(products: Process, body: Any) -> None:
    product = limited(products, 3)
    assert pointers(refused(post(products, body, f"/{product['id']}/stock"), "validation")) == ["/add"]


def test_refuses_unknown_and_missing_fields_of_an_addition(products: Process) -> None:
    path = f"/{limited(products, 3)['id']}/stock"
    assert pointers(refused(post(products, {"add": 1, "more": 1}, path), "validation")) == ["/more"]
    assert pointers(refused(post(products, {}, path), "validation")) == ["/add"]


def test_an_unlimited_product_has_no_stock_to_add_to(products: Process) -> None:
    product, key = limited(products, None), new_key()
    assert pointers(refused(add(products, product, 1, Idempotency_Key=key), "validation")) == ["/add"]
    patch(products, product["id"], {"stock": 0})
    assert add(products, product, 1, Idempotency_Key=key).json()["stock"] == 1, "validation is never kept under a key"


@pytest.mark.parametrize("id", ["0", "x", "999999999", "batch"])
def test_there_is_no_stock_of_a_product_that_does_not_exist(products: Process, id: str) -> None:
    refused(post(products, {"add": 1}, f"/{id}/stock"), "not-found")


def test_stock_is_read_and_added_to_and_nothing_else(products: Process) -> None:
    answer = send(products, "PUT", f"/products/{limited(products, 1)['id']}/stock", {"add": 1})
    refused(answer, "method-not-allowed")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST", "OPTIONS"}


def test_tells_how_often_units_were_added_or_taken_away(products: Process) -> None:
    product, key = limited(products, 5), new_key()
    path = f"/{product['id']}/stock"
    assert get(products, path).json() == {"stock": 5, "additions": 0}
    for _ in range(2):
        add(products, product, 4, Idempotency_Key=key)
    refused(add(products, product, -10), "out-of-stock")
    exchange(products, confirm=[reserve(products, product, 1)], release=[reserve(products, product, 1)])
    assert get(products, path).json() == {"stock": 8, "additions": 1}
    refused(get(products, "/999999999/stock"), "not-found")
    refused(get(products, f"{path}?x=1"), "validation")


def test_units_are_added_once_under_a_key(products: Process) -> None:
    product, key = limited(products, 3), new_key()
    answers = at_once(8, lambda: add(products, product, 4, Idempotency_Key=key))
    assert {answer.content for answer in answers} == {answers[0].content}
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert {answer.headers["ETag"] for answer in answers} == {'"1"'}
    assert stock(products, product) == 7
    refused(add(products, product, 5, Idempotency_Key=key), "idempotency-key-reused")


def test_a_refused_addition_is_kept_under_its_key(products: Process) -> None:
    product, key = limited(products, 3), new_key()
    first = add(products, product, -4, Idempotency_Key=key)
    refused(first, "out-of-stock")
    add(products, product, 10)
    again = add(products, product, -4, Idempotency_Key=key)
    assert (again.status_code, again.content) == (409, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert stock(products, product) == 13


def test_that_there_is_no_product_is_kept_under_the_key(products: Process) -> None:
    key, last = new_key(), limited(products, 0)
    missing = {"id": last["id"] + 100_000}
    first = add(products, missing, 1, Idempotency_Key=key)
    refused(first, "not-found")
    again = add(products, missing, 1, Idempotency_Key=key)
    assert (again.content, again.headers["Idempotency-Replayed"]) == (first.content, "true")


def test_additions_at_the_same_moment_all_count(products: Process) -> None:
    product = limited(products, 0)
    answers = at_once(20, lambda: add(products, product, 3))
    assert sorted(answer.json()["stock"] for answer in answers) == list(range(3, 61, 3))


def test_the_metric_tells_how_many_reservations_are_open(products: Process) -> None:
    product = limited(products, 9)
    before = metric(products, "reservations_open")
    first, second = reserve(products, product, 3), reserve(products, product, 3)
    assert metric(products, "reservations_open") == before + 2
    exchange(products, confirm=[first], release=[second])
    assert metric(products, "reservations_open") == before


@pytest.mark.parametrize("kind", ["out-of-stock", "in-use"])
def test_the_problems_of_stock_are_explained(products: Process, kind: str) -> None:
    explained = send(products, "GET", f"/problems/{kind}").json()
    assert explained["status"] == 409
    assert explained["meaning"] and explained["action"]
