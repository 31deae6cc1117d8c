"""Owners: the row is asserted in each transaction, and an owner that is dead is removed by one that lives."""

from typing import Any

import gevent
import pytest

from orders_service.app import TABLE
from orders_service.stock.owners import SUSPECT_AFTER, Beat, Leave, Owner, Register
from orders_service.upstream.attempts import Attempt, Attempts
from service_common.storage.database import Insert, Write
from service_common.storage.errors import OutcomeUnknown, Unavailable
from service_common.storage.sqlite.database import SqliteDatabase


def order(database: SqliteDatabase, token: str | None) -> Any:
    return database.write(Write(Insert(TABLE, [(1, 7, 1, "Tea", 100, token)])))


def owners(database: SqliteDatabase) -> dict[str, int]:
    return dict(database.read("SELECT id, beat FROM owners"))


@pytest.fixture
def owner(attempts: Attempts, database: SqliteDatabase) -> Owner:
    attempts.owner = None
    made = Owner(attempts, database, beat_every=0.01)
    made._register()
    attempts.owner = made.id
    return made


def test_a_row_is_committed_before_anything_can_be_reserved(attempts: Attempts, database: SqliteDatabase) -> None:
    attempts.owner = None
    owner = Owner(attempts, database, beat_every=0.01)
    assert owner.id is None
    assert not owner.registered.is_set()
    owner._register()
    assert owner.registered.is_set()
    assert list(owners(database)) == [owner.id]


def test_at_its_start_a_process_that_is_alone_removes_all_others(database: SqliteDatabase) -> None:
    database.write(Write(Register("old", alone=True)))
    database.write(Write(Register("other", alone=False)))
    assert set(owners(database)) == {"old", "other"}
    database.write(Write(Register("new", alone=True)))
    assert set(owners(database)) == {"new"}


def test_after_a_removal_nothing_is_written_at_all(owner: Owner, database: SqliteDatabase) -> None:
    order(database, f"{owner.id}.1.0")
    database.file.writing.execute("DELETE FROM owners")
    for token in (f"{owner.id}.2.0", None):
        with pytest.raises(Unavailable, match="Nothing was written"):
            order(database, token)
    assert database.read("SELECT count(*) FROM orders") == [(1,)]
    assert owner.id is None


def test_a_removed_process_registers_only_when_its_last_order_was_refused(
    owner: Owner, attempts: Attempts, database: SqliteDatabase
) -> None:
    old = owner.id
    item = Attempt([(7, 1)]).items[0]
    token = attempts.mint(item)
    database.file.writing.execute("DELETE FROM owners")
    with pytest.raises(Unavailable):
        order(database, None)
    registering = gevent.spawn(owner._register)
    gevent.sleep(0.05)
    assert not registering.ready()
    with pytest.raises(Unavailable):
        order(database, token)
    attempts.give_up([item])
    registering.get(timeout=5)
    assert owner.id not in (None, old)
    assert list(owners(database)) == [owner.id]
    order(database, None)


def test_an_unknown_outcome_does_not_keep_a_removed_process_from_registering(
    owner: Owner, attempts: Attempts, database: SqliteDatabase
) -> None:
    token = attempts.mint(Attempt([(7, 1)]).items[0])
    order(database, token)
    attempts.ended([(token,)], None, OutcomeUnknown(""))
    database.file.writing.execute("DELETE FROM owners")
    with pytest.raises(Unavailable):
        order(database, None)
    owner._register()
    assert owner.id is not None
    owner._beat(owner.id)
    assert [(each.token, each.is_sold) for each in attempts.take(10)] == [(token, True)]


def test_a_beat_judges_outcomes_that_were_unknown(owner: Owner, attempts: Attempts, database: SqliteDatabase) -> None:
    there, absent = (attempts.mint(item) for item in Attempt([(7, 1), (7, 1)]).items)
    order(database, there)
    attempts.ended([(there,), (absent,)], None, OutcomeUnknown(""))
    assert owner.id is not None
    owner._beat(owner.id)
    assert {each.token: each.is_sold for each in attempts.take(10)} == {there: True, absent: False}


def test_only_beats_that_succeeded_count_towards_suspicion(
    owner: Owner, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert owner.id is not None
    database.write(Write(Register("silent", alone=False)))
    for _ in range(SUSPECT_AFTER):
        owner._beat(owner.id)
    assert "silent" in owners(database)
    with monkeypatch.context() as patched:
        patched.setattr(database, "write", lambda _write: (_ for _ in ()).throw(Unavailable("down")))
        for _ in range(3 * SUSPECT_AFTER):
            with pytest.raises(Unavailable):
                owner._beat(owner.id)
    owner._beat(owner.id)
    assert "silent" in owners(database)  # seen unmoved for the fifth time
    owner._beat(owner.id)
    assert "silent" not in owners(database)


def test_an_owner_that_beats_is_never_removed(owner: Owner, database: SqliteDatabase) -> None:
    assert owner.id is not None
    database.write(Write(Register("slow", alone=False)))
    for beat in range(6 * SUSPECT_AFTER):
        if beat % SUSPECT_AFTER == 0:
            database.write(Write(Beat("slow", [], [])))
        owner._beat(owner.id)
    assert "slow" in owners(database)


def test_an_owner_that_beats_once_more_before_its_removal_stays(owner: Owner, database: SqliteDatabase) -> None:
    assert owner.id is not None
    database.write(Write(Register("slow", alone=False)))
    for _ in range(SUSPECT_AFTER + 1):
        owner._beat(owner.id)
    database.write(Write(Beat("slow", [], [])))
    owner._beat(owner.id)
    assert "slow" in owners(database)


def test_a_removed_process_removes_nobody(owner: Owner, database: SqliteDatabase) -> None:
    assert owner.id is not None
    database.write(Write(Register("silent", alone=False)))
    for _ in range(SUSPECT_AFTER + 1):
        owner._beat(owner.id)
    database.write(Write(Leave(owner.id)))
    with pytest.raises(Unavailable):
        owner._beat(owner.id)
    assert "silent" in owners(database)
