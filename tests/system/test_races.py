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
