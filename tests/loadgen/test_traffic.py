from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from loadgen import traffic
from loadgen.audit import email_key
from loadgen.client import Client
from loadgen.ledger import Line, read
from loadgen.run import OwnUser, Run
from loadgen.sample import insert
from loadgen.traffic import KINDS, OutOfWrites, Shopper

from .conftest import Connect


@pytest.fixture
def client(connect: Connect) -> Client:
    client = connect(None)
    insert(client)
    return client


@pytest.fixture
def shopper(client: Client) -> Shopper:
    return Shopper(client)


def lines(run: Run, action: str, event: str = "sent") -> list[Line]:
    return [line for line in read(run.ledger.path) if line["event"] == event and line["action"] == action]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_completes_as_it_expects(kind: Callable[[Shopper], Any], shopper: Shopper) -> None:
    traffic.create_user(shopper)
    for _ in range(12):  # as often as there are ways to be invalid
        kind(shopper)
    name = kind.__name__
    sent = {(line["op"], line["try"]): line for line in lines(shopper.run, name)}
    assert sent
    for line in lines(shopper.run, name, "ok"):
        expects = sent[line["op"], line["try"]]["expects"]
        if isinstance(expects, list):
            assert [result["status"] == 201 for result in line["answer"]["results"]] == [e == "ok" for e in expects]
        else:
            assert expects in ("ok", "any")
    for line in lines(shopper.run, name, "refused"):
        assert sent[line["op"], line["try"]]["expects"] in (line["problem"], "any")
    assert not lines(shopper.run, name, "unknown")


def test_no_two_orders_are_alike(client: Client) -> None:
    shoppers = [Shopper(client) for _ in range(3)]
    for _ in range(30):
        for shopper in shoppers:
            traffic.create_order(shopper)
            traffic.batch_orders(shopper)
            traffic.race_same_key(shopper)
    bodies = [
        body
        for line in read(client.run.ledger.path)
        if line["event"] == "sent" and line["try"] == 1 and line["service"] == "orders"
        for body in (line["body"].get("items") or [line["body"]])
    ]
    triples = [(body["user_id"], body["product_id"], body["quantity"]) for body in bodies]
    assert len(triples) > 300
    assert len(set(triples)) == len(triples)


def test_a_user_that_has_ordered_the_most_is_left_alone(shopper: Shopper) -> None:
    traffic.create_user(shopper)
    shopper.users[-1].orders = traffic.MOST_ORDERS
    body = shopper.new_order()
    assert body is not None
    assert body["quantity"] == 1
    assert len(shopper.users) == 1


def test_every_email_and_name_bears_the_mark_of_the_run(shopper: Shopper) -> None:
    run = shopper.run
    for kind in (traffic.create_user, traffic.batch_users, traffic.race_same_email, traffic.invalid_user):
        kind(shopper)
    for kind in (traffic.create_product, traffic.batch_products, traffic.invalid_price):
        kind(shopper)
    for line in read(run.ledger.path):
        if line["event"] == "sent" and line["service"] in ("users", "products"):
            for body in line["body"].get("items") or [line["body"]]:
                assert run.mark in body.get("email", body["name"]).casefold()


def test_racing_emails_are_equal_but_for_case_and_unicode_form(shopper: Shopper) -> None:
    traffic.race_same_email(shopper)
    first, second = (line["body"]["email"] for line in lines(shopper.run, "race_same_email"))
    assert first != second
    assert email_key(first) == email_key(second)
    assert len(lines(shopper.run, "race_same_email", "ok")) == 1
    assert len(lines(shopper.run, "race_same_email", "refused")) == 1


def test_racing_changes_name_one_version_and_differ(shopper: Shopper) -> None:
    traffic.race_patch(shopper)
    sent = lines(shopper.run, "race_patch")[: traffic.RACERS]
    assert len({line["path"] for line in sent}) == len({line["if_match"] for line in sent}) == 1
    assert len({line["body"]["price"] for line in sent}) == traffic.RACERS


def test_a_race_for_a_key_is_one_write_with_two_tries(shopper: Shopper) -> None:
    traffic.race_same_key(shopper)
    sent = lines(shopper.run, "race_same_key")
    assert [(line["op"], line["key"]) for line in sent] == [(sent[0]["op"], sent[0]["key"])] * 2
    assert sorted(line["replayed"] for line in lines(shopper.run, "race_same_key", "ok")) == [False, True]


def test_a_batch_is_cut_to_what_is_left(client: Client) -> None:
    client.run.budget = client.run.taken + 2
    shopper = Shopper(client)
    traffic.batch_users(shopper)
    (line,) = lines(client.run, "batch_users")
    assert len(line["body"]["items"]) == len(line["expects"]) == 2
    with pytest.raises(OutOfWrites):
        traffic.create_user(shopper)


def test_an_unanswered_write_is_tried_again_with_its_key(run: Run, connect: Connect) -> None:
    shopper = Shopper(connect("drop_answers"))
    ops = [traffic.create_user(shopper) for _ in range(7)]
    assert [op.tries for op in ops] == [1] * 6 + [2]
    assert all(op.fate == "ok" for op in ops)
    assert len({line["key"] for line in lines(run, "create_user")}) == 7


def test_what_a_shopper_remembers_is_bounded(shopper: Shopper) -> None:
    for _ in range(2 * traffic.KEPT):
        traffic.create_user(shopper)
        traffic.create_product(shopper)
    assert len(shopper.users) == len(shopper.products) == len(shopper.recent) == traffic.KEPT


def test_shoppers_share_hot_users_and_no_two_of_their_orders_are_equal(client: Client) -> None:
    client.run.scenario = replace(client.run.scenario, hot_user_share=1.0)
    client.run.hot_users = [OwnUser(1, 10)]
    bodies = [Shopper(client).new_order() for _ in range(20)]
    assert {body["user_id"] for body in bodies if body} == {1}
    assert [body["quantity"] for body in bodies if body] == list(range(11, 31))


def test_a_hot_user_with_all_the_orders_it_may_have_is_hot_no_more(client: Client, shopper: Shopper) -> None:
    client.run.scenario = replace(client.run.scenario, hot_user_share=1.0)
    client.run.hot_users = [OwnUser(1, traffic.MOST_ORDERS)]
    body = shopper.new_order()
    assert body is not None
    assert body["user_id"] != 1
    assert not client.run.hot_users
