"""Storage that fails at every step of a write: what the callers are told is what a crash would leave."""

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

from service_common import store, writer
from service_common.problems import Problem

from .bench import Bench, until


@contextmanager
def closing_greenlet(greenlet: gevent.Greenlet) -> Iterator[None]:
    try:
        yield
    finally:
        greenlet.kill()


def spawn(bench: Bench, *runs: Any) -> list[Any]:
    """The outcomes of jobs that are queued together."""
    greenlets = [gevent.spawn(bench.outcome_of, run) for run in runs]
    return [greenlet.value for greenlet in gevent.joinall(greenlets)]


def test_what_was_answered_survives_a_crash_and_a_power_cut(bench: Bench) -> None:
    for x in range(5):
        bench.outcome(x)
        assert bench.crashed() == list(range(x + 1))
        assert bench.cut_off() == list(range(x + 1))


def test_what_was_answered_after_a_reopening_survives_too(bench: Bench) -> None:
    bench.disk.fsync_fails = True
    bench.outcome(1)
    bench.disk.well()
    assert isinstance(bench.outcome(2), int)
    assert bench.cut_off()[-1] == 2


def test_a_commit_that_waits_for_the_disk_is_nobodys_yet(bench: Bench) -> None:
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
def test_a_write_that_fails_in_a_job_takes_its_whole_transaction_along(bench: Bench, fault: str) -> None:
    assert bench.outcome(1) == 1
    setattr(bench.disk, fault, True)
    assert spawn(bench, bench.insert(2), bench.insert_large(3), bench.insert(4)) == ["storage-unavailable"] * 3
    assert bench.rows() == bench.crashed() == bench.cut_off() == [1]
    bench.disk.well()
    assert bench.writer.ready()
    assert isinstance(bench.outcome(5), int)
    assert bench.rows() == bench.crashed() == bench.cut_off() == [1, 5]


def test_a_commit_that_cannot_be_written_is_unknown_and_not_there(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.writes_fail = True
    told = [greenlet.value for greenlet in gevent.joinall(bench.spawn(2, 3))]
    bench.disk.well()
    assert isinstance(bench.outcome(4), int)
    assert told == ["outcome-unknown"] * 2
    assert bench.rows() == bench.crashed() == bench.cut_off() == [1, 4]


def test_a_failed_commit_is_given_up_with_its_connection(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    sent: list[str] = []
    connection = bench.store.writing
    connection.exec_trace = lambda _cursor, sql, _bindings: sent.append(sql) or True  # type: ignore[func-returns-value]
    bench.disk.fsync_fails = True
    bench.outcome(2)
    assert sent.count("COMMIT") == 1
    bench.disk.well()
    bench.outcome(3)
    assert sent.count("COMMIT") == 1
    assert bench.store.writing is not connection


def test_a_refusal_after_a_failed_sync_outlives_a_crash(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    syncs = bench.disk.syncs
    bench.disk.on_sync = lambda: setattr(bench.disk, "fsync_fails", bench.disk.syncs == syncs + 1)
    assert bench.outcome(2) == "storage-unavailable"
    assert bench.rows() == bench.crashed() == bench.cut_off() == [1]


def test_a_refusal_after_a_failed_sync_outlives_a_power_cut_before_the_database_is_opened_again(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    syncs = bench.disk.syncs

    def fail_once_and_stay_shut() -> None:
        bench.disk.fsync_fails = bench.disk.syncs == syncs + 1
        bench.disk.open_fails = True

    bench.disk.on_sync = fail_once_and_stay_shut
    told = bench.outcome(2)
    left = bench.cut_off()
    bench.disk.on_sync = lambda: None
    bench.disk.well()
    assert (told, left) in [("storage-unavailable", [1]), ("outcome-unknown", [1]), ("outcome-unknown", [1, 2])]


def test_a_checkpoint_that_fails_loses_nothing_and_is_made_later(bench: Bench) -> None:
    gevent.joinall(bench.spawn(1, 2, 3))
    bench.disk.checkpoint_fails = True
    assert not bench.store.discard_log()
    assert bench.outcome(4) == 4
    assert bench.rows() == bench.crashed() == bench.cut_off() == [1, 2, 3, 4]
    bench.disk.well()
    assert bench.store.discard_log()
    assert bench.rows() == bench.crashed() == bench.cut_off() == [1, 2, 3, 4]


def test_while_another_program_holds_the_lock_writes_are_refused_and_all_else_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LOCK_PATIENCE_S", 0.3)
    assert bench.outcome(1) == 1
    turns: list[float] = []

    def loop() -> None:
        while True:
            turns.append(time.monotonic())
            gevent.sleep(0.01)

    with closing(apsw.Connection(str(bench.path))) as other, closing_greenlet(gevent.spawn(loop)):
        other.execute("BEGIN IMMEDIATE")
        assert [greenlet.value for greenlet in gevent.joinall(bench.spawn(2, 3))] == ["storage-unavailable"] * 2
        assert not bench.writer.ready()
        assert bench.writer.alive()
        assert bench.store.read("SELECT x FROM t") == [(1,)]
        other.execute("ROLLBACK")
        assert bench.outcome(4) == 2
    assert len(turns) > 20
    assert max(later - earlier for earlier, later in pairwise(turns)) < 2  # nothing waited on the loop
    assert bench.rows() == [1, 4]


def test_a_lock_that_is_given_back_soon_costs_no_write(bench: Bench) -> None:
    with closing(apsw.Connection(str(bench.path))) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = bench.spawn(1, 2)
        gevent.sleep(0.05)
        assert not any(greenlet.ready() for greenlet in waiting)
        other.execute("ROLLBACK")
        assert [greenlet.value for greenlet in gevent.joinall(waiting)] == [1, 2]
    assert bench.groups() == (1, 2)


@pytest.mark.parametrize("name", ["t.db", "t.db-wal"])
def test_nothing_is_acknowledged_into_a_file_that_was_deleted(bench: Bench, name: str) -> None:
    assert bench.outcome(1) == 1
    assert bench.store.read("SELECT x FROM t") == [(1,)]
    bench.path.with_name(name).unlink()
    assert bench.outcome(2) == "storage-unavailable"
    bench.age()
    assert not bench.writer.ready()
    assert bench.writer.alive()
    assert bench.store.read("SELECT x FROM t") == [(1,)]


def test_a_database_that_was_replaced_is_not_written(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    copy = bench.path.with_name("copy.db")
    copy.write_bytes(bench.path.read_bytes())
    copy.replace(bench.path)
    assert bench.outcome(2) == "storage-unavailable"
    assert bench.store.read("SELECT x FROM t") == [(1,)]


def test_a_deleted_database_is_not_begun_anew_when_it_has_to_be_opened_again(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.on_sync = lambda: bench.path.unlink(missing_ok=True)
    bench.disk.fsync_fails = True
    assert bench.outcome(2) in ("storage-unavailable", "outcome-unknown")
    bench.disk.on_sync = lambda: None
    bench.disk.well()
    assert bench.outcome(3) == "storage-unavailable"
    assert not bench.path.exists()


def test_a_job_that_changes_much_needs_no_temporary_file(bench: Bench) -> None:
    """The directory for it may be missing or full."""

    def fill(db: apsw.Connection) -> None:
        db.executemany("INSERT INTO t (x, y) VALUES (?, zeroblob(300))", ((x,) for x in range(2000)))

    def change_all(db: apsw.Connection) -> None:
        db.execute("UPDATE t SET y = randomblob(300)")

    assert bench.outcome_of(fill) is None
    bench.disk.open_fails = True
    assert bench.outcome_of(change_all) is None
    assert bench.outcome(2000) == 2001


def test_reads_come_back_by_themselves_when_the_database_can_be_opened_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "REOPEN_EVERY_S", 0.02)
    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = bench.disk.open_fails = True
    bench.outcome(2)
    with pytest.raises(Problem, match="storage-unavailable"):
        bench.store.read("SELECT x FROM t")
    bench.disk.well()

    def readable() -> bool:
        with suppress(Problem):
            return bool(bench.store.read("SELECT x FROM t WHERE x = 1"))
        return False

    with gevent.Timeout(5):
        while not readable():  # without a write, and without being asked whether it is ready
            gevent.sleep(0.01)
    assert bench.outcome(3) in (2, 3)


def test_while_the_database_cannot_be_opened_reads_are_refused_and_come_back_with_it(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = bench.disk.open_fails = True
    bench.outcome(2)
    bench.disk.fsync_fails = False
    for x in range(3, 8):
        assert bench.outcome(x) == "storage-unavailable"
    bench.age()
    assert not bench.writer.ready()
    with pytest.raises(Exception, match="storage-unavailable"):
        bench.store.read("SELECT x FROM t")
    bench.disk.well()
    assert bench.writer.ready()
    assert bench.store.read("SELECT x FROM t WHERE x IN (1, 3, 4, 5, 6, 7)") == [(1,)]
    assert bench.store.writing.pragma("synchronous") == 2
    assert bench.store.writing.pragma("journal_mode") == "wal"


@pytest.mark.parametrize("seed", range(16))
def test_whatever_fails_and_in_what_order_answers_are_true(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    bench = Bench(tmp_path, batch_rows=4)
    faults = ["full", "writes_fail", "fsync_fails", "truncate_fails", "open_fails"]
    written: set[int] = set()  # as they were told
    refused: set[int] = set()
    x = 0
    for _ in range(30):
        bench.disk.well()
        for fault in chance.sample(faults, chance.choice([0, 0, 1, 1, 2, 3])):
            setattr(bench.disk, fault, True)
        if chance.random() < 0.5:  # the fault passes while the write is being dealt with
            heal_at = bench.disk.syncs + chance.randint(1, 3)
            bench.disk.on_sync = lambda at=heal_at: bench.disk.well() if bench.disk.syncs >= at else None
        else:
            bench.disk.on_sync = lambda: None
        some = list(range(x, x + chance.randint(1, 6)))
        x = some[-1] + 1
        runs = [bench.insert(n) if chance.random() < 0.9 else bench.insert_large(n) for n in some]
        for n, told in zip(some, spawn(bench, *runs), strict=True):
            assert isinstance(told, int) or told in ("storage-unavailable", "outcome-unknown"), told
            if isinstance(told, int):
                written.add(n)
            elif told == "storage-unavailable":
                refused.add(n)
        for left in (bench.crashed(), bench.cut_off()):
            assert written <= set(left), "an acknowledged write is missing"
            assert not refused & set(left), "a refused write is there"
            assert len(left) == len(set(left))
    bench.disk.well()
    bench.disk.on_sync = lambda: None
    assert isinstance(bench.outcome(x), int)
    bench.writer.close(5)
    assert written | {x} <= set(bench.rows())
    assert not refused & set(bench.rows())
    assert written and refused, "the seed broke nothing, or everything"


@pytest.mark.parametrize("kind", [SystemExit, gevent.GreenletExit, gevent.Timeout])
def test_a_job_that_would_end_the_writer_fails_alone(bench: Bench, kind: type[BaseException]) -> None:
    def end(_: apsw.Connection) -> None:
        raise kind()

    first, broken, last = spawn(bench, bench.insert(1), end, bench.insert(2))
    assert isinstance(first, int) and isinstance(last, int)
    assert isinstance(broken, RuntimeError) and broken.__cause__.__class__ is kind
    assert bench.writer.alive()
    assert isinstance(bench.outcome(3), int)
    assert bench.rows() == bench.crashed() == bench.cut_off() == [1, 2, 3]


def test_a_job_that_ends_the_transaction_as_well_is_refused_with_its_group_and_the_writer_goes_on(bench: Bench) -> None:
    def end(db: apsw.Connection) -> None:
        db.execute("ROLLBACK")
        raise gevent.GreenletExit

    assert spawn(bench, bench.insert(1), end, bench.insert(2)) == ["storage-unavailable"] * 3
    assert isinstance(bench.outcome(3), int)
    assert bench.rows() == bench.crashed() == bench.cut_off() == [3]


def test_nothing_is_acknowledged_behind_what_a_failed_sync_has_left_out(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = bench.disk.forgets = bench.disk.open_fails = True
    assert bench.outcome(2) == "outcome-unknown"
    bench.disk.well()
    for x in (3, 4):
        assert isinstance(bench.outcome(x), int)
        assert bench.cut_off()[-1] == bench.rows()[-1] == x


def test_where_the_log_cannot_be_moved_into_the_database_after_a_failed_sync_writes_stay_refused(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = bench.disk.forgets = bench.disk.open_fails = True
    assert bench.outcome(2) == "outcome-unknown"
    bench.disk.well()
    bench.disk.checkpoint_fails = True
    assert [bench.outcome(x) for x in (3, 4)] == ["storage-unavailable"] * 2
    bench.disk.well()
    assert isinstance(bench.outcome(5), int)
    assert not {3, 4} & set(bench.rows())
    assert bench.cut_off() == bench.rows()


def test_whatever_goes_wrong_while_opening_again_the_writer_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any) -> None:
        raise OSError("the schema cannot be read")

    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = True
    with monkeypatch.context() as patched:
        patched.setattr(store, "migrate", fail)
        told = bench.outcome(2)
        assert told in ("outcome-unknown", "storage-unavailable")
        assert bench.outcome(3) == "storage-unavailable"
    bench.disk.well()
    assert isinstance(bench.outcome(4), int)
    assert bench.writer.alive()


def test_a_group_that_wrote_nothing_does_not_make_a_dead_disk_ready(bench: Bench) -> None:
    def refuse(_db: apsw.Connection) -> None:
        raise ValueError("nothing to write")

    assert bench.outcome(1) == 1
    assert bench.writer.ready()
    bench.age()
    bench.disk.full = True
    assert isinstance(bench.outcome_of(refuse), ValueError)
    assert not bench.writer.ready()
    bench.disk.well()
    assert bench.writer.ready()
