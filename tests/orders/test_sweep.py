"""The sweep: what it reads, in which order, and what it may settle."""

from typing import Any

import pytest

from orders_service.app import TABLE
from orders_service.stock.owners import Owner, Register
from orders_service.stock.sweep import Look, Sweep
from orders_service.upstream.attempts import Attempt, Attempts
from service_common.storage.database import Answer, Insert, Write
from service_common.storage.errors import Unavailable
from service_common.storage.sqlite.database import SqliteDatabase

CREATED = Answer(201, b"{}", {})


class Products:
    """The open reservations at products. `meanwhile` happens when they have been listed."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.meanwhile: list[Any] = []

    def listed(self, _remote: Any) -> list[dict[str, Any]]:
        listed = [{"token": token, "product_id": 7, "quantity": 1} for token in self.open]
        for happen in self.meanwhile:
            happen()
        return listed


class Swept:
    """A sweep, and all that it reads."""

    def __init__(self, attempts: Attempts, database: SqliteDatabase) -> None:
        attempts.owner = None
        self.attempts, self.database, self.products = attempts, database, Products()
        self.owner = Owner(attempts, database, beat_every=1)
        self.owner._register()
        attempts.owner = self.own = self.owner.id
        self.sweep = Sweep(attempts, self.owner, database, self.products, None, None)  # type: ignore[arg-type]

    def order(self, token: str) -> None:
        self.database.write(Write(Insert(TABLE, [(1, 7, 1, "Tea", 100, token)])))

    def settled(self, *tokens: str) -> dict[str, bool]:
        """Sweep while `tokens` are open. Return what is confirmed (True) and released."""
        self.products.open = list(tokens)
        self.sweep.once()
        return {each.token: each.is_sold for each in self.attempts.take(100)}


@pytest.fixture
def swept(attempts: Attempts, database: SqliteDatabase) -> Swept:
    return Swept(attempts, database)


def test_tokens_in_orders_are_confirmed_whoever_made_them(swept: Swept) -> None:
    tokens = [f"{swept.own}.1.0", "gone.1.0", "there.1.0"]
    swept.database.write(Write(Register("there", alone=False)))
    for token in tokens:
        swept.order(token)
    assert swept.settled(*tokens) == dict.fromkeys(tokens, True)


def test_tokens_in_no_order_are_released_only_where_their_makers_cannot_commit_any_more(swept: Swept) -> None:
    swept.database.write(Write(Register("there", alone=False)))
    live = swept.attempts.mint(Attempt([(7, 1)]).items[0])
    own = f"{swept.own}.999.0"
    assert swept.settled(live, own, "gone.1.0", "there.1.0") == {own: False, "gone.1.0": False}


def test_what_is_live_is_read_after_the_list(swept: Swept) -> None:
    """Else an attempt that starts between the two is listed, and missing in the older set of what is live."""
    live = f"{swept.own}.1.0"
    swept.products.meanwhile.append(lambda: swept.attempts.mint(Attempt([(7, 1)]).items[0]))
    assert swept.settled(live) == {}
    assert live in swept.attempts.known()


def test_the_owners_are_read_after_the_list(swept: Swept) -> None:
    """Else an owner that registers between the two looks removed."""
    swept.products.meanwhile.append(lambda: swept.database.write(Write(Register("new", alone=False))))
    assert swept.settled("new.1.0") == {}


def test_the_orders_are_read_after_what_is_live(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an attempt that commits between the two looks dead and without an order."""
    item = Attempt([(7, 1)]).items[0]
    token = swept.attempts.mint(item)
    known = swept.attempts.known

    def commit_first() -> set[str]:
        swept.order(token)
        swept.attempts.ended([(token,)], CREATED, None)
        swept.attempts.acknowledge(swept.attempts.take(10), ())
        return known()

    monkeypatch.setattr(swept.attempts, "known", commit_first)
    assert swept.settled(token) == {token: True}


def test_owners_and_orders_are_read_in_a_write_transaction_and_nothing_is_settled_where_it_fails(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    write = swept.database.write
    monkeypatch.setattr(swept.database, "write", lambda each: (made.append(each.operation), write(each))[1])
    assert swept.settled("gone.1.0") == {"gone.1.0": False}
    assert [type(each) for each in made] == [Look]
    swept.database.file.writing.execute("DELETE FROM owners")  # the process was taken for dead
    with pytest.raises(Unavailable):
        swept.settled("gone.2.0")
    assert swept.attempts.take(10) == []


def test_where_nothing_is_open_nothing_is_written(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swept.database, "write", lambda _each: pytest.fail("a write"))
    assert swept.settled() == {}
