"""Kept answers, on a real database: what is found, what is refused, what is purged."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from service_common.idempotency import KEPT_S, PURGED_AT_ONCE, Answer, Key, kept_answer, once, purge
from service_common.problems import Problem
from service_common.store import Store

SCHEMA = "-- version 1\nCREATE TABLE t (x INTEGER) STRICT;"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "t.db", SCHEMA)
    yield opened
    opened.close()


def make(db: apsw.Connection) -> Answer:
    db.execute("INSERT INTO t VALUES (1)")
    return Answer(201, b'{"id":1}', {"Location": "/t/1"})


def written(store: Store) -> int:
    return int(store.read("SELECT count(*) FROM t")[0][0])


def test_a_write_under_one_key_is_made_once(store: Store) -> None:
    key = Key("k", b"f")
    first, again = (once(key, make)(store.writing) for _ in range(2))
    assert written(store) == 1
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers == {"Location": "/t/1", "Idempotency-Replayed": "true"}
    assert kept_answer(store.read, key) == again


def test_another_fingerprint_under_one_key_is_refused_and_not_written(store: Store) -> None:
    once(Key("k", b"f"), make)(store.writing)
    for ask in (lambda: once(Key("k", b"g"), make)(store.writing), lambda: kept_answer(store.read, Key("k", b"g"))):
        with pytest.raises(Problem) as refused:
            ask()
        assert refused.value.kind == "idempotency-key-reused"
    assert written(store) == 1


def test_a_write_that_fails_keeps_no_answer(store: Store) -> None:
    def fail(db: apsw.Connection) -> Answer:
        raise Problem("validation", "wrong")

    with pytest.raises(Problem):
        once(Key("k", b"f"), fail)(store.writing)
    assert kept_answer(store.read, Key("k", b"f")) is None


@pytest.mark.parametrize(("age", "kept"), [(KEPT_S - 5, True), (KEPT_S + 5, False)])
def test_an_answer_is_kept_for_a_day(store: Store, age: int, kept: bool) -> None:
    once(Key("k", b"f"), make)(store.writing)
    store.writing.execute("UPDATE idempotency_keys SET created_at = created_at - ?", (age,))
    assert (kept_answer(store.read, Key("k", b"f")) is not None) == kept
    once(Key("k", b"f"), make)(store.writing)
    assert written(store) == (1 if kept else 2)


def test_purging_takes_the_old_some_at_a_time_and_leaves_the_rest(store: Store) -> None:
    numbers, old, new = itertools.count(), PURGED_AT_ONCE + 7, 5
    insert = "INSERT INTO idempotency_keys (key, fingerprint, status, body, headers, created_at) VALUES (?, x'', 201, x'', '{}', ?)"
    now = int(time.time())
    for created_at in [now - KEPT_S - 60] * old + [now] * new:
        store.writing.execute(insert, (f"k{next(numbers)}", created_at))
    assert [purge(store.writing) for _ in range(3)] == [PURGED_AT_ONCE, 7, 0]
    assert store.read("SELECT count(*) FROM idempotency_keys") == [(new,)]


def test_keys_that_a_clock_which_was_ahead_has_dated_do_not_keep_the_others_from_being_purged(store: Store) -> None:
    insert = "INSERT INTO idempotency_keys (key, fingerprint, status, body, headers, created_at) VALUES (?, x'', 201, x'', '{}', ?)"
    now = int(time.time())
    for number in range(PURGED_AT_ONCE):
        store.writing.execute(insert, (f"ahead{number}", now + 30 * KEPT_S))
    for key, created_at in (("old", now - KEPT_S - 60), ("new", now), ("a little ahead", now + KEPT_S // 2)):
        store.writing.execute(insert, (key, created_at))
    while purge(store.writing):
        pass
    assert store.read("SELECT key FROM idempotency_keys ORDER BY id") == [("new",), ("a little ahead",)]
