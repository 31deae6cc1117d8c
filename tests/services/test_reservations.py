"""POST and GET /products/reservations: between services, one transaction, safe to repeat, late or out of order."""

from typing import Any

import pytest

from testbed import Process

from .client import Item, at_once, created, delete, get, metric, new_key, new_product, pointers, post, refused, send
from .test_stock import exchange, limited, reserve, stock, token

GROUPS = "write_group_jobs_count"


def wanted(token: str, product: Item, quantity: int) -> Item:
    return {"token": token, "product_id": product["id"], "quantity": quantity}


def listed(products: Process, cursor: str, limit: int = 1000) -> list[Item]:
    """Return all open reservations (`after`) or all sales (`sold_after`), read page by page."""
    path: str | None = f"/products/reservations?{cursor}=&limit={limit}"
    items: list[Item] = []
    while path:
        page = send(products, "GET", path).json()
        assert len(page["items"]) <= limit
        items += page["items"]
        path = page["next"]
    return items


def state(products: Process, token: str) -> str:
    """Return the state of a token: absent, open or sold."""
    is_open = token in {item["token"] for item in listed(products, "after")}
    is_sold = token in {item["token"] for item in listed(products, "sold_after")}
    assert not (is_open and is_sold)
    return "open" if is_open else "sold" if is_sold else "absent"


def test_reserves_and_answers_the_products_as_they_are_after_it(products: Process) -> None:
    product, other, plain = limited(products, 5), limited(products, 2), limited(products, None)
    first, second = token(), token()
    answer = exchange(
        products,
        ids=[other["id"], other["id"], 999_999_999],
        reserve=[wanted(first, product, 2), wanted(second, plain, 2), wanted(token(), {"id": 999_999_998}, 1)],
    )
    assert answer == {"items": [product | {"stock": 3}, other, plain], "short": [], "held": [], "unknown": []}
    assert stock(products, product) == 3
    assert state(products, first) == "open"
    assert state(products, second) == "absent", "of an unlimited product nothing is reserved"


def test_reserves_in_the_order_given(products: Process) -> None:
    product = limited(products, 5)
    tokens = [token() for _ in range(3)]
    quantities = [4, 2, 1]
    answer = exchange(products, reserve=list(map(wanted, tokens, [product] * 3, quantities)))
    assert (answer["held"], answer["items"][0]["stock"]) == ([tokens[1]], 0)


def test_short_where_even_what_others_hold_is_too_little(products: Process) -> None:
    product = limited(products, 5)
    reserve(products, product, 3)
    asked = token()
    answer = exchange(products, reserve=[wanted(asked, product, 6)])
    assert (answer["short"], answer["held"]) == ([{"token": asked, "left": 2}], [])
    assert state(products, asked) == "absent"


def test_held_where_others_hold_enough_to_come_back(products: Process) -> None:
    product = limited(products, 5)
    taken, asked = reserve(products, product, 3), token()
    answer = exchange(products, reserve=[wanted(asked, product, 5)])
    assert (answer["short"], answer["held"]) == ([], [asked])
    assert (state(products, asked), stock(products, product)) == ("absent", 2)
    assert exchange(products, release=[taken], reserve=[wanted(asked, product, 5)])["held"] == []
    assert state(products, asked) == "open"


def test_short_once_what_was_held_is_sold(products: Process) -> None:
    product = limited(products, 5)
    taken, asked = reserve(products, product, 3), token()
    answer = exchange(products, confirm=[taken], reserve=[wanted(asked, product, 5)])
    assert (answer["short"], answer["held"]) == ([{"token": asked, "left": 2}], [])


def test_an_attempt_is_not_held_by_its_own_units(products: Process) -> None:
    product, attempt = limited(products, 3), f"{new_key()}.7"
    first, second, third = (f"{attempt}.{item}" for item in range(3))
    answer = exchange(products, reserve=[wanted(first, product, 2), wanted(second, product, 2)])
    assert answer["short"] == [{"token": second, "left": 1}]
    again = exchange(products, reserve=[wanted(third, product, 3)])
    assert again["short"] == [{"token": third, "left": 1}], "nor by those of an earlier call"


def test_an_attempt_is_held_by_others_of_the_same_call_and_by_those_that_begin_alike(products: Process) -> None:
    product, owner = limited(products, 3), new_key()
    asked = f"{owner}.1.0"
    answer = exchange(products, reserve=[wanted(f"{owner}.11.0", product, 2), wanted(asked, product, 3)])
    assert answer["held"] == [asked]


def test_own_units_and_those_of_others_are_told_apart_for_each_product(products: Process) -> None:
    one, two, attempt = limited(products, 3), limited(products, 3), f"{new_key()}.1"
    reserve(products, two, 2)
    answer = exchange(
        products,
        reserve=[wanted(f"{attempt}.0", one, 2), wanted(f"{attempt}.1", one, 3), wanted(f"{attempt}.2", two, 3)],
    )
    assert answer["short"] == [{"token": f"{attempt}.1", "left": 1}]
    assert answer["held"] == [f"{attempt}.2"]


@pytest.mark.parametrize("quantity", [2, 1, 5])
def test_a_reserve_that_is_repeated_changes_nothing(products: Process, quantity: int) -> None:
    product = limited(products, 5)
    taken = reserve(products, product, 2)
    again = wanted(taken, product, quantity)
    answer = exchange(products, reserve=[again, again])
    assert answer == {"items": [product | {"stock": 3}], "short": [], "held": [], "unknown": []}


def test_a_token_that_comes_twice_in_one_call_takes_its_units_once(products: Process) -> None:
    product, taken = limited(products, 5), token()
    assert exchange(products, reserve=[wanted(taken, product, 2)] * 2)["items"][0]["stock"] == 3
    exchange(products, release=[taken, taken])
    assert stock(products, product) == 5


def test_a_sold_token_stays_sold_whatever_comes(products: Process) -> None:
    product = limited(products, 5)
    taken = reserve(products, product, 2)
    for messages in (
        {"confirm": [taken, taken]},
        {"confirm": [taken]},
        {"release": [taken]},
        {"reserve": [wanted(taken, product, 2)]},
        {"confirm": [taken], "release": [taken], "reserve": [wanted(taken, product, 9)]},
    ):
        answer = exchange(products, **messages)
        assert (answer["short"], answer["held"], answer["unknown"]) == ([], [], [])
        assert (state(products, taken), stock(products, product)) == ("sold", 3)


def test_a_release_gives_the_units_back_once(products: Process) -> None:
    product = limited(products, 5)
    taken = reserve(products, product, 2)
    for _ in range(2):
        assert exchange(products, release=[taken]) == {"items": [], "short": [], "held": [], "unknown": []}
        assert (state(products, taken), stock(products, product)) == ("absent", 5)


def test_a_release_before_its_reserve_changes_nothing_and_the_late_reserve_opens(products: Process) -> None:
    product, late = limited(products, 5), token()
    exchange(products, release=[late])
    exchange(products, reserve=[wanted(late, product, 2)])
    assert (state(products, late), stock(products, product)) == ("open", 3)
    exchange(products, release=[late])
    exchange(products, reserve=[wanted(late, product, 2)])
    assert (state(products, late), stock(products, product)) == ("open", 3), "and again after its release"


def test_a_confirm_of_a_token_that_is_neither_open_nor_sold_is_unknown(products: Process) -> None:
    product = limited(products, 5)
    sold, open_, unknown = reserve(products, product, 1), reserve(products, product, 1), token()
    exchange(products, confirm=[sold])
    assert exchange(products, confirm=[unknown, sold, open_])["unknown"] == [unknown]
    assert [state(products, each) for each in (sold, open_, unknown)] == ["sold", "sold", "absent"]


def test_settles_before_it_reserves_and_confirms_before_it_releases(products: Process) -> None:
    product = limited(products, 2)
    back, sold, asked = reserve(products, product, 1), reserve(products, product, 1), token()
    answer = exchange(
        products, reserve=[wanted(asked, product, 1)], release=[sold, back], confirm=[sold], ids=[product["id"]]
    )
    assert (answer["held"], answer["short"], answer["items"][0]["stock"]) == ([], [], 0)
    assert [state(products, each) for each in (back, sold, asked)] == ["absent", "sold", "open"]


def test_a_token_may_be_released_and_reserved_in_one_call(products: Process) -> None:
    product = limited(products, 5)
    taken = reserve(products, product, 5)
    assert exchange(products, release=[taken], reserve=[wanted(taken, product, 4)])["items"][0]["stock"] == 1


def test_nothing_is_written_where_nothing_is_limited(products: Process) -> None:
    plain, other = limited(products, None), limited(products, 3)
    before = metric(products, GROUPS)
    for messages in ({}, {"ids": [plain["id"], other["id"]]}, {"reserve": [wanted(token(), plain, 2)]}):
        answer = exchange(products, **messages)
        assert (answer["short"], answer["held"], answer["unknown"]) == ([], [], [])
    exchange(products, ids=[other["id"]], reserve=[wanted(token(), plain, 2), wanted(token(), {"id": 999_999_999}, 1)])
    assert metric(products, GROUPS) == before
    reserve(products, other, 1)
    assert metric(products, GROUPS) == before + 1


def test_a_product_without_units_is_limited_too(products: Process) -> None:
    product, asked = limited(products, 0), token()
    assert exchange(products, reserve=[wanted(asked, product, 1)])["short"] == [{"token": asked, "left": 0}]


def test_the_last_units_are_reserved_exactly_once(products: Process) -> None:
    product = limited(products, 37)

    def ask() -> Item:
        return exchange(products, reserve=[wanted(token(), product, 1)])

    answers = at_once(100, ask)
    assert sum(not answer["held"] and not answer["short"] for answer in answers) == 37
    assert sum(len(answer["held"]) for answer in answers) == 63
    mine = [each["token"] for each in listed(products, "after") if each["product_id"] == product["id"]]
    assert (len(mine), stock(products, product)) == (37, 0)
    exchange(products, confirm=mine[:30], release=mine[30:])
    assert stock(products, product) == 7


def test_a_reserve_that_arrives_many_times_at_once_takes_its_units_once(products: Process) -> None:
    product, taken = limited(products, 50), token()
    at_once(20, lambda: exchange(products, reserve=[wanted(taken, product, 3)]))
    assert stock(products, product) == 47
    at_once(20, lambda: exchange(products, release=[taken]))
    assert stock(products, product) == 50


def test_a_thousand_of_each_are_one_transaction(products: Process) -> None:
    goods = [each["item"] for each in post(
        products, {"items": [new_product(stock=10_000) for _ in range(500)]}, "/batch"
    ).json()["results"]]  # fmt: skip
    old = [f"{token()[:-1]}{item}" for item in range(2000)]
    for half in (old[:1000], old[1000:]):
        exchange(products, reserve=[wanted(each, goods[at % 500], 2) for at, each in enumerate(half)])
    new = [f"{token()[:-1]}{item}" for item in range(1000)]
    before = metric(products, GROUPS)
    answer = exchange(
        products,
        ids=[product["id"] for product in goods],
        reserve=[wanted(each, goods[at % 500], 10_000 if at < 500 else 1) for at, each in enumerate(new)],
        confirm=old[:1000],
        release=old[1000:],
    )
    assert metric(products, GROUPS) == before + 1
    # Of 10,000 units 2 + 2 were sold, so 10,000 are too many for good.
    assert answer["short"] == [{"token": each, "left": 9995} for each in new[:500]]
    assert {item["stock"] for item in answer["items"]} == {9995}
    assert (len(answer["items"]), answer["held"], answer["unknown"]) == (500, [], [])


def test_a_key_decides_an_exchange_once(products: Process) -> None:
    product, key = limited(products, 5), new_key()
    for body in (
        {"reserve": [wanted(token(), product, 2)], "ids": [product["id"]]},
        {"ids": [limited(products, None)["id"]]},
    ):
        own = f"{key}-{len(body)}"
        first = post(products, body, "/reservations", Idempotency_Key=own)
        exchange(products, reserve=[wanted(token(), product, 1)])
        again = post(products, body, "/reservations", Idempotency_Key=own)
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["Idempotency-Replayed"] == "true"
    assert stock(products, product) == 1


GOOD = {"token": "t", "product_id": 1, "quantity": 1}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"more": []}, "/more"),
        ({"ids": [0]}, "/ids/0"),
        ({"ids": [1] * 501}, "/ids"),
        ({"ids": None}, "/ids"),
        ({"reserve": [GOOD] * 1001}, "/reserve"),
        ({"reserve": [1]}, "/reserve/0"),
        ({"reserve": [GOOD | {"more": 1}]}, "/reserve/0/more"),
        ({"reserve": [GOOD | {"quantity": 0}]}, "/reserve/0/quantity"),
        ({"reserve": [GOOD | {"quantity": 10_001}]}, "/reserve/0/quantity"),
        ({"reserve": [GOOD | {"product_id": 0}]}, "/reserve/0/product_id"),
        ({"reserve": [GOOD | {"token": ""}]}, "/reserve/0/token"),
        ({"reserve": [GOOD | dict.fromkeys(map(str, range(200)), 0)]}, "/reserve/0"),
        ({"confirm": ["t"] * 1001}, "/confirm"),
        ({"confirm": ["t" * 101]}, "/confirm/0"),
        ({"release": ["t"] * 1001}, "/release"),
        ({"release": ["a/b"]}, "/release/0"),
        ({"release": ["t", "é"]}, "/release/1"),
        ({"release": ["a b"]}, "/release/0"),
        ({"release": ["t\n"]}, "/release/0"),
        ({"release": [1]}, "/release/0"),
    ],
)
def test_refuses_messages_that_break_the_rules(products: Process, body: Any, pointer: str) -> None:
    assert pointers(refused(post(products, body, "/reservations"), "validation")) == [pointer]


def test_a_refused_call_changes_nothing(products: Process) -> None:
    product = limited(products, 5)
    taken, asked = reserve(products, product, 1), token()
    body = {"release": [taken], "reserve": [wanted(asked, product, 1)], "confirm": ["a/b"]}
    refused(post(products, body, "/reservations"), "validation")
    assert (state(products, taken), state(products, asked), stock(products, product)) == ("open", "absent", 4)


def test_every_visible_character_but_a_slash_may_be_in_a_token(products: Process) -> None:
    product = limited(products, 500)
    tokens = [f"{chr(code)}{new_key()}" for code in range(33, 127) if chr(code) != "/"]
    exchange(products, reserve=[wanted(each, product, 1) for each in tokens])
    assert set(tokens) <= {item["token"] for item in listed(products, "after", limit=7)}
    assert exchange(products, confirm=tokens)["unknown"] == []
    assert set(tokens) <= {item["token"] for item in listed(products, "sold_after", limit=7)}


@pytest.mark.parametrize("cursor", ["after", "sold_after"])
def test_lists_page_by_page_in_the_order_of_tokens(products: Process, cursor: str) -> None:
    product, owner = limited(products, 100), new_key()
    tokens = [f"{owner}.{attempt}.0" for attempt in range(25)]
    exchange(products, reserve=[wanted(each, product, 2) for each in tokens])
    if cursor == "sold_after":
        exchange(products, confirm=tokens)
    whole = listed(products, cursor)
    assert listed(products, cursor, limit=10) == whole
    assert [item["token"] for item in whole] == sorted(item["token"] for item in whole)
    mine = [item for item in whole if item["token"] in tokens]
    assert mine == [wanted(each, product, 2) for each in sorted(tokens)]


def test_lists_open_reservations_from_the_first_where_nothing_is_said(products: Process) -> None:
    taken = reserve(products, limited(products, 1), 1)
    page = get(products, "/reservations").json()
    assert page["items"] == listed(products, "after")[:50]
    last = get(products, f"/reservations?after={taken}").json()["items"]
    assert all(item["token"] > taken for item in last)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("limit=0", "limit"), ("limit=1001", "limit"), ("after=a/b", "after"), ("after=%C3%A9", "after"),
     ("sold_after=a%20b", "sold_after"), ("after=&sold_after=", "sold_after"), ("more=1", "more"), ("after=a&after=b", "after")],
)  # fmt: skip
def test_refuses_wrong_parameters_of_the_list(products: Process, query: str, parameter: str) -> None:
    problem = refused(get(products, f"/reservations?{query}"), "validation")
    assert [error["parameter"] for error in problem["errors"]] == [parameter]


def test_the_sales_of_a_deleted_product_stay(products: Process) -> None:
    product = created(products, new_product(stock=1))
    taken = reserve(products, product, 1)
    exchange(products, confirm=[taken])
    assert delete(products, product["id"]).status_code == 204
    answer = exchange(products, ids=[product["id"]], confirm=[taken], reserve=[wanted(token(), product, 1)])
    assert answer == {"items": [], "short": [], "held": [], "unknown": []}
    assert state(products, taken) == "sold"
