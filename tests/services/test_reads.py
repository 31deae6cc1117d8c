"""GET: single items, lists, look-ups by ids, and the methods and parameters that are refused."""

from typing import Any

import pytest

from testbed import Fleet

from .client import (
    CHANGEABLE,
    SERVICES,
    Item,
    created,
    delete,
    everything,
    get,
    new_item,
    new_user,
    patch,
    post,
    refused,
    rows,
    send,
    served,
)
from .conftest import Alone

IMPOSSIBLE_IDS = [
    "0", "-1", "-0", "+1", "9223372036854775808", "99999999999999999999", "9" * 5000, "abc", "1.0", "1e0", "0x1", "1_0", "%20", "1%20",
    "%201", "1%00", "%D9%A1", "%EF%BC%91", "%C2%B2", "%2531", "1;--", "1%20OR%201=1", "1'", "1,2", "null", "..%2f1", "1%0A", "%FF", "%",
]  # fmt: skip


def many(fleet: Fleet, name: str, count: int) -> list[Item]:
    """`count` new items of a service, in one batch."""
    body = new_item(fleet, name)
    items = [body if name == "orders" else new_item(fleet, name) for _ in range(count)]
    return [result["item"] for result in post(served(fleet, name), {"items": items}, "/batch").json()["results"]]


def parameters(problem: Item) -> list[str]:
    return [error["parameter"] for error in problem["errors"]]


@SERVICES
@pytest.mark.parametrize("id", IMPOSSIBLE_IDS)
def test_an_id_that_cannot_exist_is_not_found(fleet: Fleet, name: str, id: str) -> None:
    refused(get(served(fleet, name), f"/{id}"), "not-found")


@CHANGEABLE
@pytest.mark.parametrize("id", ["0", "-1", "9223372036854775808", "abc", "%D9%A1", "1%20OR%201=1"])
def test_an_id_that_cannot_exist_is_not_found_by_changes_either(fleet: Fleet, name: str, id: str) -> None:
    created(served(fleet, name), new_item(fleet, name))
    refused(send(served(fleet, name), "PATCH", f"/{name}/{id}", {"name": "Changed"}), "not-found")
    refused(send(served(fleet, name), "DELETE", f"/{name}/{id}"), "not-found")


@SERVICES
def test_the_largest_id_is_looked_for_and_not_found(fleet: Fleet, name: str) -> None:
    refused(get(served(fleet, name), "/9223372036854775807"), "not-found")
    assert get(served(fleet, name), "?ids=9223372036854775807").json() == {"items": [], "next": None}
    assert get(served(fleet, name), "?after=9223372036854775807").json() == {"items": [], "next": None}


@SERVICES
def test_an_escaped_digit_is_the_same_resource(fleet: Fleet, name: str) -> None:
    item = created(served(fleet, name), new_item(fleet, name))
    escaped = "".join(f"%{ord(digit):02X}" for digit in str(item["id"]))
    assert get(served(fleet, name), f"/{escaped}").json() == item  # RFC 3986, section 6.2.2.2


@SERVICES
@pytest.mark.parametrize("path", ["/", "/1/", "/1/2", "/batch/", "/batch/1", "/Batch", "//1"])
def test_a_path_that_is_no_resource_is_not_found(fleet: Fleet, name: str, path: str) -> None:
    refused(get(served(fleet, name), path), "not-found")


@SERVICES
@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=-1", "limit"), ("limit=ten", "limit"), ("limit=", "limit"),
        ("limit", "limit"), ("limit=1.0", "limit"), ("limit=1e2", "limit"), ("limit=%2B5", "limit"), ("limit=+5", "limit"),
        ("limit=5%20", "limit"), ("limit=%D9%A3", "limit"), ("limit=5%00", "limit"), ("limit=%FF", "limit"), ("limit=true", "limit"),
        ("limit=" + "9" * 5000, "limit"), ("limit=1&limit=2", "limit"), ("limit=1&limit=1", "limit"), ("after=-1", "after"),
        ("after=1.5", "after"), ("after=", "after"), ("after=9223372036854775808", "after"), ("after=1&after=1", "after"),
        ("unknown=1", "unknown"), ("Limit=1", "Limit"), ("offset=1", "offset"), ("limit[]=1", "limit[]"), ("=1", ""),
        ("%F0%9F%8D%B5=1", "\N{TEACUP WITHOUT HANDLE}"), ("name=Ada", "name"), ("id=1", "id"),
        ("ids=", "ids"), ("ids=a", "ids"), ("ids=1,,2", "ids"), ("ids=1,", "ids"), ("ids=,1", "ids"), ("ids=0", "ids"),
        ("ids=1,-1", "ids"), ("ids=1, 2", "ids"), ("ids=9223372036854775808", "ids"), ("ids=1&ids=2", "ids"), ("ids=1;DROP", "ids"),
        ("ids=1&limit=5", "ids"), ("ids=1&after=0", "ids"),
    ],
)  # fmt: skip
def test_a_wrong_query_parameter_is_named(fleet: Fleet, name: str, query: str, wrong: str) -> None:
    assert parameters(refused(get(served(fleet, name), f"?{query}"), "validation")) == [wrong]


@pytest.mark.parametrize("query", ["user_id=0", "user_id=a", "user_id=1&user_id=1", "product_id=-1", "product_id=",
                                   "user_id=9223372036854775808", "expand=", "expand=users", "expand=user,", "expand=user&expand=product",
                                   "ids=1&user_id=1"])  # fmt: skip
def test_a_wrong_filter_of_orders_is_named(fleet: Fleet, query: str) -> None:
    assert parameters(refused(get(fleet.orders, f"?{query}"), "validation")) == [query.partition("=")[0]]


def test_every_wrong_parameter_is_named_in_one_answer(fleet: Fleet) -> None:
    problem = refused(get(fleet.users, "?limit=0&after=x&unknown=1"), "validation")
    assert parameters(problem) == ["limit", "after", "unknown"]


@pytest.mark.parametrize("query", ["user_id=1", "product_id=1", "expand=user"])
@CHANGEABLE
def test_users_and_products_know_no_filters_of_orders(fleet: Fleet, name: str, query: str) -> None:
    refused(get(served(fleet, name), f"?{query}"), "validation")


@SERVICES
@pytest.mark.parametrize("query", ["limit=5", "unknown=1", "ids=1"])
def test_a_single_item_takes_no_parameters_of_lists(fleet: Fleet, name: str, query: str) -> None:
    id = created(served(fleet, name), new_item(fleet, name))["id"]
    refused(get(served(fleet, name), f"/{id}?{query}"), "validation")


@SERVICES
@pytest.mark.parametrize("limit", [1, 7, 30, 1000])
def test_a_list_is_walked_to_its_end_exactly_once(fleet: Fleet, name: str, limit: int) -> None:
    made = many(fleet, name, 30)
    start = 0 if limit == 1000 else made[0]["id"] - 1
    items = everything(served(fleet, name), f"limit={limit}&after={start}")
    ids = [item["id"] for item in items]
    assert ids == sorted(set(ids))
    assert items[-30:] == made
    assert len(items) == (rows(served(fleet, name)) if limit == 1000 else 30)


@SERVICES
def test_a_page_is_full_and_names_the_next_one_only_where_there_is_more(fleet: Fleet, name: str) -> None:
    *_, before = [created(served(fleet, name), new_item(fleet, name))["id"]]
    ids = [item["id"] for item in many(fleet, name, 6)]
    first = get(served(fleet, name), f"?after={before}&limit=3").json()
    assert [item["id"] for item in first["items"]] == ids[:3]
    assert first["next"] == f"/{name}?limit=3&after={ids[2]}"
    second = send(served(fleet, name), "GET", first["next"]).json()
    assert [item["id"] for item in second["items"]] == ids[3:]
    assert second["next"] is None


@SERVICES
def test_without_a_limit_a_page_has_50_items_and_at_most_it_has_1000(fleet: Fleet, name: str) -> None:
    many(fleet, name, 1000)
    many(fleet, name, 1)
    assert len(get(served(fleet, name)).json()["items"]) == 50
    assert get(served(fleet, name)).json()["next"].startswith(f"/{name}?limit=50&after=")
    assert len(get(served(fleet, name), "?limit=1000").json()["items"]) == 1000
    assert get(served(fleet, name), "?limit=1000").json()["next"] is not None


@CHANGEABLE
def test_a_walk_loses_nothing_to_deletions_on_its_way(fleet: Fleet, name: str) -> None:
    process, made = served(fleet, name), many(fleet, name, 9)
    page = get(process, f"?after={made[0]['id'] - 1}&limit=3").json()
    for gone in (made[1], made[2], made[3]):  # the last one seen among them, and the next one
        assert delete(process, gone["id"]).status_code == 204
    rest = send(process, "GET", page["next"]).json()
    assert rest["items"] == made[4:7]


def test_an_empty_list_is_an_empty_page(alone: Alone) -> None:
    assert get(alone("users")).json() == {"items": [], "next": None}


def test_orders_are_filtered_by_user_and_by_product_and_by_both(fleet: Fleet) -> None:
    a, b = new_item(fleet, "orders"), new_item(fleet, "orders")
    mixed = a | {"product_id": b["product_id"]}
    results = post(fleet.orders, {"items": [a, b, mixed, a]}, "/batch").json()["results"]
    first, second, third, fourth = (result["item"] for result in results)
    cases: list[tuple[str, list[Any]]] = [
        (f"user_id={a['user_id']}", [first, third, fourth]),
        (f"product_id={b['product_id']}", [second, third]),
        (f"user_id={a['user_id']}&product_id={b['product_id']}", [third]),
        (f"user_id={b['user_id']}&product_id={a['product_id']}", []),
        (f"user_id={a['user_id']}&after={first['id']}", [third, fourth]),
    ]
    for query, found in cases:
        assert get(fleet.orders, f"?{query}").json()["items"] == found


def test_the_next_page_keeps_the_filters(fleet: Fleet) -> None:
    order, other = new_item(fleet, "orders"), new_item(fleet, "orders")
    post(fleet.orders, {"items": [order, other] * 5}, "/batch")
    query = f"user_id={order['user_id']}&product_id={order['product_id']}&limit=2"
    found = everything(fleet.orders, query)
    assert len(found) == 5
    assert {(item["user_id"], item["product_id"]) for item in found} == {(order["user_id"], order["product_id"])}


@SERVICES
def test_look_up_by_ids_gives_each_that_exists_once(fleet: Fleet, name: str) -> None:
    made = many(fleet, name, 4)
    ids = [item["id"] for item in made]
    asked = ",".join(map(str, [ids[2], ids[0], ids[0], 10**15, ids[2], 2**63 - 1]))
    assert get(served(fleet, name), f"?ids={asked}").json() == {"items": [made[0], made[2]], "next": None}


@SERVICES
def test_look_up_takes_500_ids_and_no_more(fleet: Fleet, name: str) -> None:
    made = many(fleet, name, 500)
    ids = [str(item["id"]) for item in made]
    assert get(served(fleet, name), f"?ids={','.join(ids)}").json()["items"] == made
    refused(get(served(fleet, name), f"?ids={','.join([*ids, '1'])}"), "validation")
    refused(get(served(fleet, name), f"?ids={','.join(['1'] * 501)}"), "validation")


@CHANGEABLE
def test_look_up_leaves_out_what_has_been_deleted(fleet: Fleet, name: str) -> None:
    first, second = many(fleet, name, 2)
    delete(served(fleet, name), first["id"])
    assert get(served(fleet, name), f"?ids={first['id']},{second['id']}").json()["items"] == [second]


@CHANGEABLE
def test_an_item_that_has_not_changed_is_not_sent_again(fleet: Fleet, name: str) -> None:
    process, answer = served(fleet, name), post(served(fleet, name), new_item(fleet, name))
    path, tag = f"/{answer.json()['id']}", answer.headers["ETag"]
    assert tag.startswith('"') and tag.endswith('"')
    for given in (tag, f"W/{tag}", "*", f'"other", {tag}', f'"other",W/{tag}'):
        same = get(process, path, If_None_Match=given)
        assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    for given in ('"other"', 'W/"other"', '""', ""):
        whole = get(process, path, If_None_Match=given)
        assert (whole.status_code, whole.json()) == (200, answer.json())


@CHANGEABLE
def test_an_item_that_has_changed_is_sent_again(fleet: Fleet, name: str) -> None:
    process, answer = served(fleet, name), post(served(fleet, name), new_item(fleet, name))
    id, tag = answer.json()["id"], answer.headers["ETag"]
    changed = patch(process, id, {"name": "Changed"})
    assert changed.headers["ETag"] != tag
    again = get(process, f"/{id}", If_None_Match=tag)
    assert (again.status_code, again.headers["ETag"]) == (200, changed.headers["ETag"])
    refused(get(process, "/999999999", If_None_Match="*"), "not-found")


@SERVICES
def test_head_answers_as_get_without_the_body(fleet: Fleet, name: str) -> None:
    process, item = served(fleet, name), created(served(fleet, name), new_item(fleet, name))
    for path in (f"/{name}", f"/{name}/{item['id']}", f"/{name}/999999999", "/", "/livez", "/openapi.json"):
        whole, head = send(process, "GET", path), send(process, "HEAD", path)
        assert (head.status_code, head.content) == (whole.status_code, b"")
        for header in ("Content-Type", "Content-Length", "ETag"):
            assert head.headers.get(header) == whole.headers.get(header)


@SERVICES
@pytest.mark.parametrize(
    ("path", "methods"),
    [("", {"GET", "HEAD", "OPTIONS", "POST"}), ("/1", {"GET", "HEAD", "OPTIONS", "PATCH", "DELETE"})],
)  # fmt: skip
def test_a_method_that_does_not_fit_is_refused_and_those_that_do_are_named(
    fleet: Fleet, name: str, path: str, methods: set[str]
) -> None:
    methods = methods - {"PATCH", "DELETE"} if name == "orders" else methods
    for method in {"POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO"} - methods:
        answer = send(served(fleet, name), method, f"/{name}{path}", {})
        refused(answer, "method-not-allowed")
        assert set(answer.headers["Allow"].split(", ")) == methods
    options = send(served(fleet, name), "OPTIONS", f"/{name}{path}")
    assert options.status_code in (200, 204) and set(options.headers["Allow"].split(", ")) == methods
    assert (options.content, options.headers.get("Content-Type")) == (b"", None)


@SERVICES
@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs"])
def test_what_tells_of_the_service_can_only_be_read(fleet: Fleet, name: str, path: str) -> None:
    answer = send(served(fleet, name), "POST", path, {})
    refused(answer, "method-not-allowed")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@SERVICES
def test_a_batch_can_only_be_posted(fleet: Fleet, name: str) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        answer = send(served(fleet, name), method, f"/{name}/batch", None if method == "GET" else {})
        refused(answer, "method-not-allowed")
        assert set(answer.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


@SERVICES
@pytest.mark.parametrize("path", ["/nothing", "/users/1/orders", "/admin", "/favicon.ico", "/docs/nothing.js", "/.env"])
def test_a_path_that_does_not_exist_is_not_found(fleet: Fleet, name: str, path: str) -> None:
    refused(send(served(fleet, name), "GET", path), "not-found")


def test_a_read_sees_a_write_as_soon_as_it_is_answered(fleet: Fleet) -> None:
    for _ in range(50):
        item = created(fleet.users, new_user())
        assert get(fleet.users, f"/{item['id']}").json() == item
        assert get(fleet.users, f"?after={item['id'] - 1}").json()["items"][0] == item


@CHANGEABLE
def test_a_read_that_wants_a_version_gets_that_or_none(fleet: Fleet, name: str) -> None:
    process, answer = served(fleet, name), post(served(fleet, name), new_item(fleet, name))
    path, tag = f"/{answer.json()['id']}", answer.headers["ETag"]
    for wanted in (tag, "*", f'"other", {tag}'):
        assert get(process, path, If_Match=wanted).json() == answer.json()
        assert get(process, path, If_Match=wanted, If_None_Match=tag).status_code == 304
    for wanted in ('"other"', f"W/{tag}", ""):
        refused(get(process, path, If_Match=wanted), "precondition-failed")
        refused(get(process, path, If_Match=wanted, If_None_Match=tag), "precondition-failed")


@CHANGEABLE
def test_what_is_no_entity_tag_names_no_version(fleet: Fleet, name: str) -> None:
    process, answer = served(fleet, name), post(served(fleet, name), new_item(fleet, name))
    path, bare = f"/{answer.json()['id']}", answer.headers["ETag"].strip('"')
    for given in (bare, f"W/{bare}", f'w/"{bare}"', f'W/"{bare}', '*, "other"'):
        assert get(process, path, If_None_Match=given).status_code == 200
