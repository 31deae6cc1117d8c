"""Orders: both references are looked up, the past stays as it was, the present is one `expand` away."""

import pytest

from testbed import Fleet

from .client import (
    Item,
    created,
    delete,
    everything,
    get,
    metric,
    new_key,
    new_order,
    new_product,
    new_user,
    patch,
    pointers,
    post,
    refused,
    requests_logged,
    rows,
)

NOBODY = 10**12


@pytest.mark.parametrize(
    ("fields", "named"),
    [({"user_id": NOBODY}, ["/user_id"]), ({"product_id": NOBODY}, ["/product_id"]), ({"user_id": 2**63 - 1}, ["/user_id"]),
     ({"user_id": NOBODY, "product_id": NOBODY}, ["/user_id", "/product_id"])],
)  # fmt: skip
def test_an_order_for_an_unknown_user_or_product_is_refused_and_not_written(
    fleet: Fleet, fields: Item, named: list[str]
) -> None:
    before = rows(fleet.orders)
    problem = refused(post(fleet.orders, new_order(fleet, **fields)), "unknown-reference")
    assert pointers(problem) == named
    assert all(str(next(iter(fields.values()))) in error["detail"] for error in problem["errors"])
    assert rows(fleet.orders) == before


def test_an_order_for_a_deleted_user_or_product_is_refused(fleet: Fleet) -> None:
    body = new_order(fleet)
    assert created(fleet.orders, body)
    delete(fleet.users, body["user_id"])
    assert pointers(refused(post(fleet.orders, body), "unknown-reference")) == ["/user_id"]
    delete(fleet.products, body["product_id"])
    assert pointers(refused(post(fleet.orders, body), "unknown-reference")) == ["/user_id", "/product_id"]


def test_an_id_of_a_user_is_not_an_id_of_a_product(fleet: Fleet) -> None:
    product = created(fleet.products, new_product())["id"]
    while (user := created(fleet.users, new_user())["id"]) == product:
        continue
    body = {"user_id": max(user, product), "product_id": max(user, product), "quantity": 1}
    unknown = "/product_id" if user > product else "/user_id"
    assert pointers(refused(post(fleet.orders, body), "unknown-reference")) == [unknown]


def test_an_order_is_accepted_as_soon_as_its_user_and_product_are_there(fleet: Fleet) -> None:
    for _ in range(20):
        assert created(fleet.orders, new_order(fleet))


def test_an_order_keeps_name_and_price_as_they_were(fleet: Fleet) -> None:
    body = new_order(fleet, quantity=3)
    order = created(fleet.orders, body)
    name, price = order["product_name"], order["unit_price"]
    patch(fleet.products, body["product_id"], {"name": "New", "price": "5"})
    assert get(fleet.orders, f"/{order['id']}").json() == order
    later = created(fleet.orders, body)
    assert (later["product_name"], later["unit_price"], later["total"]) == ("New", "5.00", "15.00")
    delete(fleet.products, body["product_id"])
    delete(fleet.users, body["user_id"])
    for found in (order, later):
        assert get(fleet.orders, f"/{found['id']}").json() == found
    assert (order["product_name"], order["unit_price"], order["total"]) == (name, price, "59.97")


def test_the_longest_name_fits_into_an_order(fleet: Fleet) -> None:
    product = created(fleet.products, new_product(name="\N{GRINNING FACE}" * 200))
    order = created(fleet.orders, new_order(fleet, product_id=product["id"]))
    assert order["product_name"] == product["name"]


def test_expand_adds_user_and_product_as_they_are_now(fleet: Fleet) -> None:
    body = new_order(fleet)
    order = created(fleet.orders, body)
    user = patch(fleet.users, body["user_id"], {"name": "Renamed"}).json()
    product = patch(fleet.products, body["product_id"], {"price": "7"}).json()
    path = f"/{order['id']}?expand="
    assert get(fleet.orders, f"{path}user").json() == order | {"user": user}
    assert get(fleet.orders, f"{path}product").json() == order | {"product": product}
    assert get(fleet.orders, f"{path}user,product").json() == order | {"user": user, "product": product}
    both = get(fleet.orders, f"{path}product,user").json()
    assert both == order | {"user": user, "product": product}
    assert [list(both["user"]), list(both["product"])] == [list(user), list(product)]  # in the same order, too
    assert get(fleet.orders, f"/{order['id']}").json() == order


def test_expand_gives_null_for_what_has_been_deleted(fleet: Fleet) -> None:
    body = new_order(fleet)
    order = created(fleet.orders, body)
    delete(fleet.users, body["user_id"])
    found = get(fleet.orders, f"/{order['id']}?expand=user,product").json()
    assert found["user"] is None and found["product"]["id"] == body["product_id"]
    delete(fleet.products, body["product_id"])
    assert get(fleet.orders, f"/{order['id']}?expand=user,product").json() == order | {"user": None, "product": None}


def test_expand_of_a_list_asks_once_for_all_its_orders(fleet: Fleet) -> None:
    first, second, gone = (new_order(fleet) for _ in range(3))
    results = post(fleet.orders, {"items": [first, second, gone, first]}, "/batch").json()["results"]
    delete(fleet.users, gone["user_id"])
    request_id, plain = new_key(), [result["item"] for result in results]
    found = get(fleet.orders, f"?after={plain[0]['id'] - 1}&expand=user,product", X_Request_ID=request_id).json()[
        "items"
    ]
    for order, whole in zip(plain, found, strict=True):
        assert order.items() <= whole.items()
    users = [whole["user"] and whole["user"]["id"] for whole in found]
    assert users == [first["user_id"], second["user_id"], None, first["user_id"]]
    products = [whole["product"]["id"] for whole in found]
    assert products == [body["product_id"] for body in (first, second, gone, first)]
    assert len(requests_logged(fleet.users, request_id)) == len(requests_logged(fleet.products, request_id)) == 1


def test_expand_of_a_look_up_by_ids_works_too(fleet: Fleet) -> None:
    body = new_order(fleet)
    order = created(fleet.orders, body)
    (found,) = get(fleet.orders, f"?ids={order['id']}&expand=user").json()["items"]
    assert found == order | {"user": get(fleet.users, f"/{body['user_id']}").json()}


def test_expand_counts_a_repeated_name_once(fleet: Fleet) -> None:
    body = new_order(fleet)
    post(fleet.orders, {"items": [body] * 2}, "/batch")
    page = get(fleet.orders, f"?limit=1&expand=user,user&user_id={body['user_id']}").json()
    assert page["items"][0]["user"]["id"] == body["user_id"]
    assert page["next"].endswith("&expand=user")


def test_the_next_page_keeps_expand(fleet: Fleet) -> None:
    body = new_order(fleet)
    post(fleet.orders, {"items": [body] * 5}, "/batch")
    found = everything(fleet.orders, f"limit=2&expand=user,product&user_id={body['user_id']}")
    assert [order["user"]["id"] for order in found] == [body["user_id"]] * 5
    assert [order["product"]["id"] for order in found] == [body["product_id"]] * 5


def test_a_page_of_a_thousand_orders_can_be_expanded(fleet: Fleet) -> None:
    users = post(fleet.users, {"items": [new_user() for _ in range(1000)]}, "/batch").json()["results"]
    product = created(fleet.products, new_product())["id"]
    bodies = [{"user_id": user["item"]["id"], "product_id": product, "quantity": 1} for user in users]
    results = post(fleet.orders, {"items": bodies}, "/batch").json()["results"]
    path = f"?product_id={product}&limit=1000&expand=user,product"
    found = get(fleet.orders, path).json()["items"]
    assert [order["user"] for order in found] == [user["item"] for user in users]
    assert [order["id"] for order in found] == [result["item"]["id"] for result in results]


def test_expand_of_an_unknown_order_asks_nobody(fleet: Fleet) -> None:
    before = metric(fleet.orders, "lookup_attempts_total")
    refused(get(fleet.orders, f"/{NOBODY}?expand=user,product"), "not-found")
    assert get(fleet.orders, f"?after={NOBODY}&expand=user").json()["items"] == []
    assert metric(fleet.orders, "lookup_attempts_total") == before
