"""What clients may hold: connections, time, memory, turns. Where one is short, who has held on longest gives way."""

import ctypes
import errno
import logging
import resource
import struct
import time
from collections import Counter as Tally
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from socket import SHUT_WR, SO_LINGER, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from typing import Any

import gevent
from flask import current_app, has_request_context, request
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer
from gevent.socket import socket
from prometheus_client import CollectorRegistry, Counter, Gauge

from .problems import Problem
from .settings import Settings

LONG_BODY = 8 << 10  # bytes; a longer one counts towards the bytes that all clients may hold
LARGE_BODY = 64 << 10  # bytes; parsing a larger one takes so long that it waits for its turn
MANY_ITEMS = 100  # in one list or batch: more than these wait for their turn
LARGE_AT_ONCE = 2  # requests with large bodies or many items that are worked on at the same time
SOON_S = 1e-6  # not 0: that is before the loop looks whether anything else has happened, 50 times in a row
SPARE = 256  # connections above the limit, taken while those that give way are being closed
SHARE_TO_END = 8  # one connection in so many gives way at once: finding them costs, so it is done seldom
SEARCH_EVERY_S = 0.01  # for connections that may give way
OTHER_FILES = 128  # file descriptors that are not clients' connections
KERNEL_BUFFER = 64 << 10  # bytes in the kernel for each direction of a connection
PRESSING = 4 << 10  # bytes received at once, after which the other connections have their turn
M_MMAP_THRESHOLD = -3  # of malloc.h
LARGE_BLOCK = 128 << 10  # bytes
UNREAD = 64 << 10  # bytes taken off a connection before it closes, so that its client can still read the answer
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what has not been sent is thrown away

# What a connection does; by these names its limit, and the metrics, know it.
IDLE, HEAD, BODY, ANSWER = "idle", "head", "body", "answer"

log = logging.getLogger("clients")


class Ended(Exception):
    """Raised in the greenlet of a connection that waits for a request: it closes without a word."""


class Connection(socket):  # type: ignore[misc]
    """A client's connection. `phase` is what it does, `since` (monotonic) when that began, `held` its long bytes."""

    def __init__(self, family: int, type: int, proto: int, fileno: int, address: str, clients: "Clients") -> None:
        super().__init__(family, type, proto, fileno=fileno)
        self.timeout = None  # all its time limits are watched by `Clients.sweep`: a timer for each wait would cost more
        self.address = address
        self.clients = clients
        self.greenlet: gevent.Greenlet | None = None
        self.phase = IDLE
        self.since = time.monotonic()
        self.held = 0
        self.ending = False
        self.pressing = False
        self.left = False
        self.between = Between(self)

    def recv(self, *args: Any) -> bytes:
        if self.pressing:
            gevent.sleep(SOON_S)  # who sends without a pause must not keep the others waiting
        data: bytes = super().recv(*args)
        self.pressing = len(data) > PRESSING
        if not data:
            self.left = True
        elif self.phase is IDLE:
            self.phase = HEAD
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
        """Wait for a client that takes its answer piece by piece."""
        if self.phase is not ANSWER:
            self.phase = ANSWER
            self.since = time.monotonic()
        if not self.hold(len(rest)):
            self.setsockopt(SOL_SOCKET, SO_LINGER, RESET)
            raise BrokenPipeError(errno.EPIPE, "too much waits to be read by clients")
        super().sendall(rest, flags)

    def hold(self, count: int) -> bool:
        """Count `count` bytes as held until the next request; False when all clients hold too much already."""
        if not self.clients.has_room(count):
            return False
        self.held += count
        self.clients.held += count
        return True

    def let_go(self) -> None:
        """Count nothing as held any more."""
        self.clients.held -= self.held
        self.held = 0

    def blocked(self) -> bool:
        """Whether it waits for its own client, to send or to read."""
        reading, writing = self._read_event, self._write_event
        return reading is not None and (reading.active or writing.active)

    def end(self, reason: str) -> None:
        """Close it, unless it has gone on by the time that this takes effect."""
        if not self.ending:
            self.ending = True
            self.clients.ending += 1
            self.hub.loop.run_callback(self._end, self.since, reason)

    def _end(self, since: float, reason: str) -> None:
        self.ending = False
        self.clients.ending -= 1
        if self.since != since or not self.blocked() or self.greenlet is None:
            return
        self.clients.ended[reason] += 1
        if self.phase in (IDLE, HEAD):
            error: Exception = Ended()
        elif self.phase is BODY:
            error = TimeoutError(errno.ETIMEDOUT, "it did not arrive in time")
        else:
            self.setsockopt(SOL_SOCKET, SO_LINGER, RESET)
            error = BrokenPipeError(errno.EPIPE, "the answer was not taken in time")
        self.greenlet.throw(error)

    def close(self) -> None:
        """Close it such that a client who is still sending can read what was answered."""
        if self in self.clients.connections:
            self.clients.forget(self)
            if not self.left:
                with suppress(OSError):  # nothing more was sent, or the client has gone
                    self._sock.shutdown(SHUT_WR)
                    unread = UNREAD
                    while unread > 0 and (piece := self._sock.recv(unread)):
                        unread -= len(piece)
            self.greenlet = None  # these two lead back here: without them it is freed at once
            del self.between
        super().close()


class Between:
    """The time between two requests of a connection, the head of the next included."""

    __slots__ = ("connection",)

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __enter__(self) -> None:
        connection = self.connection
        connection.phase = IDLE
        connection.since = time.monotonic()
        if connection.held:
            connection.let_go()

    def __exit__(self, kind: type[BaseException] | None, _error: Any, _traceback: Any) -> bool:
        self.connection.phase = BODY
        self.connection.since = time.monotonic()
        return kind is Ended


class Clients:
    """All connections, and what they may hold together."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self.most = settings.max_connections
        self.most_each = settings.max_connections_per_client
        self.most_bytes = settings.max_held_bytes
        self.limits = {
            IDLE: settings.keepalive_timeout, HEAD: settings.header_timeout,
            BODY: settings.body_timeout, ANSWER: settings.answer_timeout,
        }  # fmt: skip
        self.connections: set[Connection] = set()
        self.addresses: Tally[str] = Tally()
        self.held = 0  # bytes
        self.ending = 0  # connections that are about to be closed
        self.ended: Tally[str] = Tally()  # connections, by the reason
        self.turns = Turns(LARGE_AT_ONCE, settings.write_timeout)
        self._searched = 0.0
        self._told: Tally[str] = Tally()
        self._metric = Counter(
            "http_connections_ended", "Connections ended by a limit.", ("reason",), registry=registry
        )
        for reason in (*self.limits, "room", "bytes", "client"):
            self._metric.labels(reason)
        Gauge("http_connections", "Open connections.", registry=registry).set_function(lambda: len(self.connections))

    def serve(self, listener: Any, handle: Any) -> "Server":
        """Start to accept connections at `listener`, each handled by `handle(connection, address)` in a greenlet."""
        granted = descriptors(self.most + SPARE + OTHER_FILES)
        self.most = max(1, min(self.most, granted - SPARE - OTHER_FILES))
        give_memory_back()
        for option in (SO_RCVBUF, SO_SNDBUF):  # its connections inherit them
            listener.setsockopt(SOL_SOCKET, option, KERNEL_BUFFER)
        server = Server(listener, handle, self)
        server.start()
        return server

    def admit(self, connection: Connection) -> None:
        """Take in one more connection; where there are too many, others give way."""
        self.connections.add(connection)
        self.addresses[connection.address] += 1
        if self.most_each and self.addresses[connection.address] > self.most_each:
            own = [other for other in self.connections if other.address == connection.address]
            if not self._end_longest(own, 1, "client"):
                self.ended["client"] += 1
                connection.close()
                return
        if connection.since > self._searched + SEARCH_EVERY_S:
            self._make_room(connection.since)

    def forget(self, connection: Connection) -> None:
        """A connection is closed: it holds nothing any more."""
        self.connections.discard(connection)
        connection.let_go()
        self.addresses[connection.address] -= 1
        if not self.addresses[connection.address]:
            del self.addresses[connection.address]

    def has_room(self, count: int) -> bool:
        """Whether `count` more bytes may be held; others that wait for their clients give theirs up for it."""
        missing = self.held + count - self.most_bytes
        if missing <= 0:
            return True
        holders = sorted((one for one in self.connections if one.held and one.blocked()), key=lambda one: one.since)
        for one in holders:
            if missing <= 0:
                break
            missing -= one.held
            one.let_go()  # by now, not when it has gone: else it would be counted on twice
            one.end("bytes")
        return missing <= 0

    def _make_room(self, now: float, of_anyone: bool = False) -> None:
        """Where there are too many connections, end those that have waited longest, of the address that has most.

        Those that have just been accepted do not wait yet; so others give way only where none of that address does
        for a while.
        """
        over = len(self.connections) - self.ending - self.most
        if over <= 0:
            return
        self._searched = now
        crowd = max(self.addresses, key=self.addresses.__getitem__)
        count = max(over, self.most // SHARE_TO_END)
        if (
            not self._end_longest((one for one in self.connections if one.address == crowd), count, "room")
            and of_anyone
        ):
            self._end_longest(self.connections, count, "room")

    def _end_longest(self, among: Iterable[Connection], count: int, reason: str) -> int:
        """End up to `count` that wait for their clients, those first that have waited longest; how many."""
        waiting = sorted((one for one in among if one.blocked() and not one.ending), key=lambda one: one.since)
        for one in waiting[:count]:
            one.end(reason)
        return min(count, len(waiting))

    def end_idle(self) -> None:
        """Close every connection that waits for a request."""
        for connection in self.connections:
            if connection.phase in (IDLE, HEAD):
                connection.end(IDLE)

    def sweep(self) -> None:
        """End what has taken too long. Called a few times a second: its cost does not depend on the requests."""
        now = time.monotonic()
        for connection in self.connections:
            if now - connection.since > self.limits[connection.phase] and connection.blocked():
                connection.end(connection.phase)
        self._make_room(now, of_anyone=True)
        if self.ended != self._told:
            new = self.ended - self._told
            self._told = self.ended.copy()
            for reason, count in new.items():
                self._metric.labels(reason).inc(count)
            said = ", ".join(f"{reason} {count}" for reason, count in new.items() if reason != IDLE)
            if said:
                log.warning("connections ended by a limit: %s; %d are open", said, len(self.connections))


class Server(StreamServer):  # type: ignore[misc]
    """Accepts connections of `clients`."""

    max_accept = 200  # at once: when the queue of those to be accepted is full, others have to ask for seconds

    def __init__(self, listener: Any, handle: Any, clients: Clients) -> None:
        super().__init__(listener, partial(serve_one, handle), spawn=Pool(clients.most + SPARE))
        self._clients = clients

    def do_read(self) -> tuple[Connection, Any] | None:
        listener = self.socket
        try:
            descriptor, address = listener._accept()
        except BlockingIOError:
            return None
        host = address[0] if isinstance(address, tuple) else ""
        connection = Connection(listener.family, listener.type, listener.proto, descriptor, host, self._clients)
        self._clients.admit(connection)
        return connection, address


def serve_one(handle: Any, connection: Connection, address: Any) -> None:
    """Handle one connection in its greenlet."""
    if not connection.closed:
        greenlet = gevent.getcurrent()
        connection.greenlet = greenlet
        greenlet.connection = connection
        handle(connection, address)


def give_memory_back() -> None:
    """Have the C library return every large block as it is freed: it would keep what one flood made it take."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


def descriptors(wanted: int) -> int:
    """How many file descriptors this process may have, after asking for `wanted`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    except (OSError, ValueError):
        granted = soft
    if granted < wanted:
        log.warning("only %d of %d file descriptors: fewer connections are served at once", granted, wanted)
    return granted


class Turns:
    """Large work is done a few at a time, in turn of the clients' addresses: one who asks a lot delays himself."""

    def __init__(self, places: int, patience: float) -> None:
        """`patience` in seconds is how long a request waits for its turn."""
        self._free = places
        self._patience = patience
        self._waiting: OrderedDict[str, deque[Event]] = OrderedDict()

    @contextmanager
    def turn(self, address: str) -> Iterator[None]:
        """Have one of the places during the block.

        Raises:
            Problem: `overloaded`, none became free in time.
        """
        if self._free:
            self._free -= 1
        else:
            self._wait(address)
        try:
            gevent.sleep(SOON_S)
            yield
        finally:
            self._pass_on()

    def _wait(self, address: str) -> None:
        mine = Event()
        line = self._waiting.setdefault(address, deque())
        line.append(mine)
        mine.wait(self._patience)
        if not mine.is_set():
            line.remove(mine)
            if not line:
                del self._waiting[address]
            raise Problem("overloaded", f"Too many large requests: this one waited {self._patience:g} s for its turn.")

    def _pass_on(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        address, line = self._waiting.popitem(last=False)
        line.popleft().set()
        if line:
            self._waiting[address] = line  # behind the others


def turn() -> AbstractContextManager[None]:
    """The turn of the current request among those with large work; where no server counts clients, it is now.

    Raises:
        Problem: `overloaded`, on entering.
    """
    clients: Clients | None = current_app.extensions.get("clients") if has_request_context() else None
    return nullcontext() if clients is None else clients.turns.turn(request.remote_addr or "")
