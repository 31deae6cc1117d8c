"""Idempotency-Key: a request that is sent again is answered again, not done again."""

import json
import time

import pytest
import requests

from testbed import Fleet, Process, databases, wait_until

from .client import (
    CHANGEABLE,
    SERVICES,
    Item,
    at_once,
    created,
    delete,
    everything,
    get,
    new_item,
    new_key,
    new_product,
    new_user,
    patch,
    post,
    refused,
    rows,
    served,
)
from .conftest import Alone

DAY_S = 24 * 3600


def last_id(process: Process) -> int:
    """Return the id of the newest item; 0 where there is none."""
    return int(databases.query(process, f"SELECT coalesce(max(id), 0) FROM {process.service}")[0][0])


def assert_replayed(again: requests.Response, first: requests.Response) -> None:
    """Check that the second answer is the first one, byte by byte, and says so."""
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    for header in ("Location", "ETag", "Content-Type"):
        assert again.headers.get(header) == first.headers.get(header)


def age_keys(process: Process, seconds: int) -> None:
    """Make all kept answers of a stopped service older."""
    databases.query(process, "UPDATE idempotency_keys SET created_at = created_at - ?", (seconds,))


@SERVICES
def test_a_retry_with_the_same_key_gets_the_first_answer(fleet: Fleet, name: str) -> None:
    process, body, key = served(fleet, name), new_item(fleet, name), new_key()
    first = post(process, body, Idempotency_Key=key)
    assert first.status_code == 201
    for _ in range(3):
        assert_replayed(post(process, body, Idempotency_Key=key), first)
    assert last_id(process) == first.json()["id"]


@pytest.mark.parametrize("name", ["products", "orders"])
def test_a_request_without_a_key_or_with_another_key_is_done_again(fleet: Fleet, name: str) -> None:
    process, body = served(fleet, name), new_item(fleet, name)
    keyed = [created(process, body, Idempotency_Key=new_key())["id"] for _ in range(2)]
    assert len({created(process, body)["id"], created(process, body)["id"], *keyed}) == 4


@SERVICES
def test_refuses_the_same_key_with_another_body(fleet: Fleet, name: str) -> None:
    process, key = served(fleet, name), new_key()
    first = post(process, new_item(fleet, name), Idempotency_Key=key)
    refused(post(process, new_item(fleet, name), Idempotency_Key=key), "idempotency-key-reused")
    assert last_id(process) == first.json()["id"]


@SERVICES
def test_refuses_the_same_key_on_another_path(fleet: Fleet, name: str) -> None:
    process, key, item = served(fleet, name), new_key(), new_item(fleet, name)
    batch = {"items": [item]}
    assert post(process, batch, "/batch", Idempotency_Key=key).status_code == 200
    refused(post(process, item, Idempotency_Key=key), "idempotency-key-reused")


def test_each_service_has_keys_of_its_own(fleet: Fleet) -> None:
    key = new_key()
    for name in ("users", "products", "orders"):
        answer = post(served(fleet, name), new_item(fleet, name), Idempotency_Key=key)
        assert answer.status_code == 201
        assert "Idempotency-Replayed" not in answer.headers


@CHANGEABLE
def test_replays_the_first_answer_after_the_item_was_changed_or_deleted(fleet: Fleet, name: str) -> None:
    process, body, key = served(fleet, name), new_item(fleet, name), new_key()
    first = post(process, body, Idempotency_Key=key)
    id = first.json()["id"]
    patch(process, id, {"name": "Changed"})
    assert_replayed(post(process, body, Idempotency_Key=key), first)
    assert get(process, f"/{id}").json()["name"] == "Changed"
    delete(process, id)
    assert_replayed(post(process, body, Idempotency_Key=key), first)
    refused(get(process, f"/{id}"), "not-found")


def test_keys_survive_a_stop_and_a_crash(own_fleet: Fleet) -> None:
    sent = [(process, new_item(own_fleet, process.service)) for process in own_fleet.all]
    first = [post(process, body, Idempotency_Key="k") for process, body in sent]
    own_fleet.users.stop()
    own_fleet.products.kill()
    own_fleet.orders.kill()
    for process in own_fleet.all:
        process.start()
    for (process, body), answer in zip(sent, first, strict=True):
        assert_replayed(post(process, body, Idempotency_Key="k"), answer)


def test_replays_an_order_while_users_and_products_are_down(own_fleet: Fleet) -> None:
    body, orders = new_item(own_fleet, "orders"), own_fleet.orders
    first, batch = post(orders, body, Idempotency_Key="k"), {"items": [body]}
    many = post(orders, batch, "/batch", Idempotency_Key="b")
    own_fleet.users.stop()
    own_fleet.products.stop()
    assert_replayed(post(orders, body, Idempotency_Key="k"), first)
    assert_replayed(post(orders, batch, "/batch", Idempotency_Key="b"), many)
    refused(post(orders, body | {"quantity": 3}, Idempotency_Key="k"), "idempotency-key-reused")
    refused(post(orders, body, Idempotency_Key="new"), "dependency-unavailable")
    own_fleet.users.start()
    own_fleet.products.start()
    again = wait_until(
        lambda: (a := post(orders, body, Idempotency_Key="new")).status_code == 201 and a, what="an order"
    )
    assert "Idempotency-Replayed" not in again.headers  # a 503 is not kept under its key
    assert len(everything(orders)) == 3


@SERVICES
def test_twenty_requests_with_one_key_at_once_make_one_item(fleet: Fleet, name: str) -> None:
    process, body, key = served(fleet, name), new_item(fleet, name), new_key()
    before = rows(process)
    answers = at_once(20, lambda: post(process, body, Idempotency_Key=key))
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert rows(process) == before + 1


def test_twenty_bodies_under_one_key_at_once_make_one_item(fleet: Fleet) -> None:
    key, bodies = new_key(), [new_product() for _ in range(20)]
    waiting = list(bodies)
    before = rows(fleet.products)
    answers = at_once(20, lambda: post(fleet.products, waiting.pop(), Idempotency_Key=key))
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 19
    assert rows(fleet.products) == before + 1


@SERVICES
def test_replays_a_batch_with_its_refused_items(fleet: Fleet, name: str) -> None:
    process, key, item = served(fleet, name), new_key(), new_item(fleet, name)
    batch = {"items": [item, {"wrong": 1}, item]}
    first = post(process, batch, "/batch", Idempotency_Key=key)
    assert [result["status"] for result in first.json()["results"]] == [201, 422, 409 if name == "users" else 201]
    newest = last_id(process)
    assert_replayed(post(process, batch, "/batch", Idempotency_Key=key), first)
    assert last_id(process) == newest


def test_replays_a_batch_in_which_every_item_was_refused(fleet: Fleet) -> None:
    key, taken = new_key(), created(fleet.users, new_user())
    batch = {"items": [{"name": "B", "email": taken["email"]}]}
    first = post(fleet.users, batch, "/batch", Idempotency_Key=key)
    delete(fleet.users, taken["id"])
    assert_replayed(post(fleet.users, batch, "/batch", Idempotency_Key=key), first)


def test_a_refusal_by_a_conflict_is_decided_once(fleet: Fleet) -> None:
    taken, key = created(fleet.users, new_user()), new_key()
    body = new_user(email=taken["email"])
    first = post(fleet.users, body, Idempotency_Key=key)
    refused(first, "duplicate-email")
    delete(fleet.users, taken["id"])
    assert_replayed(post(fleet.users, body, Idempotency_Key=key), first)
    assert post(fleet.users, body, Idempotency_Key=new_key()).status_code == 201


def test_an_order_refused_for_an_unknown_reference_is_decided_once(own_fleet: Fleet) -> None:
    product = created(own_fleet.products, new_product())
    body = {"user_id": 1, "product_id": product["id"], "quantity": 1}
    first = post(own_fleet.orders, body, Idempotency_Key="k")
    refused(first, "unknown-reference")
    created(own_fleet.users, new_user())
    assert_replayed(post(own_fleet.orders, body, Idempotency_Key="k"), first)
    own_fleet.orders.kill()
    own_fleet.orders.start()
    assert_replayed(post(own_fleet.orders, body, Idempotency_Key="k"), first)
    refused(post(own_fleet.orders, body | {"quantity": 2}, Idempotency_Key="k"), "idempotency-key-reused")
    assert created(own_fleet.orders, body)["id"] == 1


def test_twenty_refusals_under_one_key_at_once_are_one_answer(fleet: Fleet) -> None:
    taken, key = created(fleet.users, new_user()), new_key()
    body = new_user(email=taken["email"])
    answers = at_once(20, lambda: post(fleet.users, body, Idempotency_Key=key))
    assert {(answer.status_code, answer.content) for answer in answers} == {(409, answers[0].content)}
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1


def test_a_refusal_without_a_key_is_not_kept(fleet: Fleet) -> None:
    taken = created(fleet.users, new_user())
    body = new_user(email=taken["email"])
    refused(post(fleet.users, body), "duplicate-email")
    delete(fleet.users, taken["id"])
    created(fleet.users, body)


@SERVICES
def test_a_key_stands_for_the_json_value_and_not_for_its_bytes(fleet: Fleet, name: str) -> None:
    process, item, key = served(fleet, name), new_item(fleet, name), new_key()
    first = post(process, item, Idempotency_Key=key)
    turned = json.dumps(dict(reversed(item.items())), indent=2).encode()
    escaped = b"{" + b",".join(
        "".join(f"\\u{ord(letter):04x}" for letter in member).join('""').encode() + b":" + json.dumps(value).encode()
        for member, value in item.items()
    ) + b"}"  # fmt: skip
    for body in (turned, escaped):
        assert_replayed(post(process, body, Idempotency_Key=key), first)


@SERVICES
def test_an_invalid_body_leaves_its_key_free(fleet: Fleet, name: str) -> None:
    process, key = served(fleet, name), new_key()
    refused(post(process, {"wrong": 1}, Idempotency_Key=key), "validation")
    refused(post(process, b"{", Idempotency_Key=key), "malformed-json")
    assert post(process, new_item(fleet, name), Idempotency_Key=key).status_code == 201


@SERVICES
@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "caf\xe9", "tab\there", "\x7f", "\xa0"])
def test_refuses_a_key_that_is_not_visible_ascii_of_1_to_255_characters(fleet: Fleet, name: str, key: str) -> None:
    process = served(fleet, name)
    sent: Item = {"Idempotency_Key": key.encode("latin-1")}
    body = new_item(fleet, name)
    if key == "\x7f":  # no field of HTTP may hold it: refused before it is a request
        assert post(process, body, **sent).status_code == 400
        return
    refused(post(process, body, **sent), "idempotency-key-invalid")
    refused(post(process, {"items": [body]}, "/batch", **sent), "idempotency-key-invalid")


@SERVICES
@pytest.mark.parametrize("key", ["!", "~" * 255, "a,b", '"quoted"', "a;b=c", "0"])
def test_accepts_any_visible_ascii_as_a_key(fleet: Fleet, name: str, key: str) -> None:
    process, body = served(fleet, name), new_item(fleet, name)
    first = post(process, body, Idempotency_Key=key)
    assert_replayed(post(process, body, Idempotency_Key=key), first)


def test_keys_differ_by_case(fleet: Fleet) -> None:
    key, body = new_key(), new_product()
    assert created(fleet.products, body, Idempotency_Key=key) != created(
        fleet.products, body, Idempotency_Key=key.upper()
    )


def test_keeps_a_key_for_a_day(alone: Alone) -> None:
    products, body = alone("products"), new_product()
    first = post(products, body, Idempotency_Key="k")
    products.stop()
    age_keys(products, DAY_S - 60)
    products.start()
    assert_replayed(post(products, body, Idempotency_Key="k"), first)
    products.stop()
    age_keys(products, 61)
    products.start()
    second = post(products, body, Idempotency_Key="k")
    assert second.json()["id"] == first.json()["id"] + 1
    assert_replayed(post(products, body, Idempotency_Key="k"), second)


def test_a_key_and_its_item_are_written_in_one_transaction(alone: Alone) -> None:
    """Killed at any moment, either both are there or neither: a retry finds one item."""
    products = alone("products")
    bodies = {str(number): new_product() for number in range(200)}

    def shoot() -> None:
        wait_until(lambda: products.logged().count('"status":201') >= 20, what="some writes")
        products.kill()

    def load() -> None:
        for key, body in bodies.items():
            try:
                post(products, body, Idempotency_Key=key)
            except requests.RequestException:  # also in the middle of an answer
                return

    tasks = [shoot, load, load]
    at_once(3, lambda: tasks.pop()())
    products.start()
    for key, body in bodies.items():
        assert post(products, body, Idempotency_Key=key).status_code == 201
    names = [item["name"] for item in everything(products)]
    assert sorted(names) == sorted(body["name"] for body in bodies.values())


def test_a_replay_needs_no_write(alone: Alone) -> None:
    products, body = alone("products"), new_product()
    post(products, body, Idempotency_Key="k")
    with databases.hold_writes(products):
        began = time.monotonic()
        answer = post(products, body, Idempotency_Key="k")
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert time.monotonic() - began < 2
