"""The rules of limited stock, one by one, on real processes: owners, sweeps, held units, answers under a key."""

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from testbed import Fleet, Process, wait_until

from .shop import Shop

ANOTHER = "abcdefabcdefabcd"  # the id of an owner that is none of our processes
BEAT_S, SWEEP_S, PATIENCE_S = 0.3, 0.3, 0.8


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    env = {"OWNER_BEAT": str(BEAT_S), "SWEEP_EVERY": str(SWEEP_S), "HELD_PATIENCE": str(PATIENCE_S), "ACCESS_LOG": "0"}
    fleet = Fleet(tmp_path, env={})
    fleet.orders.env |= env
    try:
        yield Shop(fleet.start()).open()
    finally:
        fleet.stop()


def exchange(shop: Shop, **messages: Any) -> dict[str, Any]:
    """Send messages of the protocol to products, as orders would."""
    answer = requests.post(f"{shop.fleet.products.url}/products/reservations", json=messages, timeout=5)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def reserve(shop: Shop, token: str, product: int, quantity: int = 1) -> None:
    answer = exchange(shop, reserve=[{"token": token, "product_id": product, "quantity": quantity}])
    assert (answer["short"], answer["held"]) == ([], [])


def stock(shop: Shop, product: int) -> int:
    return int(shop.rows("products", f"SELECT stock FROM products WHERE id = {product}")[0][0])


def write(process: Process, sql: str, *values: Any) -> None:
    """Write to the database of a running service, as another process of it would."""
    with closing(sqlite3.connect(process.database, timeout=5)) as db, db:
        db.execute(sql, values)


def owners(shop: Shop) -> list[str]:
    return [id for (id,) in shop.rows("orders", "SELECT id FROM owners")]


def metric(process: Process, name: str) -> float:
    lines = requests.get(f"{process.url}/metrics", timeout=5).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split()[0] == name)


def bought(shop: Shop, product: int, quantity: int = 1) -> str:
    """Order, wait until it is settled, and return the token."""
    assert shop.order(product, quantity) == 201
    wait_until(lambda: not shop.unsettled(), 5, "settling")
    return str(shop.rows("orders", "SELECT token FROM orders ORDER BY id DESC LIMIT 1")[0][0])


def test_an_order_of_a_limited_product_has_a_token_that_is_sold_and_another_order_has_none(shop: Shop) -> None:
    limited, unlimited = shop.product(5), shop.product(None)
    token = bought(shop, limited, 2)
    assert shop.rows("products", "SELECT * FROM sales") == [(token, limited, 2)]
    assert stock(shop, limited) == 3
    assert shop.order(unlimited) == 201
    assert shop.rows("orders", f"SELECT token FROM orders WHERE product_id = {unlimited}") == [(None,)]
    assert token.split(".")[0] in owners(shop)
    shop.check()


def test_too_few_units_are_out_of_stock_and_the_answer_is_kept_under_the_key(shop: Shop) -> None:
    product = shop.product(3)
    refused = shop.send(product, 4, "key")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/out-of-stock")
    assert refused.json()["errors"] == [{"pointer": "/quantity", "detail": "only 3 are left"}]
    added = requests.post(f"{shop.fleet.products.url}/products/{product}/stock", json={"add": 1}, timeout=5)
    assert added.json()["stock"] == 4
    again = shop.send(product, 4, "key")
    assert (again.status_code, again.headers["Idempotency-Replayed"], again.json()) == (409, "true", refused.json())
    assert shop.send(product, 4).status_code == 201
    assert shop.send(product, 1).json()["errors"][0]["detail"] == "nothing is left"


def test_a_second_request_with_a_decided_key_takes_no_second_unit(shop: Shop) -> None:
    product = shop.product(10)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shop.send(product, 1, "key"), range(8)))
    assert {(answer.status_code, answer.json()["id"]) for answer in answers} == {(201, 1)}
    wait_until(lambda: not shop.unsettled(), 5, "settling")
    assert stock(shop, product) == 9


def test_units_that_others_hold_are_asked_for_again_until_patience_ends_and_nothing_is_kept(shop: Shop) -> None:
    product = shop.product(1)
    write(shop.fleet.orders, "INSERT INTO owners VALUES (?, 0)", ANOTHER)  # it lives, as far as anyone knows
    reserve(shop, f"{ANOTHER}.1.0", product)
    began = time.monotonic()
    held = shop.send(product, 1, "key")
    assert PATIENCE_S <= time.monotonic() - began < PATIENCE_S + 1
    assert (held.status_code, held.json()["type"]) == (503, "/problems/stock-held")
    assert int(held.headers["Retry-After"]) >= 1
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shop.send, product, 1, "key")
        time.sleep(PATIENCE_S / 3)
        exchange(shop, release=[f"{ANOTHER}.1.0"])
        assert waiting.result().status_code == 201
    assert metric(shop.fleet.orders, "stock_held_total") == 1
    assert shop.send(product, 1).status_code == 409


def test_an_owner_whose_beats_have_stopped_is_removed_and_what_it_reserved_is_released(shop: Shop) -> None:
    product = shop.product(2)
    write(shop.fleet.orders, "INSERT INTO owners VALUES (?, 7)", ANOTHER)
    reserve(shop, f"{ANOTHER}.1.0", product, 2)
    for beat in range(8, 11):  # as long as it beats, it keeps its units
        time.sleep(3 * BEAT_S)
        write(shop.fleet.orders, "UPDATE owners SET beat = ? WHERE id = ?", beat, ANOTHER)
        assert shop.unsettled() == 1
    wait_until(lambda: ANOTHER not in owners(shop), 20 * BEAT_S, "the removal")
    wait_until(lambda: stock(shop, product) == 2, 10 * SWEEP_S, "the release")
    assert len(owners(shop)) == 1
    assert shop.order(product, 2) == 201


def test_a_token_in_an_order_is_confirmed_whoever_made_it(shop: Shop) -> None:
    product = shop.product(2)
    token = bought(shop, product)
    shop.fleet.orders.stop()
    write(shop.fleet.products, "INSERT INTO reservations SELECT token, product_id, quantity, '' FROM sales")
    write(shop.fleet.products, "DELETE FROM sales")  # as if it had not been confirmed
    shop.fleet.orders.start()
    wait_until(lambda: not shop.unsettled(), 5, "the sweep")
    assert shop.rows("products", "SELECT token FROM sales") == [(token,)]
    assert metric(shop.fleet.orders, "stock_swept_total") == 1
    shop.check()


def test_a_reserve_that_arrives_after_its_release_is_released_by_a_later_sweep(shop: Shop) -> None:
    product = shop.product(3)
    own = bought(shop, product).split(".")[0]
    for token in (f"{own}.999.0", f"{ANOTHER}.1.0", "no-owner-at-all"):  # own, of a removed owner, and of nobody
        reserve(shop, token, product)
        wait_until(lambda: not shop.unsettled(), 10 * SWEEP_S, "the sweep")
        assert stock(shop, product) == 2
    shop.check()


def test_a_reserve_that_arrives_after_its_confirm_takes_nothing(shop: Shop) -> None:
    product = shop.product(3)
    token = bought(shop, product)
    reserve(shop, token, product)
    assert (shop.unsettled(), stock(shop, product)) == (0, 2)


def test_a_removed_process_writes_nothing_says_so_and_registers_anew(shop: Shop) -> None:
    orders = shop.fleet.orders
    product = shop.product(5)
    old = bought(shop, product).split(".")[0]
    write(orders, "DELETE FROM owners")
    refused = shop.send(product, 1, "key")
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/storage-unavailable")
    assert "Nothing was written" in refused.json()["detail"]
    wait_until(lambda: shop.send(product, 1, "key").status_code == 201, 5, "the new owner")
    wait_until(lambda: not shop.unsettled(), 5, "settling")
    (new,) = owners(shop)
    assert new != old
    assert {token.split(".")[0] for (token,) in shop.rows("orders", "SELECT token FROM orders")} == {old, new}
    shop.check()


def test_a_stop_settles_what_is_open_and_removes_the_owner_last(shop: Shop) -> None:
    product = shop.product(50)
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: shop.order(product), range(40))) == {201}
    shop.fleet.orders.stop()
    assert shop.unsettled() == 0
    assert owners(shop) == []
    shop.check()


def test_after_a_crash_the_old_owner_is_gone_before_anything_is_reserved(shop: Shop) -> None:
    product = shop.product(1)
    (old,) = owners(shop)
    shop.fleet.orders.kill()
    reserve(shop, f"{old}.1.0", product)  # it was on its way
    shop.fleet.orders.start()
    assert shop.order(product) == 201
    assert old not in owners(shop)
    shop.check()


def test_nothing_is_reserved_before_the_first_sweep(shop: Shop) -> None:
    product, unlimited = shop.product(5), shop.product(None)
    orders, products = shop.fleet.orders, shop.fleet.products
    orders.stop()
    products.stop()
    orders.start()
    products.start()
    assert shop.order(unlimited) == 201
    assert shop.order(product) == 201
    shop.check()


def test_a_batch_is_not_held_by_its_own_items(shop: Shop) -> None:
    product = shop.product(3)
    item = {"user_id": shop.user, "product_id": product, "quantity": 2}
    answer = requests.post(f"{shop.fleet.orders.url}/orders/batch", json={"items": [item, item]}, timeout=5)
    first, second = answer.json()["results"]
    assert (first["status"], second["status"]) == (201, 409)
    assert second["problem"]["errors"] == [{"pointer": "/quantity", "detail": "only 1 is left"}]
    shop.check()


def test_the_units_of_a_refused_sibling_are_released_before_an_item_is_short(shop: Shop) -> None:
    product = shop.product(1)
    items = [{"user_id": user, "product_id": product, "quantity": 1} for user in (10**9, shop.user, shop.user)]
    answer = requests.post(f"{shop.fleet.orders.url}/orders/batch", json={"items": items}, timeout=5)
    assert [result["status"] for result in answer.json()["results"]] == [422, 201, 409]
    shop.check()


def test_a_batch_with_an_item_that_stays_held_is_refused_as_a_whole(shop: Shop) -> None:
    product, other = shop.product(1), shop.product(1)
    write(shop.fleet.orders, "INSERT INTO owners VALUES (?, 0)", ANOTHER)
    reserve(shop, f"{ANOTHER}.1.0", product)
    items = [{"user_id": shop.user, "product_id": id, "quantity": 1} for id in (other, product)]
    answer = requests.post(f"{shop.fleet.orders.url}/orders/batch", json={"items": items}, timeout=5)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/stock-held")
    assert shop.rows("orders", "SELECT count(*) FROM orders") == [(0,)]
    wait_until(lambda: stock(shop, other) == 1, 5, "the release")


def test_a_held_order_delays_no_other_order(shop: Shop) -> None:
    held, free, unlimited = shop.product(1), shop.product(1000), shop.product(None)
    write(shop.fleet.orders, "INSERT INTO owners VALUES (?, 0)", ANOTHER)
    reserve(shop, f"{ANOTHER}.1.0", held)
    assert shop.order(free) == 201
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shop.send, held)
        number = 0
        while not waiting.done():
            began = time.monotonic()
            assert shop.send((free, unlimited)[number % 2]).status_code == 201
            assert time.monotonic() - began < PATIENCE_S / 2
            number += 1
        assert number >= 4
        assert waiting.result().status_code == 503


def test_orders_of_unlimited_products_write_nothing_at_products(shop: Shop) -> None:
    product = shop.product(None)
    before = metric(shop.fleet.products, "write_group_jobs_count")
    for _ in range(5):
        assert shop.order(product) == 201
    assert metric(shop.fleet.products, "write_group_jobs_count") <= before + 1  # readiness asks the disk now and then
    requests.patch(f"{shop.fleet.products.url}/products/{product}", json={"stock": 1}, timeout=5)
    assert [shop.order(product), shop.order(product)] == [201, 409]
    assert len(shop.rows("products", "SELECT * FROM sales")) == 1
