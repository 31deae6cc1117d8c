"""A group of writes has the outcomes that its writes would have had one after the other."""

import time
from typing import Any

import gevent
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
    OtherVersion,
    Probe,
    Purge,
    UniqueViolation,
    Versions,
    Write,
)
from service_common.storage.postgres.database import PostgresDatabase
from users_service.app import TABLE

from .writes import all_outcomes, insert, keyed, move, rename, user


def test_answers_each_row_of_an_insert_in_its_place(database: PostgresDatabase) -> None:
    first, second, third = database.write(insert("a", "a", "b"))
    assert first[:4] == (1, "a", "a@example.org", first[3])
    assert second == UniqueViolation("email_key")
    assert third[1] == "b"


def test_answers_each_write_of_a_group_with_its_own_rows(database: PostgresDatabase) -> None:
    outcomes = all_outcomes(database, insert("a", "b"), insert(), insert("b"), insert("c"))
    assert [[row[1] for row in rows] for rows in (outcomes[0], outcomes[3])] == [["a", "b"], ["c"]]
    assert outcomes[1] == []
    assert outcomes[2] == [UniqueViolation("email_key")]


def test_makes_one_transaction_of_what_waits(database: PostgresDatabase) -> None:
    all_outcomes(database, *[insert(f"u{n}") for n in range(64)], *[keyed(f"k{n}", f"k{n}") for n in range(64)])
    assert database.read("SELECT count(*), count(DISTINCT xmin::text) FROM users") == [(128, 1)]


def test_the_times_of_rows_follow_their_ids(database: PostgresDatabase) -> None:
    for n in range(5):
        database.write(insert(f"u{n}"))
    times = [row[0] for row in database.read("SELECT created_at FROM users WHERE id > ? ORDER BY id", (0,))]
    assert times == sorted(times)
    assert len(times[0]) == len("2026-01-02T03:04:05.678Z")
    assert times[0].endswith("Z")


def test_changes_of_one_row_in_one_group_follow_each_other(database: PostgresDatabase) -> None:
    database.write(insert("a"))
    outcomes = all_outcomes(database, *[rename(1, f"n{n}") for n in range(5)])
    assert [(row[1], row[-1]) for row in outcomes] == [(f"n{n}", n + 2) for n in range(5)]


def test_of_changes_that_expect_one_version_the_first_is_made(database: PostgresDatabase) -> None:
    database.write(insert("a"))
    first, *rest = all_outcomes(database, *[rename(1, f"n{n}", "1") for n in range(5)])
    assert first[1] == "n0"
    assert rest == [OtherVersion(2)] * 4


def test_a_change_of_no_row_finds_none(database: PostgresDatabase) -> None:
    delete = Write(Delete(TABLE, 7))
    assert all_outcomes(database, rename(7, "x"), delete, rename(2**63 - 1, "y")) == [Missing()] * 3


def test_a_deleted_row_is_missing_to_the_rest_of_its_group(database: PostgresDatabase) -> None:
    database.write(insert("a"))
    renamed, refused, deleted, missing, late = all_outcomes(
        database,
        rename(1, "b"),
        Write(Delete(TABLE, 1, Versions(frozenset("1")))),
        Write(Delete(TABLE, 1, Versions(frozenset("2")))),
        Write(Delete(TABLE, 1)),
        rename(1, "c"),
    )
    assert renamed[1] == "b"
    assert refused == OtherVersion(2)
    assert deleted == renamed
    assert (missing, late) == (Missing(), Missing())
    assert database.read("SELECT id FROM users") == []


def test_a_change_that_a_unique_constraint_refuses_stops_no_other(database: PostgresDatabase) -> None:
    database.write(insert("a", "b", "c", "d", "e"))
    outcomes = all_outcomes(
        database, move(1, "new1"), move(2, "e@example.org"), insert("f"), move(3, "new3"), move(4, "new1")
    )
    assert [outcomes[0][2], outcomes[3][2], outcomes[2][0][1]] == ["new1", "new3", "f"]
    assert outcomes[1] == outcomes[4] == UniqueViolation("email_key")
    assert database.read("SELECT email FROM users WHERE id IN (?, ?, ?) ORDER BY id", (2, 3, 4)) == [
        ("b@example.org",), ("new3",), ("d@example.org",),
    ]  # fmt: skip


def test_a_key_decides_once(database: PostgresDatabase) -> None:
    created = database.write(keyed("k", "a"))
    again = database.write(keyed("k", "a"))
    assert created == Answer(201, b"1", {"Location": "/users/1"})
    assert again == Kept(b"same", created)
    assert database.kept("k") == again
    assert database.kept("other") is None


def test_of_one_key_twice_in_a_group_the_first_decides(database: PostgresDatabase) -> None:
    first, second, other = all_outcomes(database, keyed("k", "a"), keyed("k", "b", b"other"), keyed("l", "c"))
    assert first == Answer(201, b"1", {"Location": "/users/1"})
    assert second == Kept(b"same", first)
    assert other.status == 201
    assert database.read("SELECT name FROM users ORDER BY id") == [("a",), ("c",)]


def test_a_refusal_is_kept_too(database: PostgresDatabase) -> None:
    database.write(insert("a"))
    refused = database.write(keyed("k", "a"))
    database.write(Write(Delete(TABLE, 1)))
    assert refused.status == 409
    assert database.write(keyed("k", "a")) == Kept(b"same", refused)


def test_a_refusal_without_rows_is_kept(database: PostgresDatabase) -> None:
    refusal = Answer(422, b"{}", {})
    write = Write(Insert(TABLE, []), lambda _: refusal, Key("k", b"f"))
    assert database.write(write) == refusal
    assert database.write(write) == Kept(b"f", refusal)


def test_an_expired_key_decides_anew(database: PostgresDatabase) -> None:
    database.write(keyed("k", "a"))
    age_keys(database, KEPT_S + 1)
    assert database.kept("k") is None
    assert database.write(keyed("k", "b", b"new")).status == 201
    found = database.kept("k")
    assert found is not None
    assert found.fingerprint == b"new"


def age_keys(database: PostgresDatabase, seconds: int) -> None:
    assert database._connection is not None
    database._connection.execute("UPDATE idempotency_keys SET created_at = created_at - %s", (seconds,))


@pytest.mark.parametrize("seconds", [KEPT_S + 60, -KEPT_S - 60])
def test_a_purge_deletes_some_expired_keys_at_a_time(database: PostgresDatabase, seconds: int) -> None:
    for start in range(0, PURGED_AT_ONCE + 100, 300):
        all_outcomes(database, *[keyed(f"k{n}", f"u{n}") for n in range(start, start + 300)])
    age_keys(database, seconds)
    database.write(keyed("young", "young"))
    assert [database.write(Write(Purge())) for _ in range(3)] == [PURGED_AT_ONCE, 100, 0]
    assert database.kept("young") is not None


def test_a_write_whose_answer_fails_is_rolled_back_alone(database: PostgresDatabase) -> None:
    def defect(_: Any) -> Answer:
        raise ValueError("a defect")

    writes = [
        keyed("k1", "a"),
        Write(Insert(TABLE, [user("b")]), defect, Key("k2", b"f")),
        keyed("k2", "c"),
        insert("d"),
    ]
    first, failed, third, last = all_outcomes(database, *writes)
    assert (first.status, third.status, last[0][1]) == (201, 201, "d")
    assert isinstance(failed, ValueError)
    assert database.read("SELECT name FROM users ORDER BY id") == [("a",), ("c",), ("d",)]


def test_a_row_that_breaks_a_rule_of_the_table_fails_alone(database: PostgresDatabase) -> None:
    broken, text = Write(Insert(TABLE, [(None, "x", "x")])), Write(Insert(TABLE, [("\0", "y", "y")]))
    outcomes = all_outcomes(database, insert("a"), broken, text, insert("b"))
    assert [type(each).__name__ for each in outcomes] == [
        "list",
        "NotNullViolation",
        "CharacterNotInRepertoire",
        "list",
    ]
    assert database.read("SELECT name FROM users ORDER BY id") == [("a",), ("b",)]


def test_ids_are_never_given_again(database: PostgresDatabase) -> None:
    database.write(insert("a"))
    database.write(Write(Delete(TABLE, 1)))
    assert database.write(insert("a"))[0][0] > 1


def test_an_id_that_exists_is_not_taken_for_a_refused_row(database: PostgresDatabase) -> None:
    database.write(insert("a"))
    assert database._connection is not None
    database._connection.execute("UPDATE turn SET ids = 0")
    (failed,) = all_outcomes(database, insert("b"))
    assert type(failed).__name__ == "UniqueViolation"
    assert isinstance(failed, Exception)


def test_a_probe_writes_to_the_log_of_the_server(database: PostgresDatabase) -> None:
    def position() -> Any:
        return database.read("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0]

    before = position()
    database.write(Write(Probe()))
    assert position() > before


def test_reads_run_beside_each_other(database: PostgresDatabase) -> None:
    began = time.monotonic()
    gevent.joinall([gevent.spawn(database.read, "SELECT pg_sleep(0.3)") for _ in range(8)], raise_error=True)
    assert 0.5 < time.monotonic() - began < 2.2  # four at a time; one after the other they need 2.4 s


def test_reads_as_of_the_last_commit(database: PostgresDatabase) -> None:
    for n in range(50):
        (row,) = database.write(insert(f"u{n}"))
        assert database.read("SELECT id FROM users WHERE id = ?", (row[0],)) == [(row[0],)]


def test_reads_cannot_write(database: PostgresDatabase) -> None:
    with pytest.raises(Exception, match="cannot be read"):
        database.read("DELETE FROM users WHERE id = ?", (1,))
