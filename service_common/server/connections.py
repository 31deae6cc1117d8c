"""A client's connection: what it is doing, since when, and how it is closed.

Written against gevent 26.9.0, whose private names stand here and nowhere else: `_sock`, `_read_event` and
`_write_event` of its sockets, and `_accept` of its listening ones.
"""

import errno
import time
from contextlib import suppress
from functools import partial
from socket import MSG_PEEK, SHUT_WR, SO_LINGER, SOL_SOCKET
from struct import pack
from typing import TYPE_CHECKING, Any

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from gevent.socket import socket

from ..event_loop import let_others_run

if TYPE_CHECKING:
    from .connection_limits import ConnectionLimits

LARGE_PIECE = 4 << 10  # bytes received at once, after which the other connections have their turn
UNREAD = 64 << 10  # bytes read from a connection before it closes, so that its client can still read the answer
RESET = pack("ii", 1, 0)  # SO_LINGER: unsent bytes are thrown away

# The phases of a connection. Its time limits and the metrics use these names.
IDLE, HEADERS, BODY, ANSWER = "idle", "headers", "body", "answer"


class Evicted(Exception):
    """Raised in the greenlet of a connection that waits for a request: it closes without an answer."""


class EvictedBody(OSError):
    """Raised in the greenlet of a connection that waits for a body, and is closed to make room for others."""


class Connection(socket):  # type: ignore[misc]
    """A client's connection. `phase` began at `since` (monotonic); it holds `held` bytes of a long body or answer."""

    def __init__(
        self, family: int, type: int, proto: int, fileno: int, address: str, limits: "ConnectionLimits"
    ) -> None:
        super().__init__(family, type, proto, fileno=fileno)
        self.timeout = None  # `ConnectionLimits.sweep` watches all time limits: a timer for each wait would cost more
        self.address = address
        self.limits = limits
        self.greenlet: gevent.Greenlet | None = None
        self.phase = IDLE
        self.since = time.monotonic()
        self.held = 0
        self.ending = False
        self.must_close = False  # after the current answer: its request's body is broken or too long
        self.awaiting_request = AwaitingRequest(self)
        self._received_much = False
        self._client_left = False

    def recv(self, *args: Any) -> bytes:
        if self._received_much:
            let_others_run()  # a client that sends without a pause must not keep the others waiting
        data: bytes = super().recv(*args)
        self._received_much = len(data) > LARGE_PIECE
        if not data:
            self._client_left = True
        elif self.phase is IDLE:
            self.phase = HEADERS
            self.since = time.monotonic()
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        try:
            sent = self._sock.send(data, flags)
        except BlockingIOError:
            if self.timeout == 0.0:
                raise
            sent = 0
        if sent < len(data):
            self._send_slowly(memoryview(data)[sent:], flags)

    def _send_slowly(self, rest: memoryview, flags: int) -> None:
        """Wait for a client that reads its answer piece by piece."""
        if self.phase is not ANSWER:
            self.phase = ANSWER
            self.since = time.monotonic()
        if not self.hold(len(rest)):
            self.setsockopt(SOL_SOCKET, SO_LINGER, RESET)
            raise BrokenPipeError(errno.EPIPE, "too many bytes of answers wait to be read")
        super().sendall(rest, flags)

    def hold(self, count: int) -> bool:
        """Count `count` bytes as held until the next request. Return False where all connections hold too much."""
        if not self.limits.has_room(count):
            return False
        self.held += count
        self.limits.held += count
        return True

    def release(self) -> None:
        """Stop counting bytes as held."""
        self.limits.held -= self.held
        self.held = 0

    def waits_for_client(self) -> bool:
        """Return True while its greenlet waits for the client to send or to read."""
        reading, writing = self._read_event, self._write_event
        return reading is not None and (reading.active or writing.active)

    def end(self, reason: str) -> None:
        """Close it soon, unless it has gone on by then."""
        if not self.ending:
            self.ending = True
            self.limits.ending += 1
            self.hub.loop.run_callback(self._end, self.since, reason)

    def _end(self, since: float, reason: str) -> None:
        self.ending = False
        self.limits.ending -= 1
        if self.since != since or not self.waits_for_client() or self.greenlet is None or self._has_just_sent():
            return
        self.limits.ended[reason] += 1
        if self.phase in (IDLE, HEADERS):
            error: Exception = Evicted()
        elif self.phase is BODY:
            error = TimeoutError(errno.ETIMEDOUT, "it did not arrive in time") if reason is BODY else EvictedBody()
        else:
            self.setsockopt(SOL_SOCKET, SO_LINGER, RESET)
            error = BrokenPipeError(errno.EPIPE, "the answer was not read in time")
        self.greenlet.throw(error)

    def _has_just_sent(self) -> bool:
        """Return True where an idle connection has a request that was not read yet: it deserves an answer."""
        if self.phase is not IDLE:
            return False
        try:
            return bool(self._sock.recv(1, MSG_PEEK))
        except OSError:  # nothing is there, or the connection is broken
            return False

    def close(self) -> None:
        """Close it such that a client who is still sending can read the answer."""
        if self in self.limits.connections:
            self.limits.forget(self)
            if not self._client_left:
                with suppress(OSError):  # nothing more was sent, or the client has gone
                    self._sock.shutdown(SHUT_WR)
                    unread = UNREAD
                    while unread > 0 and (piece := self._sock.recv(unread)):
                        unread -= len(piece)
            self.greenlet = None  # this and the next line break reference cycles: the memory is freed at once
            del self.awaiting_request
        super().close()


class AwaitingRequest:
    """A context: the time from the end of one request to the end of the next one's headers."""

    __slots__ = ("connection",)

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __enter__(self) -> None:
        connection = self.connection
        connection.phase = IDLE
        connection.since = time.monotonic()
        if connection.held:
            connection.release()

    def __exit__(self, kind: type[BaseException] | None, _error: Any, _traceback: Any) -> bool:
        self.connection.phase = BODY
        self.connection.since = time.monotonic()
        return kind is Evicted


class Acceptor(StreamServer):  # type: ignore[misc]
    """Accepts connections at a listening socket and handles each in a greenlet of its own."""

    max_accept = 200  # at once: when the backlog is full, newcomers wait for seconds

    def __init__(self, listener: Any, handle: Any, limits: "ConnectionLimits", most: int) -> None:
        super().__init__(listener, partial(handle_in_greenlet, handle), spawn=Pool(most))
        self._limits = limits

    def do_read(self) -> tuple[Connection, Any] | None:
        listener = self.socket
        try:
            descriptor, address = listener._accept()
        except BlockingIOError:
            return None
        host = address[0] if isinstance(address, tuple) else ""
        connection = Connection(listener.family, listener.type, listener.proto, descriptor, host, self._limits)
        self._limits.admit(connection)
        return connection, address


def handle_in_greenlet(handle: Any, connection: Connection, address: Any) -> None:
    """Handle one connection in its greenlet."""
    if not connection.closed:
        greenlet = gevent.getcurrent()
        connection.greenlet = greenlet
        greenlet.connection = connection
        handle(connection, address)
