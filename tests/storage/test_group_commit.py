"""Group commit on real files, and on disks that break."""

import time
from pathlib import Path

import apsw
import gevent
import gevent.event
import pytest

from service_common import factory
from service_common.storage import group_commit
from service_common.storage.database import PURGED_AT_ONCE, Answer, Insert, Kept, Key, Probe, UniqueViolation, Write

from .bench import TABLE, Bench, until


def test_writes_that_wait_become_one_transaction(bench: Bench) -> None:
    bench.database.write(Write(Probe()))  # the first write into an empty log syncs its header, too
    syncs = bench.disk.syncs
    done = gevent.joinall(bench.spawn(*range(200)))
    assert sorted(greenlet.value for greenlet in done) == list(range(1, 201))
    assert bench.groups() == (2, 201)
    assert bench.disk.syncs == syncs + 1


def test_a_refused_row_does_not_affect_the_other_writes_of_its_group(bench: Bench) -> None:
    values = [greenlet.value for greenlet in gevent.joinall(bench.spawn(1, 2, 1, 3))]
    assert values == [1, 2, UniqueViolation("x"), 3]
    assert bench.rows() == [1, 2, 3]


def test_a_write_that_fails_rolls_back_alone(bench: Bench) -> None:
    first, broken, last = bench.outcomes_of(bench.insert(1), bench.insert(-99), bench.insert(2))  # it has a CHECK
    assert (first, last) == (1, 2)
    assert isinstance(broken, apsw.ConstraintError)
    assert bench.rows() == [1, 2]


def test_a_write_that_fails_after_it_has_changed_rows_leaves_nothing(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError):
        bench.database.write(bench.insert_and_raise(9, ZeroDivisionError))
    assert bench.outcome(1) == 1
    assert bench.rows() == [1]


def test_no_write_is_answered_before_the_sync_has_returned(bench: Bench) -> None:
    waiting, go_on = bench.hold_sync()
    early = bench.spawn(1, 2, 3)
    until(waiting)
    late = bench.spawn(4)
    assert not any(greenlet.ready() for greenlet in early + late)
    assert bench.database.read("SELECT count(*) FROM t") == [(0,)]  # reads do not wait
    go_on.set()
    gevent.joinall(early + late)
    assert bench.groups() == (2, 4)
    assert bench.rows() == [1, 2, 3, 4]


def test_a_full_queue_refuses_at_once_and_writes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, queue=2)
    waiting, go_on = bench.hold_sync()
    first = bench.spawn(1)
    until(waiting)
    queued = bench.spawn(2, 3)
    assert bench.outcome(4) == "Overloaded"
    go_on.set()
    gevent.joinall(first + queued)
    bench.database.close(5)
    assert bench.rows() == [1, 2, 3]


def test_after_the_deadline_a_queued_write_is_refused_and_a_taken_one_is_unknown(tmp_path: Path) -> None:
    bench = Bench(tmp_path, timeout=0.05)
    waiting, go_on = bench.hold_sync()
    taken = bench.spawn(1)
    until(waiting)
    queued = bench.spawn(2)
    gevent.joinall(taken + queued)
    assert [greenlet.value for greenlet in taken + queued] == ["OutcomeUnknown", "Overloaded"]
    go_on.set()
    bench.database.close(5)
    assert bench.rows() == [1]


def test_a_transaction_has_at_most_the_configured_number_of_rows(tmp_path: Path) -> None:
    bench = Bench(tmp_path, rows=10)
    gevent.joinall(bench.spawn(*range(25)))
    assert bench.groups() == (3, 25)
    bench.database.close(5)


def test_closing_writes_what_is_queued_and_refuses_the_rest(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    waiting, go_on = bench.hold_sync()
    queued = bench.spawn(1)
    until(waiting)
    queued += bench.spawn(*range(2, 50))
    bench.database.stop_accepting()
    assert bench.outcome(99) == "Overloaded"
    assert not bench.database.writable()
    go_on.set()
    bench.database.close(5)
    assert all(isinstance(greenlet.value, int) for greenlet in gevent.joinall(queued))
    assert bench.rows() == list(range(1, 50))
    assert not bench.log.exists()


def test_a_full_disk_refuses_writes_until_there_is_room(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.full = True
    values = [greenlet.value for greenlet in gevent.joinall(bench.spawn(2, 3))]
    assert values == ["Unavailable", "Unavailable"]
    bench.age()
    assert not bench.database.writable()
    assert bench.database.alive()
    assert bench.database.read("SELECT x FROM t") == [(1,)]
    bench.disk.full = False
    assert bench.database.writable()
    assert bench.outcome(4) == 2
    assert bench.rows() == [1, 4]


def test_a_failed_sync_is_not_retried_and_leaves_nothing(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = True
    syncs, connection = bench.disk.syncs, bench.writing
    bench.disk.on_sync = lambda: setattr(bench.disk, "fsync_fails", bench.disk.syncs == syncs + 1)
    assert bench.outcome(2) == "Unavailable"
    assert bench.writing is not connection  # it was reopened
    assert bench.rows() == [1]
    assert bench.outcome(3) in (2, 3)
    assert bench.rows() == [1, 3]
    assert bench.database.read("PRAGMA integrity_check") == [("ok",)]


def test_a_failed_sync_is_unknown_where_the_log_cannot_be_emptied(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = bench.disk.truncate_fails = True
    assert bench.outcome(2) == "OutcomeUnknown"
    assert bench.outcome(3) in ("Unavailable", "OutcomeUnknown")
    bench.disk.fsync_fails = bench.disk.truncate_fails = False
    assert isinstance(bench.outcome(4), int)
    assert {1, 4} <= set(bench.rows())
    assert bench.database.read("PRAGMA integrity_check") == [("ok",)]


def test_a_database_that_cannot_be_reopened_refuses_writes_until_it_can(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = bench.disk.open_fails = True
    bench.outcome(2)
    bench.disk.fsync_fails = False
    assert bench.outcome(3) == "Unavailable"
    assert bench.database.alive()
    bench.disk.open_fails = False
    assert isinstance(bench.outcome(4), int)
    assert {1, 4} <= set(bench.rows())
    assert 3 not in bench.rows()


def test_readiness_asks_the_disk_where_the_last_commit_is_old(bench: Bench) -> None:
    bench.database.write(Write(Probe()))  # the first write into an empty log syncs its header, too
    bench.age()
    syncs = bench.disk.syncs
    assert bench.database.writable()
    assert bench.disk.syncs == syncs + 1
    assert bench.database.writable()
    assert bench.disk.syncs == syncs + 1


def test_the_statements_of_a_group_are_one_begin_its_writes_and_one_commit(bench: Bench) -> None:
    sent = bench.statements()
    gevent.joinall(bench.spawn(1, 2, 1))
    assert sent == ["BEGIN", "WITH", "WITH", "WITH", "COMMIT"]
    assert bench.rows() == [1, 2]


def test_a_group_runs_again_with_savepoints_where_a_write_leaves_something_behind(bench: Bench) -> None:
    def violate(db: apsw.Connection) -> None:
        db.execute("INSERT INTO t (x) VALUES (1)")

    sent = bench.statements()
    first, second, third = bench.outcomes_of(bench.insert(1), bench.insert_and(2, violate), bench.insert(2))
    assert (first, third) == (1, 2)
    assert isinstance(second, apsw.ConstraintError)
    assert bench.rows() == [1, 2]
    assert sent == [
        *("BEGIN", "WITH", "WITH", "INSERT", "ROLLBACK", "BEGIN"),
        *("SAVEPOINT", "WITH", "RELEASE"),
        *("SAVEPOINT", "WITH", "INSERT", "ROLLBACK", "RELEASE"),
        *("SAVEPOINT", "WITH", "RELEASE"),
        "COMMIT",
    ]


def test_a_write_of_many_rows_has_a_transaction_to_itself(tmp_path: Path) -> None:
    bench = Bench(tmp_path, rows=10)
    sizes = [1, 1, 25, 9, 1, 1]
    jobs = [bench.database.submit(Write(Insert(TABLE, [(x,)]), rows=size)) for x, size in enumerate(sizes)]
    assert [bench.database.wait(job)[0][0] for job in jobs] == [1, 2, 3, 4, 5, 6]
    assert bench.groups() == (4, 6)  # 1 + 1, 25, 9 + 1, 1
    bench.database.close(5)


@pytest.mark.parametrize("failure", [ValueError, RecursionError, MemoryError, apsw.BusyError, UnicodeError])
def test_a_write_may_raise_anything_and_fails_alone(bench: Bench, failure: type[Exception]) -> None:
    writes = (bench.insert(1), bench.insert_and_raise(2, failure), bench.insert(3))
    jobs = [bench.database.submit(write) for write in writes]
    assert bench.database.wait(jobs[0]) == [(1, 1)]
    with pytest.raises(failure):
        bench.database.wait(jobs[1])
    ((_, x),) = bench.database.wait(jobs[2])
    assert x == 3
    assert bench.rows() == [1, 3]
    assert bench.database.alive()
    assert bench.groups() == (1, 3)


def test_writes_that_were_given_up_are_not_made_when_the_disk_works_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, timeout=0.05)
    waiting, go_on = bench.hold_sync()
    taken = bench.spawn(0)
    until(waiting)
    given_up = gevent.joinall(bench.spawn(*range(1, 50)))
    assert {greenlet.value for greenlet in given_up} == {"Overloaded"}
    go_on.set()
    gevent.joinall(taken)
    bench.disk.on_sync = lambda: None
    assert bench.outcome(50) == 2
    assert bench.rows() == [0, 50]
    bench.database.close(5)


def test_a_disk_that_never_answers_does_not_delay_a_stop(tmp_path: Path) -> None:
    bench = Bench(tmp_path, timeout=0.05)
    waiting, go_on = bench.hold_sync()
    stuck = bench.spawn(1)
    until(waiting)
    queued = bench.spawn(2)
    stopped = gevent.spawn(bench.database.close, 0.1)
    try:
        assert [greenlet.value for greenlet in gevent.joinall(stuck + queued)] == ["OutcomeUnknown", "Overloaded"]
        stopped.join(timeout=3)
        assert stopped.ready()
    finally:
        go_on.set()
        gevent.joinall([stopped])
    assert bench.rows() in ([], [1])


def test_a_purge_under_load_costs_no_write_and_no_current_key(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    old, writes = 10 * PURGED_AT_ONCE, 400
    insert = "INSERT INTO idempotency_keys (key, fingerprint, status, body, headers, created_at) VALUES (?, x'', 201, x'', '{}', 0)"
    with bench.writing:
        bench.writing.executemany(insert, ((f"old{number}",) for number in range(old)))
    monkeypatch.setattr(factory, "PURGE_EVERY_S", 0.001)
    purging = gevent.spawn(factory.purge_keys, bench.database)

    def write_twice(x: int) -> tuple[Answer, Kept]:
        write = Write(Insert(TABLE, [(x,)]), lambda rows: Answer(201, b"%d" % rows[0][0], {}), Key(f"key{x}", b"f"))
        return bench.database.write(write), bench.database.write(write)

    answers = gevent.joinall([gevent.spawn(write_twice, x) for x in range(writes)])
    with gevent.Timeout(60):
        while bench.database.read("SELECT count(*) FROM idempotency_keys WHERE created_at = 0") != [(0,)]:
            gevent.sleep(0.001)
    purging.kill()
    for first, again in (greenlet.value for greenlet in answers):
        assert again == Kept(b"f", first)
    assert sorted(bench.rows()) == list(range(writes))
    assert bench.database.read("SELECT count(*) FROM idempotency_keys") == [(writes,)]


def test_a_stop_does_not_wait_where_only_refused_writes_are_queued(tmp_path: Path) -> None:
    bench = Bench(tmp_path, timeout=0.05)
    waiting, go_on = bench.hold_sync()
    taken = bench.spawn(1)
    until(waiting)
    gevent.joinall(taken + bench.spawn(2))
    bench.database.stop_accepting()
    go_on.set()
    began = time.monotonic()
    bench.database.close(5)
    assert time.monotonic() - began < group_commit.IDLE_EVERY_S / 2


def test_the_writer_outlives_a_failure_while_it_is_idle(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = gevent.event.Event()

    def fail() -> None:
        failed.set()
        raise OSError("the log cannot be seen")

    monkeypatch.setattr(group_commit, "IDLE_EVERY_S", 0.01)
    monkeypatch.setattr(bench.database, "_idle", fail)
    assert bench.outcome(1) == 1  # from here on the shorter pause counts
    assert failed.wait(5)
    assert bench.database.alive()
    assert bench.outcome(2) == 2
