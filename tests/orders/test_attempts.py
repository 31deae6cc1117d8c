"""Attempts: tokens, what is live, and how each end is settled."""

import pytest

from orders_service.upstream.attempts import Attempt, Attempts, Item, Settlement
from service_common.storage.database import Answer, Kept
from service_common.storage.errors import OutcomeUnknown, Overloaded, Unavailable

CREATED = Answer(201, b"{}", {})


def reserved(attempts: Attempts, items: int = 1) -> list[Item]:
    attempt = Attempt([(7, 1)] * items)
    for item in attempt.items:
        attempts.mint(item)
    return attempt.items


def row(item: Item) -> tuple[object, ...]:
    return (1, item.product_id, item.quantity, "Tea", 100, item.token)


def test_the_items_of_an_attempt_have_tokens_that_differ_at_their_end() -> None:
    from prometheus_client import CollectorRegistry

    attempts = Attempts(CollectorRegistry())
    attempts.owner = "aa"
    tokens = [[item.token for item in reserved(attempts, 2)] for _ in range(2)]
    assert tokens == [["aa.1.0", "aa.1.1"], ["aa.2.0", "aa.2.1"]]


def test_a_new_owner_gives_no_token_of_the_old_one(attempts: Attempts) -> None:
    (item,) = reserved(attempts)
    attempts.forget(item)
    attempts.owner = "new"
    assert attempts.mint(item).startswith("new.")


def test_a_written_order_is_confirmed(attempts: Attempts) -> None:
    (item,) = reserved(attempts)
    token = str(item.token)
    attempts.ended([row(item), (1, 8, 1, "Tea", 100, None)], CREATED, None)
    assert attempts.take(10) == [Settlement(token, 7, is_sold=True)]


@pytest.mark.parametrize(
    ("outcome", "error"),
    [(Kept(b"", CREATED), None), (None, Overloaded("")), (None, Unavailable("")), (None, RuntimeError("defect"))],
    ids=["decided under its key before", "refused", "rolled back", "failed alone"],
)
def test_an_order_that_was_not_written_is_released(
    attempts: Attempts, outcome: object, error: Exception | None
) -> None:
    (item,) = reserved(attempts)
    attempts.ended([row(item)], outcome, error)
    assert [each.is_sold for each in attempts.take(10)] == [False]
    assert not attempts.may_write()


def test_an_unknown_outcome_stays_live_until_it_is_judged(attempts: Attempts) -> None:
    items = reserved(attempts, 2)
    tokens = [str(item.token) for item in items]
    attempts.ended([row(item) for item in items], None, OutcomeUnknown(""))
    assert attempts.take(10) == []
    assert set(tokens) <= attempts.known()
    assert list(attempts.unknown) == tokens
    assert not attempts.may_write()  # what was sent is decided by the database alone
    attempts.judge(tokens, {tokens[0]})
    assert [(each.token, each.is_sold) for each in attempts.take(10)] == [(tokens[0], True), (tokens[1], False)]
    assert not attempts.unknown


def test_a_token_is_known_until_its_settlement_was_answered(attempts: Attempts) -> None:
    (item,) = reserved(attempts)
    token = item.token
    attempts.ended([row(item)], CREATED, None)
    taken = attempts.take(10)
    assert token in attempts.known()
    attempts.put_back(taken)
    assert token in attempts.known()
    attempts.acknowledge(attempts.take(10), ())
    assert token not in attempts.known()
    assert attempts.all_settled()


def test_each_token_is_settled_once(attempts: Attempts) -> None:
    (item,) = reserved(attempts)
    attempts.ended([row(item)], CREATED, None)
    attempts.ended([row(item)], None, Unavailable(""))
    attempts.give_up([item])
    assert [each.is_sold for each in attempts.take(10)] == [True]
