"""A pool of connections for reads."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from gevent.event import AsyncResult, Event
from gevent.lock import BoundedSemaphore
from gevent.queue import Empty, LifoQueue

from ...event_loop import let_others_run
from ..database import Kept, Row
from ..errors import Overloaded, StorageError, Unavailable
from .connection import STATEMENT_S, Connection, connect_to_read
from .failures import NOT_READ, is_own
from .statements import FIND_KEYS, found_keys, in_driver_style

CONNECTIONS = 4  # of one process: reads take a fraction of a millisecond
WAIT_S = 5.0  # how long a read waits for a connection
LONGEST_PAUSE_S = 0.01  # how long a look-up of keys waits for a transaction
RETRY_S = 0.5  # after a failed attempt to connect, reads are refused for so long without another one


class Readers:
    """Connections that read the last commit. They are opened when they are first needed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: LifoQueue[Connection | None] = LifoQueue()
        for _ in range(CONNECTIONS):
            self._idle.put(None)
        self._failed_at = 0.0  # monotonic; when a connection could last not be opened

    def read(self, sql: str, values: Sequence[Any]) -> list[Row]:
        """Return all rows of one query, with `?` in the place of each value.

        Raises:
            Overloaded: all connections are busy.
            Unavailable: the database cannot be read.
            psycopg.Error: the query is wrong.
        """
        try:
            connection = self._idle.get(timeout=WAIT_S)
        except Empty:
            raise Overloaded(f"No connection to the database became free within {WAIT_S:g} s.") from None
        try:
            if connection is not None and not connection.closed:
                try:
                    return _run(connection, sql, values)
                except psycopg.Error as error:
                    if not connection.closed or is_own(error):
                        raise
            connection = None  # it was lost, with a restart of the server perhaps: a read can be repeated
            connection = self._connect()
            return _run(connection, sql, values)
        except psycopg.Error as error:
            if is_own(error):
                raise
            if connection is not None:
                connection.close()
            raise Unavailable(NOT_READ) from error
        finally:
            self._idle.put(connection)

    def close(self) -> None:
        """Close the connections that no read uses."""
        while not self._idle.empty():
            if (connection := self._idle.get()) is not None:
                connection.close()

    def _connect(self) -> Connection:
        if time.monotonic() - self._failed_at < RETRY_S:
            raise Unavailable(NOT_READ)
        try:
            return connect_to_read(self._url)
        except psycopg.Error:
            self._failed_at = time.monotonic()
            raise


class KeyLookups:
    """Look-ups of keys. Those that wait at the same moment share one query.

    They wait a short time for a transaction under way. So more of them share a query, and then a transaction.
    """

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._may_ask = Event()
        self._may_ask.set()
        self._turn = BoundedSemaphore()
        self._keys: list[str] = []  # of the next query
        self._found: AsyncResult = AsyncResult()

    def find(self, key: str) -> Kept | None:
        """Return what was decided under a key, if anything was. Raises StorageError."""
        self._keys.append(key)
        found = self._found
        if len(self._keys) == 1:
            self._ask(found)
        decided: dict[str, Kept] = found.get()
        return decided.get(key)

    def _ask(self, found: AsyncResult) -> None:
        """Ask for this key, and for all that arrive until the query begins."""
        try:
            self._may_ask.wait(LONGEST_PAUSE_S)
            let_others_run()
            with self._turn:
                found.set(found_keys(self._readers.read(FIND_KEYS, (self._take(),))))
        except BaseException as error:
            if self._found is found:
                self._take()
            found.set_exception(error if isinstance(error, StorageError) else Unavailable(NOT_READ))
            raise

    def _take(self) -> list[str]:
        """Return the keys of this query, and begin to collect those of the next."""
        keys, self._keys, self._found = self._keys, [], AsyncResult()
        return keys

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let those that come during the block wait for its end."""
        self._may_ask.clear()
        try:
            yield
        finally:
            self._may_ask.set()


def _run(connection: Connection, sql: str, values: Sequence[Any]) -> list[Row]:
    connection.within(STATEMENT_S)
    return connection.execute(in_driver_style(sql), values, binary=True).fetchall()
