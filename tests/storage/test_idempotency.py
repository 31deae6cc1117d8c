"""Idempotency keys: a keyed write is decided once; its answer is kept for a day and then purged."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service_common.storage.database import (
    KEPT_S,
    PURGED_AT_ONCE,
    Answer,
    Delete,
    Insert,
    Kept,
    Key,
    Missing,
    Purge,
    UniqueViolation,
    Update,
    Write,
)

from .bench import TABLE, VERSIONED, Bench, until

KEY, OTHER_REQUEST = Key("k", b"f"), Key("k", b"g")
KEEP = "INSERT INTO idempotency_keys (key, fingerprint, status, body, headers, created_at) VALUES (?, x'', 201, x'', '{}', ?)"
CREATED = Answer(201, b"1", {"Location": "/t/1"})
REFUSED = Answer(409, b"x", {})


def answered(results: list[Any]) -> Answer:
    """Answer the insert of one row as a service does."""
    if isinstance(results[0], UniqueViolation):
        return Answer(409, results[0].column.encode(), {})
    return Answer(201, b"%d" % results[0][0], {"Location": f"/t/{results[0][0]}"})


def keyed(x: int, key: Key | None = KEY, answer: Callable[[Any], Answer] = answered) -> Write:
    return Write(Insert(TABLE, [(x,)]), answer, key)


def keys(bench: Bench) -> list[str]:
    return [key for (key,) in bench.database.read("SELECT key FROM idempotency_keys ORDER BY id")]


def test_a_keyed_write_is_made_once_across_groups(bench: Bench) -> None:
    assert bench.database.kept("k") is None
    assert bench.database.write(keyed(1)) == CREATED
    assert [bench.database.write(keyed(1)) for _ in range(2)] == [Kept(b"f", CREATED)] * 2
    assert bench.database.kept("k") == Kept(b"f", CREATED)
    assert bench.rows() == bench.crashed() == bench.cut_off() == [1]
    assert bench.groups() == (3, 3)


def test_a_keyed_write_is_made_once_within_a_group(bench: Bench) -> None:
    writes = [keyed(1), keyed(1), keyed(2, Key("another", b"f")), keyed(1)]
    outcomes = bench.outcomes_of(*writes)
    assert outcomes == [CREATED, Kept(b"f", CREATED), Answer(201, b"2", {"Location": "/t/2"}), Kept(b"f", CREATED)]
    assert bench.groups() == (1, 4)
    assert bench.rows() == [1, 2]


def test_a_keyed_write_is_made_once_in_a_group_that_runs_again_with_savepoints(bench: Bench) -> None:
    first, second, broken, third = bench.outcomes_of(
        keyed(1), keyed(1), bench.insert_and_raise(9, ZeroDivisionError), keyed(1)
    )
    assert (first, second, third) == (CREATED, Kept(b"f", CREATED), Kept(b"f", CREATED))
    assert isinstance(broken, ZeroDivisionError)
    assert bench.groups() == (1, 4)
    assert bench.rows() == [1]


def test_a_write_queued_while_its_key_is_being_committed_gets_that_outcome(bench: Bench) -> None:
    waiting, go_on = bench.hold_sync()
    first = bench.database.submit(keyed(1))
    until(waiting)
    second = bench.database.submit(keyed(1))
    assert bench.database.kept("k") is None  # it is not decided before it is on disk
    go_on.set()
    assert bench.database.wait(first) == CREATED
    assert bench.database.wait(second) == Kept(b"f", CREATED)
    assert bench.rows() == [1]


def test_a_refusal_is_replayed_although_its_reason_has_gone(bench: Bench) -> None:
    assert bench.outcome(7) == 1
    assert bench.database.write(keyed(7)) == REFUSED
    assert bench.database.write(Write(Delete(TABLE, 1))) == (1, 7)
    assert bench.database.kept("k") == Kept(b"f", REFUSED)
    assert bench.database.write(keyed(7)) == Kept(b"f", REFUSED)
    assert bench.rows() == []
    assert bench.database.write(keyed(7, Key("new", b"f"))) == Answer(201, b"2", {"Location": "/t/2"})


def test_a_success_is_replayed_although_the_row_has_gone(bench: Bench) -> None:
    bench.database.write(keyed(1))
    bench.database.write(Write(Delete(TABLE, 1)))
    assert bench.database.write(keyed(1)) == Kept(b"f", CREATED)
    assert bench.rows() == []


def test_a_refused_update_is_kept_under_its_key(bench: Bench) -> None:
    def missing(result: Any) -> Answer:
        return Answer(404 if isinstance(result, Missing) else 200, b"", {})

    update = Write(Update(VERSIONED, 1, (5,)), missing, KEY)
    assert bench.database.write(update).status == 404
    bench.database.write(Write(Insert(VERSIONED, [(1,)])))
    assert bench.database.write(update) == Kept(b"f", Answer(404, b"", {}))
    assert bench.database.read("SELECT id, x, version FROM versioned") == [(1, 1, 1)]


def test_another_request_under_a_used_key_gets_the_first_one_and_writes_nothing(bench: Bench) -> None:
    assert bench.database.write(keyed(1)) == CREATED
    assert bench.database.write(keyed(2, OTHER_REQUEST)) == Kept(b"f", CREATED)  # the fingerprint tells the caller
    assert bench.database.kept("k") == Kept(b"f", CREATED)
    assert bench.rows() == [1]


def test_of_two_requests_under_one_key_in_one_group_the_first_decides(bench: Bench) -> None:
    outcomes = bench.outcomes_of(keyed(2, OTHER_REQUEST), keyed(1))
    assert outcomes == [CREATED, Kept(b"g", CREATED)]
    assert bench.groups() == (1, 2)
    assert bench.rows() == [2]


def test_two_keys_are_two_writes(bench: Bench) -> None:
    outcomes = bench.outcomes_of(keyed(1), keyed(1, Key("K", b"f")))
    assert outcomes == [CREATED, REFUSED]
    assert keys(bench) == ["k", "K"]


def test_a_write_that_fails_keeps_nothing_under_its_key(bench: Bench) -> None:
    def fail(_results: Any) -> Answer:
        raise ZeroDivisionError

    first, broken = bench.outcomes_of(keyed(2, Key("sound", b"f")), keyed(1, KEY, fail))
    assert first == CREATED
    assert isinstance(broken, ZeroDivisionError)
    assert bench.database.kept("k") is None
    assert keys(bench) == ["sound"]
    assert bench.rows() == [2]
    assert bench.database.write(keyed(1)) == Answer(201, b"2", {"Location": "/t/2"})


def test_a_write_that_breaks_another_rule_keeps_nothing_under_its_key(bench: Bench) -> None:
    assert type(bench.outcome_of(keyed(-99))).__name__ == "ConstraintError"
    assert keys(bench) == []
    assert bench.database.write(keyed(1)) == CREATED


@pytest.mark.parametrize("fault", ["full", "writes_fail"])
def test_a_transaction_that_fails_keeps_nothing_under_its_keys(bench: Bench, fault: str) -> None:
    assert bench.outcome(9) == 1
    setattr(bench.disk, fault, True)
    assert bench.outcome_of(keyed(1)) in ("Unavailable", "OutcomeUnknown")
    bench.disk.repair()
    assert bench.database.write(keyed(1)) == Answer(201, b"2", {"Location": "/t/2"})
    assert bench.rows() == [9, 1]


@pytest.mark.parametrize(("age", "kept"), [(KEPT_S - 5, True), (KEPT_S + 5, False)])
def test_an_answer_is_kept_for_a_day(bench: Bench, age: int, kept: bool) -> None:
    bench.database.write(keyed(1))
    bench.writing.execute("UPDATE idempotency_keys SET created_at = created_at - ?", (age,))
    assert (bench.database.kept("k") is not None) == kept
    outcome = bench.database.write(keyed(2))
    assert outcome == (Kept(b"f", CREATED) if kept else Answer(201, b"2", {"Location": "/t/2"}))
    assert bench.rows() == ([1] if kept else [1, 2])
    assert keys(bench) == ["k"]
    assert bench.database.kept("k") == Kept(b"f", CREATED if kept else outcome)


def test_an_answer_outlives_a_restart(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.database.write(keyed(1))
    bench.database.close(5)
    again = Bench(tmp_path)
    assert again.database.kept("k") == Kept(b"f", CREATED)
    assert again.database.write(keyed(1)) == Kept(b"f", CREATED)
    again.database.close(5)


def test_a_purge_deletes_a_limited_number_of_old_keys_and_no_new_ones(bench: Bench) -> None:
    numbers, old, new = itertools.count(), PURGED_AT_ONCE + 7, 5
    now = int(time.time())
    created = [now - KEPT_S - 60] * old + [now] * new
    with bench.writing:
        bench.writing.executemany(KEEP, ((f"k{next(numbers)}", created_at) for created_at in created))
    assert [bench.database.write(Write(Purge())) for _ in range(3)] == [PURGED_AT_ONCE, 7, 0]
    assert len(keys(bench)) == new


def test_keys_dated_in_the_future_do_not_keep_others_from_being_purged(bench: Bench) -> None:
    now = int(time.time())
    created = [(f"ahead{number}", now + 30 * KEPT_S) for number in range(PURGED_AT_ONCE)]
    created += [("old", now - KEPT_S - 60), ("new", now), ("a little ahead", now + KEPT_S // 2)]
    with bench.writing:
        bench.writing.executemany(KEEP, created)
    while bench.database.write(Write(Purge())):
        pass
    assert keys(bench) == ["new", "a little ahead"]
