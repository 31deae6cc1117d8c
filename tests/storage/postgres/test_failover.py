"""A primary with a synchronous standby: the engine follows the lead, and a backup holds what was acknowledged before."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import gevent
import pytest

from service_common.storage.errors import StorageError
from service_common.storage.postgres.database import PostgresDatabase
from testbed.postgres import PostgresServer

from .conftest import Open
from .proxy import Proxy
from .writes import insert, keyed

pytestmark = pytest.mark.timeout(120)


@dataclass
class Writer:
    """Writes one row after the other, until it is stopped."""

    database: PostgresDatabase
    acknowledged: list[str] = field(default_factory=list)
    refused: int = 0
    stopped: bool = False

    def run(self) -> None:
        number = 0
        while not self.stopped:
            number += 1
            try:
                self.database.write(insert(f"row {number}"))
                self.acknowledged.append(f"row {number}")
            except StorageError:
                self.refused += 1
                gevent.sleep(0.05)

    def more(self, rows: int, within: float = 30.0) -> None:
        """Wait until so many more rows are acknowledged."""
        goal = len(self.acknowledged) + rows
        with gevent.Timeout(within):
            while len(self.acknowledged) < goal:
                gevent.sleep(0.01)


@pytest.fixture
def primary() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    """The synchronous standby of the primary."""
    with PostgresServer(source=primary, standby="second") as server:
        primary.require_standby("second")
        yield server


def names(database: PostgresDatabase) -> list[str]:
    return [row[0] for row in database.read("SELECT name FROM users ORDER BY id")]


@pytest.mark.parametrize("way", ["a list of hosts", "a door that leads to the primary"])
def test_the_engine_follows_the_lead_and_nothing_acknowledged_is_lost(
    primary: PostgresServer, standby: PostgresServer, open_engine: Open, way: str
) -> None:
    primary.create_database("users")
    door = Proxy(primary.port)
    url = primary.url("users", door.port)
    if way == "a list of hosts":
        url = primary.url("users").replace("@127.0.0.1:", f"@127.0.0.1:{standby.port},127.0.0.1:")
    writer = Writer(open_engine(url))
    running = gevent.spawn(writer.run)
    try:
        writer.more(50)
        primary.kill()
        door.mode = "refuse"
        door.cut()
        standby.run_sql("ALTER SYSTEM SET synchronous_standby_names = ''")
        standby.promote()
        door.lead_to(standby.port)
        writer.more(50)
    finally:
        writer.stopped = True
        running.join()
        door.close()
    found = names(writer.database)
    assert writer.refused > 0
    assert len(found) == len(set(found))
    assert set(writer.acknowledged) - set(found) == set()


def test_a_backup_holds_everything_that_was_acknowledged_before_it_and_no_hole(
    primary: PostgresServer, open_engine: Open
) -> None:
    database = open_engine(primary.create_database("users"))
    kept = database.write(keyed("key", "first"))
    writer = Writer(database)
    running = gevent.spawn(writer.run)
    try:
        writer.more(50)
        before = list(writer.acknowledged)
        copying = gevent.get_hub().threadpool.spawn(PostgresServer, source=primary)
        backup: PostgresServer = copying.get()
        writer.more(50)
    finally:
        writer.stopped = True
        running.join()
    with backup:
        restored = open_engine(backup.url("users"))
        found = names(restored)
        assert found[: 1 + len(before)] == ["first", *before]
        assert found == names(database)[: len(found)]
        assert restored.kept("key") == database.kept("key") is not None
        assert kept.status == 201
        ((last,),) = restored.read("SELECT max(id) FROM users")
        restored.write(insert("later"))
        assert restored.read("SELECT max(id) FROM users") == [(last + 1,)]
