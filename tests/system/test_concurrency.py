"""Many clients of one service at the same moment, with exact counts."""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from testbed import Fleet, Process, wait_until

from .clients import Door, at_once, body_for, everything, identity, metric, post

SERVICES = ["users", "products", "orders"]
fresh = itertools.count(1)  # numbers of bodies; the tests of this module share the fleet


@pytest.fixture(scope="module")
def shop(fleet: Fleet) -> Fleet:
    """The module's fleet with user 1 and product 1, which all orders name."""
    assert post(fleet.users, body_for("users", next(fresh))).status_code == 201
    assert post(fleet.products, body_for("products", next(fresh))).status_code == 201
    return fleet


def written(process: Process, number: int) -> int:
    """Count the items that were created from this body."""
    wanted = body_for(process.service, number)
    return sum(identity(process.service, item) in wanted.values() for item in everything(process))


@pytest.mark.parametrize("service", SERVICES)
def test_200_simultaneous_writes_get_consecutive_ids(shop: Fleet, service: str) -> None:
    process: Process = getattr(shop, service)
    last = max((item["id"] for item in everything(process)), default=0)
    numbers = [next(fresh) for _ in range(200)]
    groups = metric(process, "write_group_jobs_count")
    answers = at_once(200, lambda index: post(process, body_for(service, numbers[index])))
    assert Counter(answer.status_code for answer in answers) == {201: 200}
    items = sorted((answer.json() for answer in answers), key=lambda item: item["id"])
    assert [item["id"] for item in items] == list(range(last + 1, last + 201))
    assert [item for item in everything(process) if item["id"] > last] == items
    assert {answer.headers["Location"] for answer in answers} == {f"/{service}/{item['id']}" for item in items}
    assert metric(process, "write_group_jobs_count") - groups < 200  # some writes shared a transaction


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("path", ["", "/batch"])
def test_50_simultaneous_requests_with_one_key_write_once(shop: Fleet, service: str, path: str) -> None:
    process: Process = getattr(shop, service)
    number = next(fresh)
    body = {"items": [body_for(service, number)]} if path else body_for(service, number)
    answers = at_once(50, lambda _: post(process, body, path, **{"Idempotency-Key": f"fifty-{number}"}))
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (answers[0].status_code, answers[0].content)
    }
    assert Counter(answer.headers.get("Idempotency-Replayed") for answer in answers) == {None: 1, "true": 49}
    assert written(process, number) == 1


def test_of_two_bodies_with_one_key_only_one_is_written(shop: Fleet) -> None:
    numbers = [next(fresh), next(fresh)]
    answers = at_once(
        40, lambda index: post(shop.users, body_for("users", numbers[index % 2]), **{"Idempotency-Key": "two-bodies"})
    )
    assert Counter(answer.status_code for answer in answers) == {201: 20, 422: 20}
    assert sorted(written(shop.users, number) for number in numbers) == [0, 1]


def test_of_200_users_with_one_email_one_is_created(shop: Fleet) -> None:
    answers = at_once(200, lambda index: post(shop.users, {"name": "Ada", "email": "one-for-all@example.com"}))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 199}
    assert [item["email"] for item in everything(shop.users)].count("one-for-all@example.com") == 1


def test_of_100_changes_to_one_version_one_succeeds(shop: Fleet) -> None:
    created = post(shop.products, body_for("products", next(fresh)))
    url, etag = f"{shop.products.url}/products/{created.json()['id']}", created.headers["ETag"]
    answers = at_once(
        100, lambda index: requests.patch(url, json={"price": f"{index}.50"}, headers={"If-Match": etag}, timeout=30)
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 99}
    (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert requests.get(url, timeout=10).json() == winner


def test_of_50_users_that_change_to_one_email_one_gets_it(shop: Fleet) -> None:
    ids = [post(shop.users, body_for("users", next(fresh))).json()["id"] for _ in range(50)]
    answers = at_once(
        50,
        lambda index: requests.patch(
            f"{shop.users.url}/users/{ids[index]}", json={"email": "Wanted@example.com"}, timeout=30
        ),
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 49}
    assert [item["email"] for item in everything(shop.users)].count("Wanted@example.com") == 1


def test_of_20_deletions_of_one_item_one_succeeds(shop: Fleet) -> None:
    url = f"{shop.products.url}/products/{post(shop.products, body_for('products', next(fresh))).json()['id']}"
    answers = at_once(20, lambda _: requests.delete(url, timeout=30))
    assert Counter(answer.status_code for answer in answers) == {204: 1, 404: 19}


def test_simultaneous_changes_without_if_match_all_succeed_in_turn(shop: Fleet) -> None:
    url = f"{shop.products.url}/products/{post(shop.products, body_for('products', next(fresh))).json()['id']}"
    answers = at_once(40, lambda index: requests.patch(url, json={"price": f"{index}.00"}, timeout=30))
    assert Counter(answer.status_code for answer in answers) == {200: 40}
    assert len({answer.headers["ETag"] for answer in answers}) == 40
    last = max(answers, key=lambda answer: int(answer.headers["ETag"].strip('"')))
    assert requests.get(url, timeout=30).json() == last.json()


def test_paging_during_writes_misses_no_item(shop: Fleet) -> None:
    """Ids become visible in ascending order: none appears on a page that was read before."""
    seen: list[int] = []
    done = threading.Event()

    def follow() -> None:
        after = max(item["id"] for item in everything(shop.users))
        ready.set()
        while True:
            last = done.is_set()
            items = requests.get(f"{shop.users.url}/users?limit=7&after={after}", timeout=30).json()["items"]
            seen.extend(item["id"] for item in items)
            after = items[-1]["id"] if items else after
            if last and not items:
                return

    ready = threading.Event()
    reader = threading.Thread(target=follow)
    reader.start()
    assert ready.wait(30)
    numbers = [next(fresh) for _ in range(200)]
    made = [answer.json()["id"] for answer in at_once(200, lambda n: post(shop.users, body_for("users", numbers[n])))]
    done.set()
    reader.join()
    assert seen == sorted(made)


def test_writes_beyond_the_queue_limit_are_refused_and_not_written(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, env={"WRITE_QUEUE_LIMIT": "2", "WRITE_BATCH_ROWS": "1"})
    try:
        fleet.users.start()
        answers = at_once(200, lambda index: post(fleet.users, body_for("users", index)))
        statuses = Counter(answer.status_code for answer in answers)
        refused = [answer for answer in answers if answer.status_code == 503]
        assert statuses[201] + statuses[503] == 200
        assert refused
        assert {answer.json()["type"] for answer in refused} == {"/problems/overloaded"}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
        made = [answer.json() for answer in answers if answer.status_code == 201]
        assert everything(fleet.users) == sorted(made, key=lambda item: item["id"])
    finally:
        fleet.stop()


@pytest.fixture
def slow_users(tmp_path: Path) -> Iterator[tuple[Fleet, Door]]:
    """A fleet in which orders asks for users through a door."""
    fleet = Fleet(tmp_path, env={"LOOKUP_TIMEOUT": "30", "LOOKUP_ATTEMPT_TIMEOUT": "30"})
    door = Door(fleet.users)
    fleet.orders.env["USERS_URL"] = door.url
    try:
        yield fleet.start(), door
    finally:
        door.close()
        fleet.stop()


def test_64_waiting_orders_share_few_look_ups_and_each_is_correct(
    slow_users: tuple[Fleet, Door],
) -> None:
    fleet, door = slow_users
    users = at_once(8, lambda index: post(fleet.users, body_for("users", index)).json()["id"])
    prices = {}
    for index in range(8):
        product = post(fleet.products, body_for("products", index)).json()
        prices[product["id"]] = index * 100 + 7
    before = metric(fleet.users, "http_requests_total", method="GET")
    door.open.clear()

    def release() -> None:
        # When all but the first round wait for the next one, all have arrived: open the door.
        wait_until(lambda: door.requests, what="a look-up at the door")
        wait_until(lambda: established(fleet.orders) >= 64, what="64 connections")
        requests.get(f"{fleet.orders.url}/livez", timeout=30)
        door.open.set()

    releaser = threading.Thread(target=release)
    releaser.start()
    orders = [
        {
            "user_id": users[index % 8] if index % 16 else 999,
            "product_id": 1 + index // 8,
            "quantity": index + 1,
        }
        for index in range(64)
    ]
    answers = at_once(64, lambda index: post(fleet.orders, orders[index]))
    releaser.join()
    for order, answer in zip(orders, answers, strict=True):
        if order["user_id"] == 999:
            assert answer.status_code == 422
            assert [error["pointer"] for error in answer.json()["errors"]] == ["/user_id"]
        else:
            assert answer.status_code == 201
            item = answer.json()
            assert {name: item[name] for name in order} == order
            cents = prices[order["product_id"]] * order["quantity"]
            assert item["total"] == f"{cents // 100}.{cents % 100:02}"
    assert len(everything(fleet.orders)) == 60
    assert len(door.requests) <= 6
    asked = metric(fleet.users, "http_requests_total", method="GET") - before - 1  # minus the first request for metrics
    assert asked == len(door.requests)


def established(process: Process) -> int:
    """Count the established connections of a service to its clients."""
    port = f":{process.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(port) and row[3] == "01" for row in rows)
