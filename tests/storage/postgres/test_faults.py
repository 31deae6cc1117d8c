"""Faults of the server and of the network: what is answered as written is there, whatever happens."""

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from service_common.storage.database import Row
from service_common.storage.errors import OutcomeUnknown, Overloaded, StorageError, Unavailable
from service_common.storage.postgres import database as engine
from service_common.storage.postgres.database import PostgresDatabase
from service_common.storage.postgres.readers import RETRY_S
from testbed.postgres import PostgresServer

from .conftest import Open, faulty
from .proxy import Mode, Proxy
from .writes import all_outcomes, insert, keyed, outcome

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may stop and kill."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def server(request: pytest.FixtureRequest) -> PostgresServer:
    name = "own_server" if "own_server" in request.fixturenames else "postgres"
    server: PostgresServer = request.getfixturevalue(name)
    return server


def write_again(database: PostgresDatabase, name: str, within: float = 10.0) -> list[Row]:
    """Write until it succeeds: the engine must recover by itself."""
    deadline = time.monotonic() + within
    while True:
        try:
            rows: list[Row] = database.write(insert(name))
            return rows
        except StorageError:
            assert time.monotonic() < deadline
            gevent.sleep(0.1)


def names(database: PostgresDatabase) -> list[str]:
    return [row[0] for row in database.read("SELECT name FROM users ORDER BY id")]


class Interrupted(PostgresDatabase):
    """Calls a function at a chosen moment: when the turn is taken, or just before COMMIT is sent."""

    in_group: Callable[[], None] | None = None
    before_commit: Callable[[], None] | None = None

    def _transact(self, *args: Any) -> Any:
        if (call := self.in_group) is not None:
            self.in_group = None
            call()
        return super()._transact(*args)

    def _send_commit(self, *args: Any) -> Any:
        if (call := self.before_commit) is not None:
            self.before_commit = None
            call()
        return super()._send_commit(*args)


def test_a_connection_cut_before_a_group_costs_one_answer(open_engine: Open, through: str, proxy: Proxy) -> None:
    database = open_engine(through)
    database.write(insert("a"))
    proxy.cut()
    assert [type(each) for each in all_outcomes(database, insert("b"))] == [Unavailable]
    write_again(database, "c")
    assert names(database) == ["a", "c"]


def test_nothing_is_written_where_the_connection_is_cut_in_a_group(
    open_engine: Open, through: str, proxy: Proxy
) -> None:
    database = open_engine(through, Interrupted)
    database.in_group = proxy.cut
    assert [type(each) for each in all_outcomes(database, keyed("k", "a"), insert("b"))] == [Unavailable] * 2
    assert names(database) == []
    assert database.write(keyed("k", "a")).status == 201


@pytest.mark.parametrize(("mode", "written"), [("lose answers", True), ("lose requests", False)])
def test_the_outcome_is_unknown_where_the_connection_is_cut_during_commit(
    open_engine: Open, through: str, url: str, proxy: Proxy, mode: Mode, written: bool
) -> None:
    database = open_engine(through, Interrupted)

    def fail() -> None:
        proxy.mode = mode

    database.before_commit = fail
    outcomes = all_outcomes(database, keyed("k", "a"), insert("b"))
    assert [type(each) for each in outcomes] == [OutcomeUnknown] * 2
    proxy.mode = "forward"
    write_again(database, "c")
    assert names(open_engine(url)) == (["a", "b", "c"] if written else ["c"])
    kept = database.kept("k")
    assert (kept is not None) == written


def test_a_commit_that_is_not_answered_is_unknown_and_not_cancelled(
    open_engine: Open, through: str, server: PostgresServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "COMMIT_S", 0.5)
    database = open_engine(through, Interrupted)
    logged_before = len(server.log.read_text())  # by other tests

    def hold() -> None:
        proxy.mode = "hold"

    database.before_commit = hold
    (failed,) = all_outcomes(database, insert("a"))
    assert type(failed) is OutcomeUnknown
    proxy.mode = "forward"
    write_again(database, "b")
    assert "cancel" not in server.log.read_text()[logged_before:]


def test_a_group_that_is_not_answered_is_given_up(
    open_engine: Open, through: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "GROUP_S", 0.5)
    database = open_engine(through, Interrupted)

    def hold() -> None:
        proxy.mode = "hold"

    database.in_group = hold
    (failed,) = all_outcomes(database, insert("a"))
    assert type(failed) is Unavailable
    proxy.mode = "forward"
    write_again(database, "b")
    assert names(database) == ["b"]


def test_while_the_server_is_away_writes_are_refused_and_the_replica_is_ready(
    open_engine: Open, through: str, proxy: Proxy
) -> None:
    database = open_engine(through)
    database.write(insert("a"))
    proxy.mode = "refuse"
    proxy.cut()
    for _ in range(3):
        with pytest.raises(Unavailable):
            database.write(insert("b"))
    with pytest.raises(Unavailable):
        database.read("SELECT 1")
    assert (database.alive(), database.ready(), database.writable()) == (True, True, False)
    proxy.mode = "forward"
    write_again(database, "c")
    assert database.writable()
    gevent.sleep(RETRY_S)
    assert names(database) == ["a", "c"]


def test_a_replica_that_stops_is_not_ready(database: PostgresDatabase) -> None:
    database.stop_accepting()
    assert not database.ready()
    with pytest.raises(Overloaded):
        database.write(insert("a"))


def test_reads_survive_a_restart_of_the_server(open_engine: Open, through: str, proxy: Proxy) -> None:
    database = open_engine(through)
    for _ in range(3):
        assert database.read("SELECT 1") == [(1,)]
        proxy.cut()


def test_a_server_that_became_a_standby_takes_no_writes(open_engine: Open, url: str, server: PostgresServer) -> None:
    database = open_engine(url)
    name = url.rpartition("/")[2]
    server.run_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    database._disconnect()
    assert type(all_outcomes(database, insert("a"))[0]) is Unavailable
    assert names(database) == []
    server.run_sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    write_again(database, "b")


def test_a_session_ended_by_an_administrator_before_commit_has_written_nothing(
    open_engine: Open, url: str, server: PostgresServer
) -> None:
    database = open_engine(url, Interrupted)
    database.in_group = lambda: end_sessions(server, url)
    assert type(all_outcomes(database, insert("a"))[0]) is Unavailable
    write_again(database, "b")
    assert names(database) == ["b"]


def end_sessions(server: PostgresServer, url: str) -> None:
    name = url.rpartition("/")[2]
    server.run_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    time.sleep(0.1)  # the end of the session travels over another connection than this answer


def acknowledged_and_missing(database: PostgresDatabase, break_it: Callable[[], None]) -> tuple[int, list[str]]:
    """Write under load while `break_it` runs; return how many writes were acknowledged, and which of them are gone."""
    acknowledged: list[str] = []
    stop = False

    def write(number: int) -> None:
        count = 0
        while not stop:
            count += 1
            name = f"{number}-{count}"
            try:
                database.write(insert(name))
                acknowledged.append(name)
            except StorageError:
                gevent.sleep(0.02)

    writers = [gevent.spawn(write, number) for number in range(16)]
    gevent.sleep(0.5)
    break_it()
    write_again(database, "after", 20)
    gevent.sleep(0.2)
    stop = True
    gevent.joinall(writers, raise_error=True)
    return len(acknowledged), sorted(set(acknowledged) - set(names(database)))


def restart_after(kill: Callable[[], None], server: PostgresServer) -> Callable[[], None]:
    """Return a function that ends the server in the background while writes go on, and starts it again, twice."""

    def restart() -> None:
        pool = gevent.get_hub().threadpool
        for _ in range(2):
            pool.apply(kill)
            pool.apply(server.start)
            gevent.sleep(0.5)

    return restart


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(own_server: PostgresServer, open_engine: Open) -> None:
    database = open_engine(own_server.create_database("killed"))
    count, missing = acknowledged_and_missing(database, restart_after(own_server.kill, own_server))
    assert count > 100
    assert missing == []


def test_a_restart_of_the_server_loses_nothing(own_server: PostgresServer, open_engine: Open) -> None:
    database = open_engine(own_server.create_database("restarted"))
    count, missing = acknowledged_and_missing(database, restart_after(own_server.stop, own_server))
    assert count > 100
    assert missing == []


def test_a_kill_of_the_server_finds_answers_before_the_commit(own_server: PostgresServer, open_engine: Open) -> None:
    database = open_engine(own_server.create_database("hasty"), faulty("postgres-answer-before-commit"))
    _, missing = acknowledged_and_missing(database, restart_after(own_server.kill, own_server))
    assert missing


def cancel_the_wait_for_a_standby(server: PostgresServer, database: PostgresDatabase) -> Any:
    """Let a COMMIT wait for a standby that is missing, and cancel that from another session. Return its outcome."""
    server.run_sql("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
    server.run_sql("SELECT pg_reload_conf()")
    waits = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    pool = gevent.get_hub().threadpool
    for number in range(100):  # the server's processes learn of the setting one after the other
        job = database.submit(insert(f"a{number}"))
        while not job.outcome.ready() and not pool.apply(server.run_sql, (waits,)):
            gevent.sleep(0.05)
        if not job.outcome.ready():
            break
    assert not job.outcome.ready()
    pool.apply(server.run_sql, (f"SELECT pg_cancel_backend(pid) FROM ({waits}) AS waiting",))
    return outcome(database, job)


def test_a_warning_during_commit_leaves_the_outcome_unknown(own_server: PostgresServer, open_engine: Open) -> None:
    database = open_engine(own_server.create_database("warned"))
    assert type(cancel_the_wait_for_a_standby(own_server, database)) is OutcomeUnknown


def test_a_cancelled_wait_finds_an_engine_that_trusts_warnings(own_server: PostgresServer, open_engine: Open) -> None:
    database = open_engine(own_server.create_database("trusting"), faulty("warnings-ignored"))
    assert isinstance(cancel_the_wait_for_a_standby(own_server, database), list)


def test_an_answer_that_is_not_on_the_standby_is_not_replayed(own_server: PostgresServer, open_engine: Open) -> None:
    """After a crash the server shows commits that it has never confirmed. A failover could still undo them."""
    database = open_engine(own_server.create_database("crashed"), timeout=1.0)
    own_server.run_sql("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
    own_server.stop()
    own_server.start()  # a reload would count from some later commit on
    answered = all_outcomes(database, keyed("k", "a"))
    while type(answered[0]) is Unavailable:  # on the connection that the restart has ended
        gevent.sleep(0.1)
        answered = all_outcomes(database, keyed("k", "a"))
    assert type(answered[0]) is OutcomeUnknown
    own_server.kill()
    own_server.start()
    gevent.sleep(1)
    assert names(database) == ["a"]  # it is there, but not confirmed
    with pytest.raises(StorageError):
        database.kept("k")


def test_a_paused_server_blocks_no_caller_longer_than_its_deadline(
    own_server: PostgresServer, open_engine: Open
) -> None:
    database = open_engine(own_server.create_database("paused"), timeout=1.0)
    database.write(insert("a"))
    own_server.pause()
    try:
        began = time.monotonic()
        (failed,) = all_outcomes(database, insert("b"))
        assert isinstance(failed, OutcomeUnknown | Overloaded | Unavailable)
        assert time.monotonic() - began < 2
    finally:
        own_server.pause(signal.SIGCONT)
    write_again(database, "c", 20)
