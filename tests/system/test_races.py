"""Many clients at once, over HTTP, with exact counts."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import requests

from ..fleet import Fleet, Process

WRITERS = 200


def at_once(number: int, send: Callable[[int], Any]) -> list[Any]:
    """What `send` returned for 0 to number - 1, all started together in threads of their own."""
    barrier, answers = threading.Barrier(number), [None] * number

    def run(index: int) -> None:
        barrier.wait()
        answers[index] = send(index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def post(process: Process, body: dict[str, Any], **headers: str) -> requests.Response:
    return requests.post(f"{process.url}/{process.service}", json=body, headers=headers, timeout=30)


def user(index: int) -> dict[str, Any]:
    return {"name": f"User {index}", "email": f"user-{index}@example.com"}


def everything(process: Process) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    path = f"/{process.service}?limit=1000"
    while path:
        page = requests.get(process.url + path, timeout=30).json()
        items, path = items + page["items"], page["next"]
    return items


def test_two_hundred_writers_to_each_service_are_all_there(own_fleet: Fleet) -> None:
    users = at_once(WRITERS, lambda index: post(own_fleet.users, user(index)))
    products = at_once(WRITERS, lambda index: post(own_fleet.products, {"name": f"P{index}", "price": f"{index}.07"}))
    orders = at_once(
        WRITERS,
        lambda index: post(
            own_fleet.orders,
            {"user_id": users[index].json()["id"], "product_id": products[index].json()["id"], "quantity": index + 1},
        ),
    )
    for process, answers in zip(own_fleet.all, (users, products, orders), strict=True):
        assert Counter(answer.status_code for answer in answers) == {201: WRITERS}
        written = sorted((answer.json() for answer in answers), key=lambda item: item["id"])
        assert everything(process) == written
        assert [item["id"] for item in written] == list(range(1, WRITERS + 1))
    for index, order in enumerate(answer.json() for answer in orders):
        cents = (index * 100 + 7) * (index + 1)
        assert order["total"] == f"{cents // 100}.{cents % 100:02}"


def test_one_email_for_two_hundred_users_is_won_once(own_fleet: Fleet) -> None:
    answers = at_once(WRITERS, lambda index: post(own_fleet.users, {"name": "Ada", "email": "ada@example.com"}))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: WRITERS - 1}
    assert len(everything(own_fleet.users)) == 1


def test_of_a_hundred_changes_to_one_version_one_is_made(own_fleet: Fleet) -> None:
    created = post(own_fleet.products, {"name": "Tea", "price": "1.00"})
    url, etag = f"{own_fleet.products.url}/products/1", created.headers["ETag"]
    answers = at_once(
        100, lambda index: requests.patch(url, json={"price": f"{index}.50"}, headers={"If-Match": etag}, timeout=30)
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 99}
    (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert requests.get(url, timeout=10).json() == winner


def test_one_key_from_fifty_clients_makes_one_order(own_fleet: Fleet) -> None:
    post(own_fleet.users, user(0))
    post(own_fleet.products, {"name": "Tea", "price": "1.00"})
    order = {"user_id": 1, "product_id": 1, "quantity": 1}
    answers = at_once(50, lambda index: post(own_fleet.orders, order, **{"Idempotency-Key": "one"}))
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert len(everything(own_fleet.orders)) == 1


def test_orders_that_wait_together_share_their_look_ups(own_fleet: Fleet) -> None:
    post(own_fleet.users, user(0))
    post(own_fleet.products, {"name": "Tea", "price": "1.00"})
    order = {"user_id": 1, "product_id": 1, "quantity": 1}
    answers = at_once(WRITERS, lambda index: post(own_fleet.orders, order))
    assert Counter(answer.status_code for answer in answers) == {201: WRITERS}
    metrics = requests.get(f"{own_fleet.users.url}/metrics", timeout=10).text
    (line,) = [
        line
        for line in metrics.splitlines()
        if line.startswith("http_requests_total") and 'route="/users"' in line and "GET" in line
    ]
    assert float(line.split()[1]) < WRITERS / 2
