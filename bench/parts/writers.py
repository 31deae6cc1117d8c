"""Whether a second writing process on the same file would win anything: the experiment behind one process a service.

Without HTTP: each process makes rows, which takes CPU time that another core can take over, and commits them in groups
with the store's schema and pragmas, while the next group is made, as a service does. Two processes share the file by
SQLite's own lock (BEGIN IMMEDIATE, which polls and is not fair) or in turn (a token that is handed on, which is as
fair as a lock can be).
"""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import apsw

from service_common.app import SWITCH_INTERVAL_S

from ..sampling import Progress, Sample, Settings, interleaved
from ..wrk import Failed
from . import Part
from .sqlite import INSERTS, open_store

GROUPS = (1, 32, 1000)  # rows in a transaction
WORK_US = (0, 300)  # CPU time that a row takes before it is written; 300 is about that of a request
KINDS = {"one writer": (1, False), "two, SQLite's lock": (2, False), "two, in turn": (2, True)}
BUSY_MS = 60_000
LONGEST_S, MOST_ROUNDS = 2.0, 3  # of each measurement: there are many

_context = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Task:
    """What a writing process is told."""

    path: Path
    group: int
    work_us: int
    seconds: float
    turn: tuple[int, int] | None  # file descriptors: the token comes from the first and goes to the second


@dataclass(frozen=True)
class Done:
    """What it says at its end. The times are of one clock."""

    rows: int
    began: float
    ended: float
    longest_wait_s: float  # for the lock


def spin(seconds: float) -> None:
    """Take CPU time."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def write(task: Task) -> Done:
    """Make and commit groups until the time is over."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    sql, values = INSERTS["orders"]
    db = apsw.Connection(str(task.path))
    db.set_busy_timeout(BUSY_MS)
    db.pragma("synchronous", "full")

    def commit() -> None:
        db.execute("COMMIT")
        if task.turn:
            os.write(task.turn[1], b"!")

    rows, longest, committing = 0, 0.0, None
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        while time.monotonic() - began < task.seconds:
            spin(task.group * task.work_us / 1e6)
            if committing:
                committing.result()
            asked = time.monotonic()
            if task.turn:
                os.read(task.turn[0], 1)
            db.execute("BEGIN IMMEDIATE")
            longest = max(longest, time.monotonic() - asked)
            db.executemany(sql, map(values, range(task.group)))
            committing = pool.submit(commit)
            rows += task.group
        if committing:
            committing.result()
    ended = time.monotonic()
    db.close()
    return Done(rows, began, ended, longest)


def process(task: Task, together: Barrier, answer: Any) -> None:
    """A writing process: begins and ends together with the others, and hands the token on until they have ended."""
    together.wait()
    answer.send(write(task))
    if task.turn:
        threading.Thread(target=hand_on, args=task.turn, daemon=True).start()
    together.wait()


def hand_on(come: int, go: int) -> None:
    while True:
        os.write(go, os.read(come, 1))


def writing(path: Path, kind: str, group: int, work_us: int, seconds: float) -> Sample:
    """Rows a second of all writers, the smallest writer's part of an equal share, the longest wait for the lock."""
    writers, in_turn = KINDS[kind]
    open_store("orders", path).close()
    pipes = [os.pipe() for _ in range(writers)] if in_turn else []
    together = _context.Barrier(writers)
    ends = [_context.Pipe(duplex=False) for _ in range(writers)]
    processes = []
    for number, (_, answer) in enumerate(ends):
        turn = (pipes[number][0], pipes[(number + 1) % writers][1]) if in_turn else None
        task = Task(path, group, work_us, seconds, turn)
        processes.append(_context.Process(target=process, args=(task, together, answer), daemon=True))
    try:
        for each in processes:
            each.start()
        if in_turn:
            os.write(pipes[0][1], b"!")
        done: list[Done] = []
        for answer, _ in ends:
            if not answer.poll(seconds + BUSY_MS / 1000):
                raise Failed(f"{kind}, groups of {group}: a writer did not end")
            done.append(answer.recv())
        for each in processes:
            each.join(10)
    finally:
        for each in processes:
            each.kill()
            each.join()
        for descriptor in (end for pipe in pipes for end in pipe):
            os.close(descriptor)
    rows = [each.rows for each in done]
    with apsw.Connection(str(path)) as db:
        if (there := db.execute("SELECT count(*) FROM orders").get) != sum(rows):
            raise Failed(f"{kind}: {sum(rows)} rows were committed, {there} are there")
    db.close()
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()
    return {
        "rate": sum(rows) / (max(each.ended for each in done) - min(each.began for each in done)),
        "least_share": min(rows) * writers / sum(rows),
        "longest_wait_ms": max(each.longest_wait_s for each in done) * 1000,
    }


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Series by kind, group and work, named as `kind|group|work`."""
    brief = briefer(settings)
    path = settings.scratch / "writers.db"

    def target(kind: str, group: int, work: int) -> Callable[[], Sample]:
        return lambda: writing(path, kind, group, work, brief.seconds)

    targets = {
        f"{kind}|{group}|{work}": target(kind, group, work) for work in WORK_US for group in GROUPS for kind in KINDS
    }
    return {"series": interleaved(targets, brief, progress)}


def briefer(settings: Settings) -> Settings:
    return replace(settings, seconds=min(settings.seconds, LONGEST_S), rounds=min(settings.rounds, MOST_ROUNDS))


def planned(settings: Settings) -> float:
    return briefer(settings).planned(len(KINDS) * len(GROUPS) * len(WORK_US))


PART = Part("writers", "one writing process on a file, and two: whether more processes a service win", run, planned, ())
