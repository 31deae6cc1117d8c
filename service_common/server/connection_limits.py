"""Limits on the connections, on their times, and on the bytes that they hold together.

At a limit, the connection that has waited longest for its client is closed. A connection whose request is being worked
on is never closed.
"""

import logging
import time
from collections import Counter as Tally
from collections.abc import Iterable
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from typing import Any

from prometheus_client import CollectorRegistry

from ..settings import Settings
from ..telemetry.measures import Counter, Gauge, Peak
from .connections import ANSWER, BODY, HEADERS, IDLE, Acceptor, Connection
from .heavy_requests import LARGE_AT_ONCE, HeavyRequests
from .process_limits import raise_descriptor_limit, return_freed_memory

SPARE = 256  # connections above the limit that are accepted while others are being closed
EVICTED_SHARE = 8  # an eighth of the connections is evicted at once: finding them is costly, so it is done seldom
SEARCH_EVERY_S = 0.01  # seconds between two searches for connections to evict
OTHER_FILES = 128  # file descriptors that are not connections
KERNEL_BUFFER = 64 << 10  # bytes in the kernel for each direction of a connection
STOPPING_HEADERS_S = 1  # seconds that request headers may take when the service stops

log = logging.getLogger("connections")


class ConnectionLimits:
    """The open connections, and what they may hold together."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self.most = settings.max_connections
        self.most_each = settings.max_connections_per_client
        self.most_bytes = settings.max_held_bytes
        self.seconds = {
            IDLE: settings.keepalive_timeout, HEADERS: settings.header_timeout,
            BODY: settings.body_timeout, ANSWER: settings.answer_timeout,
        }  # fmt: skip
        self.connections: set[Connection] = set()
        self.addresses: Tally[str] = Tally()
        self.held = 0  # bytes
        self.ending = 0  # connections that are about to be closed
        self.ended: Tally[str] = Tally()  # closed connections, by the reason
        self.heavy_requests = HeavyRequests(LARGE_AT_ONCE, settings.write_timeout)
        self._searched = 0.0
        self._reported: Tally[str] = Tally()
        self.lag = Peak()
        self._add_metrics(registry)

    def _add_metrics(self, registry: CollectorRegistry) -> None:
        self._metric = Counter("http_connections_ended", "Connections ended by a limit.", registry, ("reason",))
        for reason in (*self.seconds, "room", "bytes", "client"):
            self._metric.add(reason, count=0)
        Gauge("http_connections", "Open connections.", registry, lambda: len(self.connections))
        Gauge("http_connections_limit", "Connections that may be open.", registry, lambda: self.most)
        Gauge("http_held_bytes", "Bytes of long bodies and unread answers.", registry, lambda: self.held)
        Gauge("http_held_limit_bytes", "Bytes that these may hold.", registry, lambda: self.most_bytes)
        Gauge(
            "event_loop_lag_seconds", "The longest delay of a timer in the last 15 to 30 s.", registry,
            lambda: self.lag.read(time.monotonic()), combine=max,
        )  # fmt: skip

    def serve(self, listener: Any, handle: Any) -> Acceptor:
        """Start to accept connections at `listener`; each is handled by `handle(connection, address)`."""
        granted = raise_descriptor_limit(self.most + SPARE + OTHER_FILES)
        self.most = max(1, min(self.most, granted - SPARE - OTHER_FILES))
        return_freed_memory()
        for option in (SO_RCVBUF, SO_SNDBUF):  # its connections inherit them
            listener.setsockopt(SOL_SOCKET, option, KERNEL_BUFFER)
        acceptor = Acceptor(listener, handle, self, self.most + SPARE)
        acceptor.start()
        return acceptor

    def admit(self, connection: Connection) -> None:
        """Add a connection. Where there are too many, others are evicted."""
        self.connections.add(connection)
        self.addresses[connection.address] += 1
        if self.most_each and self.addresses[connection.address] > self.most_each:
            own = [other for other in self.connections if other.address == connection.address]
            if not self._evict(own, 1, "client"):
                self.ended["client"] += 1
                connection.close()
                return
        if connection.since > self._searched + SEARCH_EVERY_S:
            self._make_room(connection.since)

    def forget(self, connection: Connection) -> None:
        """Remove a connection that closes; it holds nothing any more."""
        self.connections.discard(connection)
        connection.release()
        self.addresses[connection.address] -= 1
        if not self.addresses[connection.address]:
            del self.addresses[connection.address]

    def has_room(self, count: int) -> bool:
        """Return True if `count` more bytes may be held; connections that wait for their clients are evicted for it."""
        missing = self.held + count - self.most_bytes
        if missing <= 0:
            return True
        holders = sorted(
            (one for one in self.connections if one.held and one.waits_for_client()), key=lambda one: one.since
        )
        for one in holders:
            if missing <= 0:
                break
            missing -= one.held
            one.release()  # now, not when it has closed: else its bytes would be promised twice
            one.end("bytes")
        return missing <= 0

    def _make_room(self, now: float, of_anyone: bool = False) -> None:
        """Where there are too many connections, evict the longest-waiting ones of the address that has most.

        Connections that were accepted just now do not wait yet. So other addresses are evicted (`of_anyone`) only from
        `sweep`, when that address had time to show some that wait.
        """
        over = len(self.connections) - self.ending - self.most
        if over <= 0:
            return
        self._searched = now
        crowd = max(self.addresses, key=self.addresses.__getitem__)
        count = max(over, self.most // EVICTED_SHARE)
        evicted = self._evict((one for one in self.connections if one.address == crowd), count, "room")
        if not evicted and of_anyone:
            self._evict(self.connections, count, "room")

    def _evict(self, among: Iterable[Connection], count: int, reason: str) -> int:
        """End up to `count` connections that wait for their clients, the longest-waiting first. Return their number."""
        waiting = sorted((one for one in among if one.waits_for_client() and not one.ending), key=lambda one: one.since)
        for one in waiting[:count]:
            one.end(reason)
        return min(count, len(waiting))

    def end_idle(self) -> None:
        """Close every connection that waits for a request; headers that have begun have a second to end."""
        now = time.monotonic()
        for connection in self.connections:
            late = connection.phase is HEADERS and now - connection.since > STOPPING_HEADERS_S
            if late or connection.phase is IDLE:
                connection.end(IDLE)

    def sweep(self) -> None:
        """End what has taken too long. It runs a few times a second, so its cost does not depend on the requests."""
        now = time.monotonic()
        for connection in self.connections:
            if now - connection.since > self.seconds[connection.phase] and connection.waits_for_client():
                connection.end(connection.phase)
        self._make_room(now, of_anyone=True)
        if self.ended != self._reported:
            self._report()

    def _report(self) -> None:
        new = self.ended - self._reported
        self._reported = self.ended.copy()
        for reason, count in new.items():
            self._metric.add(reason, count=count)
        reasons = ", ".join(f"{reason} {count}" for reason, count in new.items() if reason != IDLE)
        if reasons:
            log.warning("connections ended by a limit: %s; %d are open", reasons, len(self.connections))
