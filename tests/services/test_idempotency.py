"""Idempotency-Key: a request that is sent again is answered again, not done again."""

import time

import apsw
import pytest
import requests

from ..fleet import Fleet, Process, wait_until
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
    """The id of the newest item; 0 where there is none."""
    db = apsw.Connection(str(process.database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(db.execute(f"SELECT ifnull(max(id), 0) FROM {process.service}").fetchall()[0][0])
    finally:
        db.close()


def assert_replayed(again: requests.Response, first: requests.Response) -> None:
    """The second answer is the first one, to the byte, and says so."""
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    for header in ("Location", "ETag", "Content-Type"):
        assert again.headers.get(header) == first.headers.get(header)


def age_keys(process: Process, seconds: int) -> None:
    """Make all kept answers of a stopped service older."""
    with apsw.Connection(str(process.database)) as db:
        db.execute("UPDATE idempotency_keys SET created_at = created_at - ?", (seconds,))


@SERVICES
def test_a_retry_with_its_key_is_answered_and_not_done_again(fleet: Fleet, name: str) -> None:
    process, body, key = served(fleet, name), new_item(fleet, name), new_key()
    first = post(process, body, Idempotency_Key=key)
    assert first.status_code == 201
    for _ in range(3):
        assert_replayed(post(process, body, Idempotency_Key=key), first)
    assert last_id(process) == first.json()["id"]


@pytest.mark.parametrize("name", ["products", "orders"])
def test_without_a_key_or_with_another_one_a_request_is_done_again(fleet: Fleet, name: str) -> None:
    process, body = served(fleet, name), new_item(fleet, name)
    keyed = [created(process, body, Idempotency_Key=new_key())["id"] for _ in range(2)]
    assert len({created(process, body)["id"], created(process, body)["id"], *keyed}) == 4


@SERVICES
def test_the_same_key_with_another_body_is_refused(fleet: Fleet, name: str) -> None:
    process, key = served(fleet, name), new_key()
    first = post(process, new_item(fleet, name), Idempotency_Key=key)
    refused(post(process, new_item(fleet, name), Idempotency_Key=key), "idempotency-key-reused")
    assert last_id(process) == first.json()["id"]


@SERVICES
def test_the_same_key_on_another_path_is_refused(fleet: Fleet, name: str) -> None:
    process, key, item = served(fleet, name), new_key(), new_item(fleet, name)
    batch = {"items": [item]}
    assert post(process, batch, "/batch", Idempotency_Key=key).status_code == 200
    refused(post(process, item, Idempotency_Key=key), "idempotency-key-reused")


def test_a_key_is_of_the_service_that_it_was_sent_to(fleet: Fleet) -> None:
    key = new_key()
    for name in ("users", "products", "orders"):
        answer = post(served(fleet, name), new_item(fleet, name), Idempotency_Key=key)
        assert answer.status_code == 201
        assert "Idempotency-Replayed" not in answer.headers


@CHANGEABLE
def test_the_first_answer_comes_again_after_the_item_was_changed_or_deleted(fleet: Fleet, name: str) -> None:
    process, body, key = served(fleet, name), new_item(fleet, name), new_key()
    first = post(process, body, Idempotency_Key=key)
    id = first.json()["id"]
    patch(process, id, {"name": "Changed"})
    assert_replayed(post(process, body, Idempotency_Key=key), first)
    assert get(process, f"/{id}").json()["name"] == "Changed"
    delete(process, id)
    assert_replayed(post(process, body, Idempotency_Key=key), first)
    refused(get(process, f"/{id}"), "not-found")


def test_a_key_is_remembered_over_a_stop_and_over_a_crash(own_fleet: Fleet) -> None:
    sent = [(process, new_item(own_fleet, process.service)) for process in own_fleet.all]
    first = [post(process, body, Idempotency_Key="k") for process, body in sent]
    own_fleet.users.stop()
    own_fleet.products.kill()
    own_fleet.orders.kill()
    for process in own_fleet.all:
        process.start()
    for (process, body), answer in zip(sent, first, strict=True):
        assert_replayed(post(process, body, Idempotency_Key="k"), answer)


def test_an_order_is_answered_again_while_users_and_products_are_down(own_fleet: Fleet) -> None:
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
    assert "Idempotency-Replayed" not in again.headers  # what was refused was not remembered
    assert len(everything(orders)) == 3


@SERVICES
def test_one_key_from_twenty_at_once_makes_one_item_and_equal_answers(fleet: Fleet, name: str) -> None:
    process, body, key = served(fleet, name), new_item(fleet, name), new_key()
    before = rows(process)
    answers = at_once(20, lambda: post(process, body, Idempotency_Key=key))
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert rows(process) == before + 1


def test_of_twenty_bodies_under_one_key_at_once_one_is_taken(fleet: Fleet) -> None:
    key, bodies = new_key(), [new_product() for _ in range(20)]
    waiting = list(bodies)
    before = rows(fleet.products)
    answers = at_once(20, lambda: post(fleet.products, waiting.pop(), Idempotency_Key=key))
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 19
    assert rows(fleet.products) == before + 1


@SERVICES
def test_a_batch_is_answered_again_with_what_fell_in_it(fleet: Fleet, name: str) -> None:
    process, key, item = served(fleet, name), new_key(), new_item(fleet, name)
    batch = {"items": [item, {"wrong": 1}, item]}
    first = post(process, batch, "/batch", Idempotency_Key=key)
    assert [result["status"] for result in first.json()["results"]] == [201, 422, 409 if name == "users" else 201]
    newest = last_id(process)
    assert_replayed(post(process, batch, "/batch", Idempotency_Key=key), first)
    assert last_id(process) == newest


def test_a_batch_in_which_all_fell_is_remembered_too(fleet: Fleet) -> None:
    key, taken = new_key(), created(fleet.users, new_user())
    batch = {"items": [{"name": "B", "email": taken["email"]}]}
    first = post(fleet.users, batch, "/batch", Idempotency_Key=key)
    delete(fleet.users, taken["id"])
    assert_replayed(post(fleet.users, batch, "/batch", Idempotency_Key=key), first)


def test_what_was_refused_is_judged_anew(fleet: Fleet) -> None:
    taken, key = created(fleet.users, new_user()), new_key()
    body = new_user(email=taken["email"])
    for _ in range(2):
        refused(post(fleet.users, body, Idempotency_Key=key), "duplicate-email")
    delete(fleet.users, taken["id"])
    answer = post(fleet.users, body, Idempotency_Key=key)
    assert answer.status_code == 201
    assert_replayed(post(fleet.users, body, Idempotency_Key=key), answer)


def test_an_order_refused_for_an_unknown_reference_is_judged_anew(own_fleet: Fleet) -> None:
    product = created(own_fleet.products, new_product())
    body = {"user_id": 1, "product_id": product["id"], "quantity": 1}
    refused(post(own_fleet.orders, body, Idempotency_Key="k"), "unknown-reference")
    created(own_fleet.users, new_user())
    assert created(own_fleet.orders, body, Idempotency_Key="k")["id"] == 1


@SERVICES
def test_a_body_that_was_refused_leaves_its_key_free(fleet: Fleet, name: str) -> None:
    process, key = served(fleet, name), new_key()
    refused(post(process, {"wrong": 1}, Idempotency_Key=key), "validation")
    refused(post(process, b"{", Idempotency_Key=key), "malformed-json")
    assert post(process, new_item(fleet, name), Idempotency_Key=key).status_code == 201


@SERVICES
@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "caf\xe9", "tab\there", "\x7f", "\xa0"])
def test_a_key_that_cannot_be_used_is_refused(fleet: Fleet, name: str, key: str) -> None:
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
def test_any_visible_ascii_is_a_key(fleet: Fleet, name: str, key: str) -> None:
    process, body = served(fleet, name), new_item(fleet, name)
    first = post(process, body, Idempotency_Key=key)
    assert_replayed(post(process, body, Idempotency_Key=key), first)


def test_keys_that_differ_in_case_are_two(fleet: Fleet) -> None:
    key, body = new_key(), new_product()
    assert created(fleet.products, body, Idempotency_Key=key) != created(
        fleet.products, body, Idempotency_Key=key.upper()
    )


def test_a_key_is_kept_for_a_day_and_no_longer(alone: Alone) -> None:
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


def test_a_key_and_its_item_are_in_one_transaction(alone: Alone) -> None:
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
    db = apsw.Connection(str(products.database))
    db.execute("BEGIN IMMEDIATE")  # nobody else can write now
    began = time.monotonic()
    answer = post(products, body, Idempotency_Key="k")
    db.close()
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert time.monotonic() - began < 2
