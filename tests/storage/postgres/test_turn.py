"""Replicas write one group at a time: ids follow commits, and a key is decided once, wherever it arrives."""

import random
import signal
import subprocess
import sys
import time

import gevent
import psycopg
import pytest

from service_common.storage.database import Answer, Execute, Kept, Procedure
from service_common.storage.errors import Overloaded, Unavailable
from service_common.storage.postgres.database import PostgresDatabase
from testbed.services import ROOT

from .conftest import Open, faulty
from .writes import LAST, insert, keyed, outcome, rename

WAITING = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
REPLICAS = 3
KEYS = 4000
LOAD_S = 3.0


def follow_while_replicas_write(replicas: list[PostgresDatabase]) -> tuple[list[int], list[int]]:
    """Write from all replicas while a reader remembers the last id it has seen; return what it saw, and what is there."""
    until = time.monotonic() + LOAD_S
    writing = len(replicas) * 4

    def write(replica: PostgresDatabase, number: int) -> None:
        nonlocal writing
        count = 0
        while time.monotonic() < until:
            count += 1
            replica.write(insert(*(f"{number}-{count}-{n}" for n in range(random.randint(1, 40)))))
        writing -= 1

    def read() -> None:
        while True:
            over = writing == 0  # seen before the read: what it finds then is all there is
            rows = replicas[0].read(LAST, (seen[-1] if seen else 0, 500))
            seen.extend(row[0] for row in rows)
            if over and not rows:
                return

    seen: list[int] = []
    writers = [gevent.spawn(write, replicas[n % len(replicas)], n) for n in range(writing)]
    gevent.joinall([*writers, gevent.spawn(read)], raise_error=True)
    return seen, [row[0] for row in replicas[0].read("SELECT id FROM users ORDER BY id")]


def test_a_reader_by_cursor_misses_no_row(open_engine: Open, url: str) -> None:
    seen, there = follow_while_replicas_write([open_engine(url) for _ in range(REPLICAS)])
    assert len(there) > 500
    assert seen == there


def test_a_reader_by_cursor_finds_ids_that_come_from_a_sequence(open_engine: Open, url: str) -> None:
    seen, there = follow_while_replicas_write([open_engine(url, faulty("ids-by-sequence")) for _ in range(REPLICAS)])
    assert len(seen) < len(there)


def send_every_key_to_two_replicas(replicas: list[PostgresDatabase]) -> tuple[int, int]:
    """Send each key to two replicas at once, as two different requests would be if a client were wrong.

    Return how many keys were answered in two ways, and how many rows there are.
    """
    differing = 0

    def send(number: int) -> None:
        nonlocal differing
        jobs = [(each, each.submit(keyed(f"k{number}", f"{number}-{n}"))) for n, each in enumerate(replicas)]
        outcomes = [outcome(replica, job) for replica, job in jobs]
        answers = {repr(each.answer if isinstance(each, Kept) else each) for each in outcomes}
        differing += len(answers) != 1

    def send_many(start: int) -> None:
        for number in range(start, KEYS, 50):
            send(number)

    gevent.joinall([gevent.spawn(send_many, start) for start in range(50)], raise_error=True)
    return differing, replicas[0].read("SELECT count(*) FROM users")[0][0]


def test_a_key_that_arrives_at_two_replicas_at_once_is_decided_once(open_engine: Open, url: str) -> None:
    assert send_every_key_to_two_replicas([open_engine(url), open_engine(url)]) == (0, KEYS)


def test_two_replicas_find_keys_that_are_kept_in_memory_alone(open_engine: Open, url: str) -> None:
    replicas = [open_engine(url, faulty("postgres-key-in-memory")) for _ in range(2)]
    differing, rows = send_every_key_to_two_replicas(replicas)
    assert differing > 0
    assert rows > KEYS


@pytest.mark.parametrize("joined", [False, True])
def test_a_key_that_another_replica_decides_during_the_wait_for_the_turn_stays_decided(
    open_engine: Open, url: str, joined: bool
) -> None:
    """The write under that key waits for the turn. Or it joins a transaction that waits: then that one starts again."""
    database = open_engine(url)
    decided = Kept(b"same", Answer(201, b"7", {}))
    writes = [insert("first"), keyed("k", "second"), keyed("l", "third")]
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as watcher:
        holder.execute("SELECT FROM turn FOR UPDATE")  # as another replica does
        jobs = [database.submit(write) for write in (writes[:1] if joined else writes)]
        with gevent.Timeout(10):
            while not watcher.execute(WAITING).fetchall():
                gevent.sleep(0.01)
        jobs += [database.submit(write) for write in writes[len(jobs) :]]
        holder.execute("INSERT INTO idempotency_keys VALUES ('k', 'same', 201, '7', '{}', %s)", (int(time.time()),))
    first, second, third = (outcome(database, job) for job in jobs)
    assert [row[1] for row in first] == ["first"]
    assert second == decided
    assert third.status == 201
    assert database.kept("k") == decided
    assert [row[1] for row in database.read(LAST, (0, 10))] == ["first", "third"]


HOLDER = """
import os, signal, sys
from tests.storage.postgres.conftest import SCHEMA
from tests.storage.postgres.writes import insert
from prometheus_client import CollectorRegistry
from service_common.storage.database import Write, WriteLimits
from service_common.storage.postgres.database import PostgresDatabase

def stand_still(result):
    print("has the turn", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    return result

database = PostgresDatabase(sys.argv[1], SCHEMA, WriteLimits(timeout=30), CollectorRegistry())
write = insert("holder")
write.answer = stand_still
try:
    database.write(write)
except Exception as error:
    print(type(error).__name__, flush=True)
print("then", len(database.write(insert("again"))), flush=True)
"""


def test_a_holder_that_stands_still_loses_its_turn(open_engine: Open, url: str) -> None:
    waiting = open_engine(url)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, url], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "has the turn\n"
        began = time.monotonic()
        waiting.write(insert("waiting"))
        assert 1.0 < time.monotonic() - began < 3.9
        holder.send_signal(signal.SIGCONT)
        assert holder.stdout.readline() == "Unavailable\n"  # nothing of it was written
        assert holder.stdout.readline() == "then 1\n"
    finally:
        holder.kill()
        holder.wait()
    assert [row[1] for row in waiting.read(LAST, (0, 10))] == ["waiting", "again"]


class Guard(Procedure):
    """A guard that lets nothing be written while it refuses."""

    refuses = True

    def run(self, execute: Execute) -> None:
        if self.refuses:
            raise Unavailable("")


def test_a_turn_that_nobody_waits_for_any_more_is_given_back_although_the_guard_refuses(
    open_engine: Open, url: str
) -> None:
    impatient, other = open_engine(url, timeout=0.2), open_engine(url)
    guard = Guard()
    impatient.guard(guard)
    with psycopg.connect(url) as holder:
        holder.execute("SELECT FROM turn FOR UPDATE")
        with pytest.raises(Overloaded):
            impatient.write(insert("late"))
    began = time.monotonic()
    other.write(insert("next"))
    assert time.monotonic() - began < 2  # a turn that is kept is lost after 3 s
    guard.refuses = False
    impatient.write(insert("again"))
    assert [row[1] for row in other.read(LAST, (0, 10))] == ["next", "again"]


def test_a_deadlock_is_tried_again(open_engine: Open, url: str) -> None:
    """Another program locks a row and then the turn, the other way round than the engine."""
    database = open_engine(url)
    database.write(insert("a"))
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SET deadlock_timeout = '10s'")  # the engine's session notices it first
        other.execute("BEGIN")
        other.execute("SELECT FROM users WHERE id = 1 FOR UPDATE")
        job = database.submit(rename(1, "b"))
        gevent.sleep(0.3)
        other.pgconn.send_query(b"UPDATE turn SET ids = ids")
        gevent.sleep(2)
        while other.pgconn.get_result():
            pass
        other.execute("ROLLBACK")
        assert outcome(database, job)[1] == "b"
