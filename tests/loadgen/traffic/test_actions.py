from collections.abc import Callable
from dataclasses import replace
from math import ceil
from typing import Any

import pytest

from loadgen.audit.ledger import Line, read
from loadgen.audit.tables import email_key
from loadgen.traffic import actions, virtual_user
from loadgen.traffic.actions import KINDS, RACERS, new_order
from loadgen.traffic.sample import insert
from loadgen.traffic.sender import Sender
from loadgen.traffic.virtual_user import KEPT, MOST_ORDERS, OutOfWrites, VirtualUser
from loadgen.traffic.workload import MOST_UNITS, OwnUser, Workload

from ..conftest import Connect


@pytest.fixture
def sender(connect: Connect) -> Sender:
    sender = connect(None)
    insert(sender)
    return sender


@pytest.fixture
def user(sender: Sender) -> VirtualUser:
    return VirtualUser(sender)


def lines(workload: Workload, action: str, event: str = "sent") -> list[Line]:
    return [line for line in read(workload.ledger.path) if line["event"] == event and line["action"] == action]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_of_action_completes_as_it_expects(kind: Callable[[VirtualUser], Any], user: VirtualUser) -> None:
    actions.create_user(user)
    for _ in range(12):  # as often as there are ways to be invalid
        kind(user)
    name = kind.__name__
    sent = {(line["op"], line["try"]): line for line in lines(user.workload, name)}
    assert sent
    for line in lines(user.workload, name, "ok"):
        expects = sent[line["op"], line["try"]]["expects"]
        if isinstance(expects, list):
            made = [result["status"] == 201 for result in line["answer"]["results"]]
            assert all(was == (e == "ok") for was, e in zip(made, expects, strict=True) if e != "any")
        else:
            assert expects in ("ok", "any")
    for line in lines(user.workload, name, "refused"):
        assert sent[line["op"], line["try"]]["expects"] in (line["problem"], "any")
    assert not lines(user.workload, name, "unknown")


def test_no_two_orders_are_alike(sender: Sender) -> None:
    users = [VirtualUser(sender) for _ in range(3)]
    for _ in range(30):
        for user in users:
            actions.create_order(user)
            actions.batch_orders(user)
            actions.race_same_key(user)
    bodies = [
        body
        for line in read(sender.workload.ledger.path)
        if line["event"] == "sent" and line["try"] == 1 and line["service"] == "orders"
        for body in (line["body"].get("items") or [line["body"]])
    ]
    triples = [(body["user_id"], body["product_id"], body["quantity"]) for body in bodies]
    assert len(triples) > 300
    assert len(set(triples)) == len(triples)


def test_orders_no_more_for_a_user_with_the_most_orders(user: VirtualUser) -> None:
    user.workload.limited = []
    actions.create_user(user)
    user.users[-1].orders = MOST_ORDERS
    new = new_order(user)
    assert new is not None
    assert new.body["quantity"] == 1
    assert len(user.users) == 1


def test_chooses_among_the_users_with_fewer_orders(user: VirtualUser) -> None:
    for _ in range(5):
        actions.create_user(user)
    for each in list(user.users)[:4]:
        each.orders = MOST_ORDERS
    chosen = [user.own_user(actions.create_user) for _ in range(20)]
    assert all(each is user.users[-1] for each in chosen)
    assert len(user.users) == 1


def test_every_email_and_name_holds_the_mark_of_the_run(user: VirtualUser) -> None:
    workload = user.workload
    for kind in (actions.create_user, actions.batch_users, actions.race_same_email, actions.invalid_user):
        kind(user)
    for kind in (actions.create_product, actions.batch_products, actions.invalid_price):
        kind(user)
    for line in read(workload.ledger.path):
        if line["event"] == "sent" and line["service"] in ("users", "products"):
            for body in line["body"].get("items") or [line["body"]]:
                assert workload.mark in body.get("email", body["name"]).casefold()


def test_racing_emails_are_equal_but_for_case_and_unicode_form(user: VirtualUser) -> None:
    actions.race_same_email(user)
    first, second = (line["body"]["email"] for line in lines(user.workload, "race_same_email"))
    assert first != second
    assert email_key(first) == email_key(second)
    assert len(lines(user.workload, "race_same_email", "ok")) == 1
    assert len(lines(user.workload, "race_same_email", "refused")) == 1


def test_racing_changes_name_one_version_and_differ(user: VirtualUser) -> None:
    actions.race_patch(user)
    sent = lines(user.workload, "race_patch")[:RACERS]
    assert len({line["path"] for line in sent}) == len({line["if_match"] for line in sent}) == 1
    assert len({line["body"]["price"] for line in sent}) == RACERS


def test_a_race_for_a_key_is_one_write_with_two_tries(user: VirtualUser) -> None:
    actions.race_same_key(user)
    sent = lines(user.workload, "race_same_key")
    assert [(line["op"], line["key"]) for line in sent] == [(sent[0]["op"], sent[0]["key"])] * 2
    assert sorted(line["replayed"] for line in lines(user.workload, "race_same_key", "ok")) == [False, True]


def test_replays_a_stored_refusal_with_its_key(user: VirtualUser) -> None:
    actions.retry_refused(user)
    first, again = lines(user.workload, "create_order"), lines(user.workload, "retry_refused")
    assert [line["key"] for line in first] == [line["key"] for line in again]
    (refused,) = lines(user.workload, "create_order", "refused")
    (replayed,) = lines(user.workload, "retry_refused", "refused")
    assert (refused["replayed"], replayed["replayed"]) == (False, True)
    assert refused["answer"] == replayed["answer"]


@pytest.mark.parametrize(("fault", "pauses"), [("refuse_all", 1), (None, 0)])
def test_backs_off_after_it_was_turned_away(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, fault: str | None, pauses: int
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(virtual_user.gevent, "sleep", slept.append)
    actions.create_user(VirtualUser(connect(fault)))
    assert len(slept) == pauses


def test_cuts_a_batch_to_the_rest_of_the_budget(sender: Sender) -> None:
    sender.workload.budget.limit = sender.workload.budget.taken + 2
    user = VirtualUser(sender)
    actions.batch_users(user)
    (line,) = lines(sender.workload, "batch_users")
    assert len(line["body"]["items"]) == len(line["expects"]) == 2
    with pytest.raises(OutOfWrites):
        actions.create_user(user)


def test_retries_a_write_without_an_answer_with_its_key(workload: Workload, connect: Connect) -> None:
    user = VirtualUser(connect("drop_answers"))
    ops = [actions.create_user(user) for _ in range(7)]
    assert [op.tries for op in ops] == [1] * 6 + [2]
    assert all(op.fate == "ok" for op in ops)
    assert len({line["key"] for line in lines(workload, "create_user")}) == 7


def test_a_virtual_user_remembers_a_bounded_number_of_rows(user: VirtualUser) -> None:
    for _ in range(2 * KEPT):
        actions.create_user(user)
        actions.create_product(user)
    assert len(user.users) == len(user.products) == len(user.acknowledged) == KEPT


def test_virtual_users_share_hot_users_and_make_no_equal_orders(sender: Sender) -> None:
    sender.workload.scenario = replace(sender.workload.scenario, hot_user_share=1.0, limited_share=0.0)
    sender.workload.hot_users = [OwnUser(1, 10)]
    bodies = [new.body for _ in range(20) if (new := new_order(VirtualUser(sender)))]
    assert {body["user_id"] for body in bodies} == {1}
    assert [body["quantity"] for body in bodies] == list(range(11, 31))


def test_drops_a_hot_user_with_the_most_orders(sender: Sender, user: VirtualUser) -> None:
    sender.workload.scenario = replace(sender.workload.scenario, hot_user_share=1.0, limited_share=0.0)
    sender.workload.hot_users = [OwnUser(1, MOST_ORDERS)]
    new = new_order(user)
    assert new is not None
    assert new.body["user_id"] != 1
    assert not sender.workload.hot_users


def test_orders_of_limited_products_are_small_and_unlike_each_other(sender: Sender) -> None:
    sender.workload.scenario = replace(sender.workload.scenario, limited_share=1.0)
    user, limited = VirtualUser(sender), sender.workload.limited
    news = [new for _ in range(40) if (new := new_order(user))]
    triples = {(new.body["user_id"], new.body["product_id"], new.body["quantity"]) for new in news}
    assert len(triples) == 40
    assert {new.body["product_id"] for new in news} == set(limited)
    assert {new.body["quantity"] for new in news} == set(range(1, MOST_UNITS + 1))
    assert len({new.body["user_id"] for new in news}) == ceil(40 / (MOST_UNITS * len(limited)))
    assert {new.expects for new in news} == {"any"}


def test_other_orders_are_of_unlimited_products_only(sender: Sender) -> None:
    sender.workload.scenario = replace(sender.workload.scenario, limited_share=0.0)
    user = VirtualUser(sender)
    for _ in range(10):
        actions.add_stock(user)
    news = [new for _ in range(40) if (new := new_order(user))]
    assert not {new.body["product_id"] for new in news} & set(sender.workload.limited)


def test_takes_away_no_more_than_there_is(user: VirtualUser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "STOCK_CHANGES", (-1_000_000,))
    actions.add_stock(user)
    (line,) = lines(user.workload, "add_stock", "refused")
    assert line["problem"] == "out-of-stock"
    actions.retry_refused(user)
    (again,) = lines(user.workload, "retry_refused", "refused")
    assert (again["replayed"], again["answer"]) == (True, line["answer"])


def test_asks_again_for_units_that_others_hold(workload: Workload, connect: Connect) -> None:
    sender = connect("hold_units")
    insert(sender)
    workload.scenario = replace(workload.scenario, limited_share=1.0)
    user = VirtualUser(sender)
    ops = [op for _ in range(6) if (op := actions.create_order(user))]
    assert [op.fate for op in ops] == ["ok"] * 6
    assert max(op.tries for op in ops) == 2
    assert not workload.open
