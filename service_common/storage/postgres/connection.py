"""Connections to PostgreSQL that share gevent's loop, keep deadlines, and never cancel a statement."""

import select
import time
from contextlib import suppress
from typing import Any

import gevent
import psycopg
from gevent import monkey
from psycopg import waiting
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

CONNECT_S = 3  # for each host of the URL
TURN_S = 4  # how long a transaction waits for its turn; more than a holder that stands still has left
IDLE_IN_TRANSACTION_S = 3  # after that, the server ends the session of a holder that stands still
STATEMENT_S = 6  # never counts for COMMIT: the server stops this clock before it commits
LAST_WORDS_S = 0.2  # between the server's message that it ends a session and the end; an idle session gets no other
GROUP_S = 8.0  # a transaction that has not come to its COMMIT by then is given up

# Parameters of libpq. Those of the URL win.
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": CONNECT_S,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds that sent data may stay unacknowledged
}

# Every query here is by an index. Plans made while the tables were empty would scan them for ever.
_PLANNER = "SET enable_seqscan = off; SET jit = off;"
_WRITING = f"""{_PLANNER}
SET lock_timeout = '{TURN_S}s';
SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_S}s';
SET statement_timeout = '{STATEMENT_S}s';
SET client_min_messages = warning; -- a warning during COMMIT must be heard
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply'); -- else an answer could be before the disk
"""
_READING = f"{_PLANNER} SET statement_timeout = '{STATEMENT_S}s'; SET default_transaction_read_only = on;"

WAIT_R, WAIT_W = 1, 2  # as psycopg and gevent's loop both number them
POLLIN, POLLOUT = select.POLLIN, select.POLLOUT
_poll = monkey.get_original("select", "poll")


class DeadlinePassed(psycopg.OperationalError):
    """The server did not answer in time, and the connection was closed."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits on gevent's loop, at most until `deadline`.

    Where the wait ends early, the connection is closed. A statement is never cancelled: a COMMIT that is cancelled
    while it waits for a standby reports success, although the standby has nothing.
    """

    deadline = float("inf")  # monotonic

    def within(self, seconds: float) -> None:
        """Set the deadline of what follows."""
        self.deadline = time.monotonic() + seconds

    def wait(self, gen: Any, interval: float = 0.0, timeout: float | None = None) -> Any:
        """Run one of psycopg's generators to its end. Raises psycopg.OperationalError: the connection is closed."""
        if self.closed:  # a generator that is never begun leaves nothing behind
            raise psycopg.OperationalError("the connection is closed")
        try:
            wanted = next(gen)
            while True:
                # A socket is nearly always writable, and asking the kernel costs less than a turn of the loop.
                ready = (wanted & WAIT_W and self._ready_now(wanted)) or self._until_ready(wanted)
                wanted = gen.send(ready)
        except StopIteration as ended:
            return ended.value
        except BaseException:
            with suppress(Exception):  # its own cleaning up would wait for a server that is gone
                gen.close()
            raise

    def check_open(self) -> None:
        """Look for the end of the session, while no answer is due. Raises psycopg.OperationalError."""
        if not self._ready_now(WAIT_R):
            return
        for _ in range(int(LAST_WORDS_S * 100)):  # the server tells why before it closes the connection
            if self._ready_now(WAIT_R):
                self.pgconn.consume_input()
            gevent.sleep(0.01)

    def _ready_now(self, wanted: int) -> int:
        poll = _poll()
        poll.register(self.pgconn.socket, (POLLIN if wanted & WAIT_R else 0) | (POLLOUT if wanted & WAIT_W else 0))
        return sum(WAIT_R * bool(events & ~POLLOUT) | WAIT_W * bool(events & POLLOUT) for _, events in poll.poll(0))

    def _until_ready(self, wanted: int) -> int:
        hub = gevent.get_hub()
        watcher = hub.loop.io(self.pgconn.socket, wanted)
        timer = gevent.Timeout.start_new(min(max(self.deadline - time.monotonic(), 0.0), 3600.0))
        try:
            hub.wait(watcher)
        except BaseException as ended:  # our deadline, or somebody else's: psycopg's generator is left halfway
            self.pgconn.finish()
            if ended is timer:
                raise DeadlinePassed("the server did not answer in time") from None
            raise
        finally:
            timer.close()
            watcher.close()
        return wanted  # reading does not block, so it does no harm to say both


def check_cooperation() -> None:
    """Check that psycopg waits on gevent's loop: imported before gevent's patch, one query would stop all requests."""
    if monkey.is_module_patched("select"):
        assert waiting.wait is not getattr(waiting, "wait_c", None), "psycopg was imported before gevent's patch"


def connect_to_write(url: str) -> Connection:
    """Open a connection to the server that takes writes. Raises psycopg.Error."""
    return _connect(url, "read-write", _WRITING)


def connect_to_read(url: str) -> Connection:
    """Open a connection to the server that has the last commit. Raises psycopg.Error."""
    return _connect(url, "primary", _READING)


def _connect(url: str, target: str, session: str) -> Connection:
    given = conninfo_to_dict(url)
    defaults = _DEFAULTS | {"target_session_attrs": target}
    connection = Connection.connect(
        url, autocommit=True, prepare_threshold=1, **{name: it for name, it in defaults.items() if name not in given}
    )
    connection.adapters.register_dumper(int, Int8BinaryDumper)  # one type for all integers: one plan a statement
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.within(STATEMENT_S)
    try:
        connection.execute(session)
    except BaseException:
        connection.close()
        raise
    return connection
