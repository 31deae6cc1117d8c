"""PATCH and DELETE: what changes, for whom, and what stays."""

from typing import Any

import pytest

from testbed import Fleet

from .client import (
    CHANGEABLE,
    at_once,
    created,
    delete,
    everything,
    get,
    new_item,
    new_order,
    new_product,
    patch,
    pointers,
    post,
    refused,
    send,
    served,
)
from .conftest import Alone

OTHER = {"users": {"email": "changed@example.com"}, "products": {"price": "0.07"}}


@CHANGEABLE
def test_a_change_takes_any_of_the_fields_and_leaves_the_rest(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    item = created(process, new_item(fleet, name))
    for change in ({"name": "Changed"}, OTHER[name], {"name": "Both"} | OTHER[name]):
        answer = patch(process, item["id"], change)
        item |= change
        assert (answer.status_code, answer.json()) == (200, item)
        found = get(process, f"/{item['id']}")
        assert (found.content, found.headers["ETag"]) == (answer.content, answer.headers["ETag"])


@CHANGEABLE
@pytest.mark.parametrize(
    ("change", "pointer"),
    [({}, ""), ([], ""), ({"id": 1}, "/id"), ({"created_at": "now"}, "/created_at"), ({"name": None}, "/name"), ({"name": ""}, "/name"),
     ({"name": " "}, "/name"), ({"name": "x" * 201}, "/name"), ({"name": "a\x00b"}, "/name"), ({"name": 1}, "/name"),
     ({"version": 1}, "/version"), ({"name": "Changed", "admin": True}, "/admin"), ({"email": None, "price": None}, None)],
)  # fmt: skip
def test_a_wrong_change_is_refused_whole(fleet: Fleet, name: str, change: Any, pointer: str | None) -> None:
    process = served(fleet, name)
    before = post(process, new_item(fleet, name))
    id = before.json()["id"]
    problem = refused(patch(process, id, change), "validation")
    assert pointer is None or pointers(problem) == [pointer]
    after = get(process, f"/{id}")
    assert (after.json(), after.headers["ETag"]) == (before.json(), before.headers["ETag"])


@CHANGEABLE
def test_a_name_is_trimmed_in_a_change_too(fleet: Fleet, name: str) -> None:
    id = created(served(fleet, name), new_item(fleet, name))["id"]
    assert patch(served(fleet, name), id, {"name": "  Changed\n"}).json()["name"] == "Changed"


@CHANGEABLE
@pytest.mark.parametrize(
    ("pattern", "holds"),
    [("{tag}", True), ("*", True), ('"other", {tag}', True), ('{tag},"other"', True), ('"a,b", {tag}', True),
     ('"other"', False), ("W/{tag}", False), ('W/{tag}, "other"', False), ('""', False), ("", False)],
)  # fmt: skip
def test_only_the_named_version_is_changed_or_deleted(fleet: Fleet, name: str, pattern: str, holds: bool) -> None:
    process = served(fleet, name)
    answer = post(process, new_item(fleet, name))
    id, condition = answer.json()["id"], pattern.format(tag=answer.headers["ETag"])
    changed = patch(process, id, {"name": "Changed"}, If_Match=condition)
    if holds:
        assert changed.status_code == 200
        condition = pattern.format(tag=changed.headers["ETag"])
        assert delete(process, id, If_Match=condition).status_code == 204
        refused(get(process, f"/{id}"), "not-found")
    else:
        refused(changed, "precondition-failed")
        refused(delete(process, id, If_Match=condition), "precondition-failed")
        assert get(process, f"/{id}").json() == answer.json()


@CHANGEABLE
def test_of_twenty_changes_to_one_version_one_is_made(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    answer = post(process, new_item(fleet, name))
    id, tag = answer.json()["id"], answer.headers["ETag"]
    answers = at_once(20, lambda: patch(process, id, {"name": "Changed"}, If_Match=tag))
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 19


@CHANGEABLE
def test_what_was_deleted_is_gone(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    id = created(process, new_item(fleet, name))["id"]
    answer = delete(process, id)
    assert (answer.status_code, answer.content) == (204, b"")
    refused(get(process, f"/{id}"), "not-found")
    refused(delete(process, id), "not-found")
    refused(delete(process, id, If_Match="*"), "not-found")
    refused(patch(process, id, {"name": "Gone"}), "not-found")
    assert get(process, f"?ids={id}").json()["items"] == []
    assert id not in [item["id"] for item in everything(process, f"after={id - 1}")]


@CHANGEABLE
def test_of_twenty_who_delete_one_item_one_does(fleet: Fleet, name: str) -> None:
    id = created(served(fleet, name), new_item(fleet, name))["id"]
    answers = at_once(20, lambda: delete(served(fleet, name), id))
    assert sorted(answer.status_code for answer in answers) == [204] + [404] * 19


def test_an_address_of_a_deleted_user_is_free(fleet: Fleet) -> None:
    body = new_item(fleet, "users")
    first = created(fleet.users, body)
    delete(fleet.users, first["id"])
    assert created(fleet.users, body)["id"] > first["id"]


@CHANGEABLE
def test_ids_of_deleted_items_are_never_given_again(alone: Alone, name: str) -> None:
    process = alone(name)
    bodies = [
        {"name": "A", "email": f"{number}@example.com"} if name == "users" else new_product() for number in range(5)
    ]
    ids = [created(process, body)["id"] for body in bodies[:3]]
    for id in ids:
        assert delete(process, id).status_code == 204
    assert created(process, bodies[3])["id"] == ids[-1] + 1
    assert delete(process, ids[-1] + 1).status_code == 204
    process.stop()
    process.start()
    assert everything(process) == []
    assert created(process, bodies[4])["id"] == ids[-1] + 2


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
def test_orders_cannot_be_changed(fleet: Fleet, method: str) -> None:
    order = created(fleet.orders, new_order(fleet))
    refused(send(fleet.orders, method, f"/orders/{order['id']}", {"quantity": 1}), "method-not-allowed")
    assert get(fleet.orders, f"/{order['id']}").json() == order


@CHANGEABLE
def test_only_a_version_that_is_not_named_as_unwanted_is_changed_or_deleted(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    answer = post(process, new_item(fleet, name))
    id, tag = answer.json()["id"], answer.headers["ETag"]
    for condition in ("*", tag, f"W/{tag}", f'"other", {tag}'):
        refused(patch(process, id, {"name": "Changed"}, If_None_Match=condition), "precondition-failed")
        refused(delete(process, id, If_None_Match=condition), "precondition-failed")
    refused(delete(process, id, If_None_Match='"other"', If_Match='"another"'), "precondition-failed")
    assert get(process, f"/{id}").json() == answer.json()
    assert patch(process, id, {"name": "Changed"}, If_None_Match='"other"').status_code == 200
    assert delete(process, id, If_None_Match=tag).status_code == 204


@CHANGEABLE
def test_what_is_deleted_leaves_nothing_to_describe(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    answer = delete(process, created(process, new_item(fleet, name))["id"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert not {"Content-Type", "Content-Length", "Transfer-Encoding"} & answer.headers.keys()
