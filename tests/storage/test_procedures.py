"""Procedures, guards, and what is told when a write has ended."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import pytest

from service_common.storage.database import Answer, Execute, Insert, Kept, Key, Procedure, Write
from service_common.storage.errors import Overloaded, StorageError, Unavailable

from .bench import TABLE, Bench, until


@dataclass
class Move(Procedure):
    """Insert a row and change all of them, unless told to fail between the two."""

    x: int
    fails: bool = False

    def run(self, execute: Execute) -> Any:
        execute("INSERT INTO t (x) VALUES (?)", (self.x,))
        if self.fails:
            raise ValueError("in the middle")
        return execute("UPDATE t SET x = x + 100 RETURNING x")


@dataclass
class Guard(Procedure):
    """Let nothing through while there is a row of that number."""

    x: int

    def run(self, execute: Execute) -> None:
        if execute("SELECT 1 FROM t WHERE x = ?", (self.x,)):
            raise Unavailable("guarded")


def test_a_procedure_is_one_write(bench: Bench) -> None:
    assert bench.database.write(Write(Move(1))) == [(101,)]
    with pytest.raises(ValueError, match="in the middle"):
        bench.database.write(Write(Move(2, fails=True)))
    assert bench.rows() == [101]


def test_a_procedure_under_a_key_is_decided_once(bench: Bench) -> None:
    def write() -> Any:
        return bench.database.write(Write(Move(1), lambda rows: Answer(200, str(rows).encode(), {}), Key("k", b"f")))

    first, again = write(), write()
    assert isinstance(again, Kept)
    assert again.answer == first
    assert bench.rows() == [101]


def test_where_the_guard_raises_nothing_of_the_group_is_written(bench: Bench) -> None:
    bench.database.guard(Guard(2))
    assert [g.value for g in gevent.joinall(bench.spawn(1, 2))] == [1, 2]
    assert [g.value for g in gevent.joinall(bench.spawn(3, 4))] == ["Unavailable"] * 2
    assert bench.rows() == [1, 2]
    bench.database.guard(Guard(9))
    assert isinstance(bench.outcome(5), int)


def test_the_guard_is_run_again_where_a_group_is(bench: Bench) -> None:
    ran: list[int] = []

    class Counting(Procedure):
        def run(self, execute: Execute) -> None:
            ran.append(1)

    bench.database.guard(Counting())
    with pytest.raises(ValueError, match="in the middle"):
        bench.database.write(Write(Move(2, fails=True)))
    assert len(ran) == 2


def test_the_end_of_a_write_is_told_once_with_its_outcome_or_its_error(bench: Bench) -> None:
    told: list[tuple[Any, Any]] = []

    def write(operation: Any) -> None:
        bench.database.write(Write(operation, ended=lambda value, error: told.append((value, type(error)))))

    write(Insert(TABLE, [(1,)]))
    with pytest.raises(ValueError, match="in the middle"):
        write(Move(2, fails=True))
    bench.disk.full = True
    with pytest.raises(StorageError):
        write(Insert(TABLE, [(3,)]))
    bench.disk.repair()
    assert told == [([(1, 1)], type(None)), (None, ValueError), (None, Unavailable)]


def test_the_end_of_a_write_is_told_after_its_callers_deadline(tmp_path: Path) -> None:
    bench = Bench(tmp_path, timeout=0.05)
    told: dict[int, Any] = {}

    def write(x: int) -> None:
        with pytest.raises(StorageError):
            bench.database.write(
                Write(Insert(TABLE, [(x,)]), ended=lambda value, error: told.update({x: error or value}))
            )

    waiting, go_on = bench.hold_sync()
    taken = gevent.spawn(write, 1)
    until(waiting)
    queued = gevent.spawn(write, 2)
    gevent.joinall([taken, queued], raise_error=True)
    assert isinstance(told.pop(2), Overloaded)  # it will not run
    assert not told  # the other one may still be written
    go_on.set()
    with gevent.Timeout(5):
        while not told:
            gevent.sleep(0.01)
    assert told == {1: [(1, 1)]}
    bench.database.close(5)


def test_the_end_of_a_write_that_is_refused_at_once_is_told(bench: Bench) -> None:
    told: list[Any] = []
    bench.database.stop_accepting()
    with pytest.raises(Overloaded):
        bench.database.write(Write(Insert(TABLE, [(1,)]), ended=lambda value, error: told.append((value, type(error)))))
    assert told == [(None, Overloaded)]
