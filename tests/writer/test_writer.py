"""The writer of group commit, on real files, and on disks that break."""

from pathlib import Path

import apsw
import gevent
import pytest

from service_common import app
from service_common.idempotency import PURGED_AT_ONCE, Answer, Key, once
from service_common.writer import touch

from .bench import Bench, until


def test_writes_that_wait_become_one_transaction(bench: Bench) -> None:
    bench.writer.write(touch)  # the first write into an empty log has that synced too
    syncs = bench.disk.syncs
    done = gevent.joinall(bench.spawn(*range(200)))
    assert sorted(greenlet.value for greenlet in done) == list(range(1, 201))
    assert bench.groups() == (2, 201)
    assert bench.disk.syncs == syncs + 1


def test_a_write_that_fails_rolls_back_alone(bench: Bench) -> None:
    values = [greenlet.value for greenlet in gevent.joinall(bench.spawn(1, 2, 1, 3))]
    assert [type(value) for value in values] == [int, int, apsw.ConstraintError, int]
    assert bench.rows() == [1, 2, 3]


def test_a_job_that_breaks_after_it_wrote_leaves_nothing(bench: Bench) -> None:
    def breaks(db: apsw.Connection) -> None:
        bench.insert(9)(db)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bench.writer.write(breaks)
    assert bench.outcome(1) == 1
    assert bench.rows() == [1]


def test_nobody_is_answered_before_the_sync_has_returned(bench: Bench) -> None:
    waiting, go_on = bench.hold_sync()
    early = bench.spawn(1, 2, 3)
    until(waiting)
    late = bench.spawn(4)
    assert not any(greenlet.ready() for greenlet in early + late)
    assert bench.store.read("SELECT count(*) FROM t") == [(0,)]  # and reads go on meanwhile
    go_on.set()
    gevent.joinall(early + late)
    assert bench.groups() == (2, 4)
    assert bench.rows() == [1, 2, 3, 4]


def test_a_full_queue_refuses_at_once_and_writes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, queue_limit=2)
    waiting, go_on = bench.hold_sync()
    first = bench.spawn(1)
    until(waiting)
    queued = bench.spawn(2, 3)
    assert bench.outcome(4) == "overloaded"
    go_on.set()
    gevent.joinall(first + queued)
    bench.writer.close(5)
    assert bench.rows() == [1, 2, 3]


def test_after_the_deadline_a_queued_write_is_refused_and_a_taken_one_is_unknown(tmp_path: Path) -> None:
    bench = Bench(tmp_path, timeout=0.05)
    waiting, go_on = bench.hold_sync()
    taken = bench.spawn(1)
    until(waiting)
    queued = bench.spawn(2)
    gevent.joinall(taken + queued)
    assert [greenlet.value for greenlet in taken + queued] == ["outcome-unknown", "overloaded"]
    go_on.set()
    bench.writer.close(5)
    assert bench.rows() == [1]


def test_a_transaction_is_bounded_by_its_rows(tmp_path: Path) -> None:
    bench = Bench(tmp_path, batch_rows=10)
    gevent.joinall(bench.spawn(*range(25)))
    assert bench.groups() == (3, 25)
    bench.writer.close(5)


def test_closing_writes_what_is_queued_and_refuses_the_rest(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    waiting, go_on = bench.hold_sync()
    queued = bench.spawn(1)
    until(waiting)
    queued += bench.spawn(*range(2, 50))
    bench.writer.stop_accepting()
    assert bench.outcome(99) == "overloaded"
    assert not bench.writer.ready()
    go_on.set()
    bench.writer.close(5)
    assert all(isinstance(greenlet.value, int) for greenlet in gevent.joinall(queued))
    assert bench.rows() == list(range(1, 50))
    assert not (tmp_path / "t.db-wal").exists()


def test_a_full_disk_refuses_writes_and_recovers_by_itself(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.full = True
    values = [greenlet.value for greenlet in gevent.joinall(bench.spawn(2, 3))]
    assert values == ["storage-unavailable", "storage-unavailable"]
    bench.age()
    assert not bench.writer.ready()
    assert bench.writer.alive()
    assert bench.store.read("SELECT x FROM t") == [(1,)]
    bench.disk.full = False
    assert bench.writer.ready()
    assert bench.outcome(4) == 2
    assert bench.rows() == [1, 4]


def test_a_failed_sync_is_not_tried_again_and_leaves_nothing(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = True
    syncs, connection = bench.disk.syncs, bench.store.writing
    bench.disk.on_sync = lambda: setattr(bench.disk, "fsync_fails", bench.disk.syncs == syncs + 1)
    assert bench.outcome(2) == "storage-unavailable"
    assert bench.store.writing is not connection  # opened anew
    assert bench.rows() == [1]
    assert bench.outcome(3) in (2, 3)
    assert bench.rows() == [1, 3]
    assert bench.store.read("PRAGMA integrity_check") == [("ok",)]


def test_a_failed_sync_is_unknown_where_the_log_cannot_be_emptied(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = bench.disk.truncate_fails = True
    assert bench.outcome(2) == "outcome-unknown"
    assert bench.outcome(3) in ("storage-unavailable", "outcome-unknown")
    bench.disk.fsync_fails = bench.disk.truncate_fails = False
    assert isinstance(bench.outcome(4), int)
    assert {1, 4} <= set(bench.rows())
    assert bench.store.read("PRAGMA integrity_check") == [("ok",)]


def test_a_database_that_cannot_be_opened_again_refuses_until_it_can(bench: Bench) -> None:
    assert bench.outcome(1) == 1
    bench.disk.fsync_fails = bench.disk.open_fails = True
    bench.outcome(2)
    bench.disk.fsync_fails = False
    assert bench.outcome(3) == "storage-unavailable"
    assert bench.writer.alive()
    bench.disk.open_fails = False
    assert isinstance(bench.outcome(4), int)
    assert {1, 4} <= set(bench.rows())
    assert 3 not in bench.rows()


def test_ready_asks_the_disk_where_the_last_commit_is_old(bench: Bench) -> None:
    bench.writer.write(touch)  # the first write into an empty log has that synced too
    bench.age()
    syncs = bench.disk.syncs
    assert bench.writer.ready()
    assert bench.disk.syncs == syncs + 1
    assert bench.writer.ready()
    assert bench.disk.syncs == syncs + 1


def statements(bench: Bench) -> list[str]:
    """The first words of the statements that the writer makes from now on."""
    sent: list[str] = []
    bench.store.writing.exec_trace = lambda _cursor, sql, _bindings: sent.append(sql.split()[0]) or True  # type: ignore[func-returns-value]
    return sent


def test_the_statements_of_a_group_are_one_begin_its_writes_and_one_commit(bench: Bench) -> None:
    sent = statements(bench)
    gevent.joinall(bench.spawn(1, 2, 1))
    assert sent == ["BEGIN", "INSERT", "INSERT", "INSERT", "COMMIT"]
    assert bench.rows() == [1, 2]


def test_a_group_in_which_a_write_leaves_something_behind_is_made_anew_with_savepoints(bench: Bench) -> None:
    def fails_late(db: apsw.Connection) -> None:
        bench.insert(2)(db)
        bench.insert(1)(db)

    sent = statements(bench)
    runs = (bench.insert(1), fails_late, bench.insert(2))
    greenlets = [gevent.spawn(bench.outcome_of, run) for run in runs]
    first, second, third = [greenlet.value for greenlet in gevent.joinall(greenlets)]
    assert (first, third) == (1, 2)
    assert isinstance(second, apsw.ConstraintError)
    assert bench.rows() == [1, 2]
    assert sent == [
        *("BEGIN", "INSERT", "INSERT", "INSERT", "ROLLBACK", "BEGIN"),
        *("SAVEPOINT", "INSERT", "RELEASE"),
        *("SAVEPOINT", "INSERT", "INSERT", "ROLLBACK", "RELEASE"),
        *("SAVEPOINT", "INSERT", "RELEASE"),
        "COMMIT",
    ]


def test_a_write_of_many_rows_has_a_transaction_to_itself(tmp_path: Path) -> None:
    bench = Bench(tmp_path, batch_rows=10)
    weights = [1, 1, 25, 9, 1, 1]
    jobs = [bench.writer.submit(bench.insert(x), weight) for x, weight in enumerate(weights)]
    assert [bench.writer.wait(job) for job in jobs] == [1, 2, 3, 4, 5, 6]
    assert bench.groups() == (4, 6)  # 1 + 1, 25, 9 + 1, 1
    bench.writer.close(5)


@pytest.mark.parametrize("failure", [ValueError, RecursionError, MemoryError, apsw.BusyError, UnicodeError])
def test_a_job_may_raise_anything(bench: Bench, failure: type[Exception]) -> None:
    def breaks(db: apsw.Connection) -> None:
        bench.insert(2)(db)
        raise failure

    jobs = [bench.writer.submit(run) for run in (bench.insert(1), breaks, bench.insert(3))]
    assert bench.writer.wait(jobs[0]) == 1
    with pytest.raises(failure):
        bench.writer.wait(jobs[1])
    assert isinstance(bench.writer.wait(jobs[2]), int)
    assert bench.rows() == [1, 3]
    assert bench.writer.alive()
    assert bench.groups() == (1, 3)


def test_writes_that_were_given_up_are_not_made_when_the_disk_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, timeout=0.05)
    waiting, go_on = bench.hold_sync()
    taken = bench.spawn(0)
    until(waiting)
    given_up = gevent.joinall(bench.spawn(*range(1, 50)))
    assert {greenlet.value for greenlet in given_up} == {"overloaded"}
    go_on.set()
    gevent.joinall(taken)
    bench.disk.on_sync = lambda: None
    assert bench.outcome(50) == 2
    assert bench.rows() == [0, 50]
    bench.writer.close(5)


def test_a_disk_that_never_answers_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    bench = Bench(tmp_path, timeout=0.05)
    waiting, go_on = bench.hold_sync()
    stuck = bench.spawn(1)
    until(waiting)
    queued = bench.spawn(2)
    stopped = gevent.spawn(bench.writer.close, 0.1)
    try:
        assert [greenlet.value for greenlet in gevent.joinall(stuck + queued)] == ["outcome-unknown", "overloaded"]
        stopped.join(timeout=3)
        assert stopped.ready()
    finally:
        go_on.set()
        gevent.joinall([stopped])
    assert bench.rows() in ([], [1])


def test_old_keys_are_purged_under_load_and_cost_no_write_and_no_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, writes = 10 * PURGED_AT_ONCE, 400
    insert = "INSERT INTO idempotency_keys (key, fingerprint, status, body, headers, created_at) VALUES (?, x'', 201, x'', '{}', 0)"
    bench.writer.write(lambda db: db.executemany(insert, ((f"old{number}",) for number in range(old))))
    monkeypatch.setattr(app, "PURGE_EVERY_S", 0.001)
    house = gevent.spawn(app.keep_house, bench.writer)

    def write(x: int) -> list[Answer]:
        made = once(Key(f"key{x}", b"f"), lambda db: Answer(201, b"%d" % bench.insert(x)(db)))
        return [bench.writer.write(made) for _ in range(2)]

    answers = gevent.joinall([gevent.spawn(write, x) for x in range(writes)])
    while bench.store.read("SELECT count(*) FROM idempotency_keys WHERE created_at = 0") != [(0,)]:
        gevent.sleep(0.001)
    house.kill()
    assert all(first.body == again.body and "Idempotency-Replayed" in again.headers for first, again in
               (greenlet.value for greenlet in answers))  # fmt: skip
    assert sorted(bench.rows()) == list(range(writes))
    assert bench.store.read("SELECT count(*) FROM idempotency_keys") == [(writes,)]
