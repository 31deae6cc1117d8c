"""Storage that fails at every step of a write: callers are told what a crash would leave."""

import random
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import gevent
import pytest

from service_common.storage import group_commit
from service_common.storage.database import Delete, Insert, Missing, UniqueViolation, Write
from service_common.storage.errors import StorageError, Unavailable
from service_common.storage.sqlite import file

from .bench import TABLE, Bench, until


@contextmanager
def closing_greenlet(greenlet: gevent.Greenlet) -> Iterator[None]:
    try:
        yield
    finally:
        greenlet.kill()


def test_an_answered_write_survives_a_crash_and_a_power_cut(bench: Bench) -> None:
    for x in range(5):
        bench.outcome(x)
        assert bench.crashed() == list(range(x + 1))
        assert bench.cut_off() == list(range(x + 1))


def test_a_write_answered_after_a_reopening_survives_a_power_cut(bench: Bench) -> None:
    bench.disk.fsync_fails = True
    bench.outcome(1)
    bench.disk.repair()
    assert isinstance(bench.outcome(2), int)
    assert bench.cut_off()[-1] == 2


def test_a_commit_that_waits_for_the_disk_is_not_answered_and_not_visible(bench: Bench) -> None:
    waiting, go_on = bench.hold_sync()
    early = bench.spawn(1, 2, 3)
    until(waiting)
    assert not any(greenlet.ready() for greenlet in early)
    assert bench.rows() == []  # a connection of another process
    assert 1 not in bench.cut_off()
    go_on.set()
    gevent.joinall(early)
    assert bench.rows() == bench.cut_off() == [1, 2, 3]


@pytest.mark.parametrize("fault", ["full", "writes_fail"])
def test_a_disk_error_in_a_write_aborts_its_whole_transaction(bench: Bench, fault: str) -> None:
    assert bench.outcome(1) == 1
    setattr(bench.disk, fault, True)
    assert bench.outcomes_of(bench.insert(2), bench.insert_large(3), bench.insert(4)) == ["Unavailable"] * 3
    assert bench.rows() == bench.crashed() == bench.cut_off() == [1]
    bench.disk.repair()
    assert bench.database.writable()
    assert isinstance(bench.outcome(5), int)
    assert bench.rows() == bench.crashed() == bench.cut_off() == [1, 5]


def test_a_commit_that_cannot_be_written_is_unknown_and_not_there(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.writes_fail = True
    told = [greenlet.value for greenlet in gevent.joinall(bench.spawn(2, 3))]
    bench.disk.repair()
    assert isinstance(bench.outcome(4), int)
    assert told == ["OutcomeUnknown"] * 2
    assert bench.rows() == bench.crashed() == bench.cut_off() == [1, 4]


def test_a_failed_commit_is_not_retried_on_its_connection(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    connection, sent = bench.writing, bench.statements()
    bench.disk.fsync_fails = True
    bench.outcome(2)
    assert sent.count("COMMIT") == 1
    bench.disk.repair()
    bench.outcome(3)
    assert sent.count("COMMIT") == 1
    assert bench.writing is not connection


def test_a_write_refused_after_a_failed_sync_is_not_there_after_a_crash(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    syncs = bench.disk.syncs
    bench.disk.on_sync = lambda: setattr(bench.disk, "fsync_fails", bench.disk.syncs == syncs + 1)
    assert bench.outcome(2) == "Unavailable"
    assert bench.rows() == bench.crashed() == bench.cut_off() == [1]


def test_a_failed_sync_is_answered_truly_although_the_power_goes_before_the_reopening(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    syncs = bench.disk.syncs

    def fail_once_and_stay_shut() -> None:
        bench.disk.fsync_fails = bench.disk.syncs == syncs + 1
        bench.disk.open_fails = True

    bench.disk.on_sync = fail_once_and_stay_shut
    told = bench.outcome(2)
    left = bench.cut_off()
    bench.disk.on_sync = lambda: None
    bench.disk.repair()
    assert (told, left) in [("Unavailable", [1]), ("OutcomeUnknown", [1]), ("OutcomeUnknown", [1, 2])]


def test_a_failed_checkpoint_loses_nothing_and_succeeds_later(bench: Bench) -> None:
    gevent.joinall(bench.spawn(1, 2, 3))
    bench.disk.checkpoint_fails = True
    assert not bench.database.file.empty_log()
    assert bench.outcome(4) == 4
    assert bench.rows() == bench.crashed() == bench.cut_off() == [1, 2, 3, 4]
    bench.disk.repair()
    assert bench.database.file.empty_log()
    assert bench.rows() == bench.crashed() == bench.cut_off() == [1, 2, 3, 4]


def test_while_another_program_holds_the_lock_writes_are_refused_and_reads_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "LOCK_PATIENCE_S", 0.3)
    assert bench.outcome(1) == 1
    turns: list[float] = []

    def loop() -> None:
        while True:
            turns.append(time.monotonic())
            gevent.sleep(0.01)

    with closing(apsw.Connection(str(bench.path))) as other, closing_greenlet(gevent.spawn(loop)):
        other.execute("BEGIN IMMEDIATE")
        assert [greenlet.value for greenlet in gevent.joinall(bench.spawn(2, 3))] == ["Unavailable"] * 2
        assert not bench.database.writable()
        assert bench.database.alive()
        assert bench.database.read("SELECT x FROM t") == [(1,)]
        other.execute("ROLLBACK")
        assert bench.outcome(4) == 2
    assert len(turns) > 20
    assert max(later - earlier for earlier, later in pairwise(turns)) < 2  # nothing waited on the loop
    assert bench.rows() == [1, 4]


def test_a_lock_that_is_soon_released_costs_no_write(bench: Bench) -> None:
    with closing(apsw.Connection(str(bench.path))) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = bench.spawn(1, 2)
        gevent.sleep(0.05)
        assert not any(greenlet.ready() for greenlet in waiting)
        other.execute("ROLLBACK")
        assert [greenlet.value for greenlet in gevent.joinall(waiting)] == [1, 2]
    assert bench.groups() == (1, 2)


@pytest.mark.parametrize("name", ["t.db", "t.db-wal"])
def test_refuses_writes_to_a_deleted_file(bench: Bench, name: str) -> None:
    assert bench.outcome(1) == 1
    assert bench.database.read("SELECT x FROM t") == [(1,)]
    bench.path.with_name(name).unlink()
    assert bench.outcome(2) == "Unavailable"
    bench.age()
    assert not bench.database.writable()
    assert bench.database.alive()
    assert bench.database.read("SELECT x FROM t") == [(1,)]


def test_refuses_writes_to_a_replaced_database(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    copy = bench.path.with_name("copy.db")
    copy.write_bytes(bench.path.read_bytes())
    copy.replace(bench.path)
    assert bench.outcome(2) == "Unavailable"
    assert bench.database.read("SELECT x FROM t") == [(1,)]


def test_a_reopening_does_not_create_a_deleted_database_again(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.on_sync = lambda: bench.path.unlink(missing_ok=True)
    bench.disk.fsync_fails = True
    assert bench.outcome(2) in ("Unavailable", "OutcomeUnknown")
    bench.disk.on_sync = lambda: None
    bench.disk.repair()
    assert bench.outcome(3) == "Unavailable"
    assert not bench.path.exists()


def test_a_large_change_needs_no_temporary_file(bench: Bench) -> None:
    """The directory for temporary files may be missing or full."""

    def change_all(db: apsw.Connection) -> None:
        db.execute("UPDATE t SET y = randomblob(300)")
        db.execute("UPDATE t SET x = x + 1000000 WHERE x < 2000")  # may abort halfway: it needs a statement journal

    fill = Write(Insert(TABLE, [(x,) for x in range(2000)]), rows=2000)
    assert bench.outcome_of(fill) == 1
    bench.disk.open_fails = True
    assert bench.outcome_of(bench.insert_and(2000, change_all)) == 2001
    in_savepoints = bench.outcomes_of(
        bench.insert_and_raise(2001, ValueError), bench.insert_and(2002, change_all), bench.insert(2003)
    )
    assert isinstance(in_savepoints[0], ValueError)
    assert in_savepoints[1:] == [2002, 2003]


def test_reads_work_again_without_a_write_once_the_database_can_be_reopened(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "IDLE_EVERY_S", 0.02)
    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = bench.disk.open_fails = True
    bench.outcome(2)
    with pytest.raises(Unavailable):
        bench.database.read("SELECT x FROM t")
    bench.disk.repair()

    def readable() -> bool:
        with suppress(StorageError):
            return bool(bench.database.read("SELECT x FROM t WHERE x = 1"))
        return False

    with gevent.Timeout(5):
        while not readable():  # without a write, and without being asked whether it is ready
            gevent.sleep(0.01)
    assert bench.outcome(3) in (2, 3)


def test_reads_are_refused_while_the_database_cannot_be_reopened(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = bench.disk.open_fails = True
    bench.outcome(2)
    bench.disk.fsync_fails = False
    for x in range(3, 8):
        assert bench.outcome(x) == "Unavailable"
    bench.age()
    assert not bench.database.writable()
    with pytest.raises(Unavailable):
        bench.database.read("SELECT x FROM t")
    bench.disk.repair()
    assert bench.database.writable()
    assert bench.database.read("SELECT x FROM t WHERE x IN (1, 3, 4, 5, 6, 7)") == [(1,)]
    assert bench.writing.pragma("synchronous") == 2
    assert bench.writing.pragma("journal_mode") == "wal"


@pytest.mark.parametrize("seed", range(16))
def test_answers_are_true_whatever_fails_in_whatever_order(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    bench = Bench(tmp_path, rows=4)
    faults = ["full", "writes_fail", "fsync_fails", "truncate_fails", "open_fails"]
    written: set[int] = set()  # as they were told
    refused: set[int] = set()
    x = 0
    for _ in range(30):
        bench.disk.repair()
        for fault in chance.sample(faults, chance.choice([0, 0, 1, 1, 2, 3])):
            setattr(bench.disk, fault, True)
        if chance.random() < 0.5:  # the fault passes while the write is being dealt with
            heal_at = bench.disk.syncs + chance.randint(1, 3)
            bench.disk.on_sync = lambda at=heal_at: bench.disk.repair() if bench.disk.syncs >= at else None
        else:
            bench.disk.on_sync = lambda: None
        some = list(range(x, x + chance.randint(1, 6)))
        x = some[-1] + 1
        runs = [bench.insert(n) if chance.random() < 0.9 else bench.insert_large(n) for n in some]
        for n, told in zip(some, bench.outcomes_of(*runs), strict=True):
            assert isinstance(told, int) or told in ("Unavailable", "OutcomeUnknown"), told
            if isinstance(told, int):
                written.add(n)
            elif told == "Unavailable":
                refused.add(n)
        for left in (bench.crashed(), bench.cut_off()):
            assert written <= set(left), "an acknowledged write is missing"
            assert not refused & set(left), "a refused write is there"
            assert len(left) == len(set(left))
    bench.disk.repair()
    bench.disk.on_sync = lambda: None
    assert isinstance(bench.outcome(x), int)
    bench.database.close(5)
    assert written | {x} <= set(bench.rows())
    assert not refused & set(bench.rows())
    assert written and refused, "the seed broke nothing, or everything"


@pytest.mark.parametrize("kind", [SystemExit, gevent.GreenletExit, gevent.Timeout])
def test_a_write_that_would_end_the_writer_fails_alone(bench: Bench, kind: type[BaseException]) -> None:
    first, broken, last = bench.outcomes_of(bench.insert(1), bench.insert_and_raise(9, kind), bench.insert(2))
    assert isinstance(first, int) and isinstance(last, int)
    assert isinstance(broken, RuntimeError) and broken.__cause__.__class__ is kind
    assert bench.database.alive()
    assert isinstance(bench.outcome(3), int)
    assert bench.rows() == bench.crashed() == bench.cut_off() == [1, 2, 3]


def test_a_write_that_ends_the_transaction_is_refused_with_its_group(bench: Bench) -> None:
    def end(db: apsw.Connection) -> None:
        db.execute("ROLLBACK")
        raise gevent.GreenletExit

    assert bench.outcomes_of(bench.insert(1), bench.insert_and(9, end), bench.insert(2)) == ["Unavailable"] * 3
    assert isinstance(bench.outcome(3), int)
    assert bench.rows() == bench.crashed() == bench.cut_off() == [3]


def test_acknowledges_nothing_that_depends_on_pages_lost_by_a_failed_sync(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = bench.disk.forgets = bench.disk.open_fails = True
    assert bench.outcome(2) == "OutcomeUnknown"
    bench.disk.repair()
    for x in (3, 4):
        assert isinstance(bench.outcome(x), int)
        assert bench.cut_off()[-1] == bench.rows()[-1] == x


def test_refuses_writes_after_a_failed_sync_until_the_log_is_checkpointed(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = bench.disk.forgets = bench.disk.open_fails = True
    assert bench.outcome(2) == "OutcomeUnknown"
    bench.disk.repair()
    bench.disk.checkpoint_fails = True
    assert [bench.outcome(x) for x in (3, 4)] == ["Unavailable"] * 2
    bench.disk.repair()
    assert isinstance(bench.outcome(5), int)
    assert not {3, 4} & set(bench.rows())
    assert bench.cut_off() == bench.rows()


def test_the_writer_survives_any_error_of_a_reopening(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any) -> None:
        raise OSError("the schema cannot be read")

    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = True
    with monkeypatch.context() as patched:
        patched.setattr(file, "migrate", fail)
        told = bench.outcome(2)
        assert told in ("OutcomeUnknown", "Unavailable")
        assert bench.outcome(3) == "Unavailable"
    bench.disk.repair()
    assert isinstance(bench.outcome(4), int)
    assert bench.database.alive()


def test_a_group_that_wrote_nothing_does_not_make_a_dead_disk_ready(bench: Bench) -> None:
    def fail(_results: Any) -> Any:
        raise ValueError("nothing was written")

    assert bench.outcome(1) == 1
    assert bench.database.writable()
    bench.age()
    bench.disk.full = True
    assert isinstance(bench.outcome_of(Write(Insert(TABLE, []), fail)), ValueError)
    assert isinstance(bench.outcome_of(Write(Delete(TABLE, 99))), Missing)
    assert bench.outcome(1) == UniqueViolation("x")
    assert not bench.database.writable()
    bench.disk.repair()
    assert bench.database.writable()
