"""POST /…/batch: up to 1000 items in one transaction, each of which stands or falls alone."""

from typing import Any

import pytest

from testbed import Fleet

from .client import (
    SERVICES,
    created,
    everything,
    metric,
    new_item,
    new_key,
    new_order,
    new_product,
    new_user,
    pointers,
    post,
    refused,
    requests_logged,
    served,
    well_formed,
)


def statuses(results: list[dict[str, Any]]) -> list[int]:
    return [result["status"] for result in results]


def judged(results: list[dict[str, Any]], request_id: str) -> list[str | None]:
    """The kind of each result's problem, None for an item; each in its one shape."""
    kinds = []
    for result in results:
        if result["status"] == 201:
            assert set(result) == {"status", "item"}
            kinds.append(None)
            continue
        assert set(result) == {"status", "problem"}
        problem = result["problem"]
        assert (problem["status"], problem["request_id"]) == (result["status"], request_id)
        assert problem["title"] and problem["detail"]
        kinds.append(problem["type"].removeprefix("/problems/"))
    return kinds


@SERVICES
def test_results_come_in_the_order_of_the_items(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    items = [new_item(fleet, name) for _ in range(5)]
    answer = post(process, {"items": items}, "/batch")
    assert (answer.status_code, set(answer.json())) == (200, {"results"})
    results = answer.json()["results"]
    assert statuses(results) == [201] * 5
    for sent, result in zip(items, results, strict=True):
        assert well_formed(name, result["item"]) and sent.items() <= result["item"].items()
    assert everything(process, f"after={results[0]['item']['id'] - 1}") == [result["item"] for result in results]


@SERVICES
def test_an_item_that_is_wrong_falls_alone(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    good, bad = new_item(fleet, name), new_item(fleet, name) | {"id": 7}
    answer = post(process, {"items": [good, bad, "text", None, [], {}, new_item(fleet, name)]}, "/batch")
    results = answer.json()["results"]
    kinds = judged(results, answer.headers["X-Request-ID"])
    assert kinds == [None, *["validation"] * 5, None]
    assert pointers(results[1]["problem"]) == ["/id"]
    assert pointers(results[2]["problem"]) == [""]
    assert [item["id"] for item in everything(process, f"after={results[0]['item']['id'] - 1}")] == [
        results[0]["item"]["id"],
        results[6]["item"]["id"],
    ]


def test_of_equal_addresses_in_one_batch_the_first_is_taken(fleet: Fleet, services_on: str) -> None:
    taken, twin = created(fleet.users, new_user()), new_user()
    items = [twin, twin, twin | {"email": twin["email"].upper()}, {"name": "B", "email": taken["email"]}, new_user()]
    answer = post(fleet.users, {"items": items}, "/batch")
    results = answer.json()["results"]
    duplicate = "duplicate-email"
    assert judged(results, answer.headers["X-Request-ID"]) == [None, duplicate, duplicate, duplicate, None]
    if services_on == "sqlite":  # those that fell used no ids; PostgreSQL gives the ids of a group before it knows
        assert results[4]["item"]["id"] == results[0]["item"]["id"] + 1


def test_orders_are_checked_each_for_itself(fleet: Fleet) -> None:
    order = new_order(fleet)
    items = [order, order | {"user_id": 10**12}, order | {"product_id": 10**12}, order | {"quantity": 0}, order]
    answer = post(fleet.orders, {"items": [*items, {"user_id": 10**12, "product_id": 10**12, "quantity": 1}]}, "/batch")
    results = answer.json()["results"]
    unknown = "unknown-reference"
    kinds = [None, unknown, unknown, "validation", None, unknown]
    assert judged(results, answer.headers["X-Request-ID"]) == kinds
    named = [pointers(results[place]["problem"]) for place in (1, 2, 5)]
    assert named == [["/user_id"], ["/product_id"], ["/user_id", "/product_id"]]
    assert len(everything(fleet.orders, f"user_id={order['user_id']}")) == 2


@SERVICES
def test_a_batch_of_a_thousand_is_one_transaction(fleet: Fleet, name: str) -> None:
    process, item = served(fleet, name), new_item(fleet, name)
    items = [item if name == "orders" else new_item(fleet, name) for _ in range(1000)]
    before = metric(process, "write_group_jobs_count")
    results = post(process, {"items": items}, "/batch").json()["results"]
    assert metric(process, "write_group_jobs_count") - before in (1, 2)  # the purge of each minute may be one
    assert statuses(results) == [201] * 1000
    ids = [result["item"]["id"] for result in results]
    assert ids == list(range(ids[0], ids[0] + 1000))


@SERVICES
@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_1_to_1000_items(fleet: Fleet, name: str, count: int) -> None:
    process, item = served(fleet, name), new_item(fleet, name)
    last = created(process, item)["id"]
    other = item if name == "orders" else new_item(fleet, name)
    assert pointers(refused(post(process, {"items": [other] * count}, "/batch"), "validation")) == ["/items"]
    assert created(process, other)["id"] == last + 1


@SERVICES
@pytest.mark.parametrize(
    ("body", "pointer"),
    [({}, "/items"), ({"items": None}, "/items"), ({"items": {}}, "/items"), ({"items": "text"}, "/items"), ({"items": 1}, "/items"),
     ([], ""), ("text", ""), ({"items": [{}], "more": 1}, "/more")],
)  # fmt: skip
def test_what_is_no_batch_is_refused_whole(fleet: Fleet, name: str, body: Any, pointer: str) -> None:
    assert pointers(refused(post(served(fleet, name), body, "/batch"), "validation")) == [pointer]


@SERVICES
def test_a_batch_that_is_not_i_json_is_refused_whole(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    last = created(process, new_item(fleet, name))["id"]
    good = str(new_item(fleet, name)).replace("'", '"').encode()
    for bad in (b'{"a":1,"a":2}', b"NaN", b'"\\ud800"', b'"\xff"', b"{"):
        refused(post(process, b'{"items":[' + good + b"," + bad + b"]}", "/batch"), "malformed-json")
    assert created(process, new_item(fleet, name))["id"] == last + 1


def test_a_batch_of_orders_asks_each_service_once_for_each_500_ids(fleet: Fleet) -> None:
    users = post(fleet.users, {"items": [new_user() for _ in range(1000)]}, "/batch").json()["results"]
    product = created(fleet.products, new_product())["id"]
    items = [{"user_id": result["item"]["id"], "product_id": product, "quantity": 1} for result in users]
    request_id = new_key()
    results = post(fleet.orders, {"items": items}, "/batch", X_Request_ID=request_id).json()["results"]
    assert statuses(results) == [201] * 1000
    assert len(requests_logged(fleet.users, request_id)) == 2
    assert len(requests_logged(fleet.products, request_id)) == 1


def test_a_batch_in_which_no_order_is_well_formed_asks_nobody(fleet: Fleet) -> None:
    request_id = new_key()
    results = post(fleet.orders, {"items": [{"quantity": 0}] * 3}, "/batch", X_Request_ID=request_id).json()["results"]
    assert statuses(results) == [422] * 3
    assert requests_logged(fleet.users, request_id) == requests_logged(fleet.products, request_id) == []


def test_a_problem_names_twenty_errors_at_most(fleet: Fleet) -> None:
    crowded = {f"field{number}": 0 for number in range(1000)}
    problem = refused(post(fleet.users, new_user() | crowded), "validation")
    assert len(problem["errors"]) == 20
    assert "1000" in problem["detail"]
