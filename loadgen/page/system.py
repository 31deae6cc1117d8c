"""Watches the services and the load generator: once a second, and only while somebody looks at the page.

Each replica is asked for its /metrics on a connection of its own, so the load never waits for it.
"""

import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent.event import Event

from ..settings import SERVICES, Settings
from ..traffic.sender import Http
from . import metrics

EVERY_S = 1.0
ANSWER_S = 0.6  # a service that takes longer is silent; one that refuses the connection is down at once
LOOKED_S = 10.0  # the page asks once a second; without a question for so long, nobody looks
NEWLY_S = 15.0  # how long a restart is shown


class Replica:
    """One container of a service, asked on a connection of its own."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self._http: Http | None = None
        self._before: metrics.Reading | None = None

    def ask(self) -> tuple[str, metrics.Reading | None]:
        """Return the state, and a reading where there is one."""
        if self._http is None:
            self._http = Http(self._url, self._token, connections=1)
        try:
            with gevent.Timeout(ANSWER_S) as late:
                try:
                    status, _, content = self._http.request("GET", "/metrics")
                except gevent.Timeout as expired:
                    if expired is not late:
                        raise
                    self.close()
                    return "silent", None
        except Exception:  # no answer, of any sort
            self.close()
            return "down", None
        if status != 200:
            return "strange", None
        reading = metrics.read(content.decode("utf-8", "replace"), time.monotonic())
        return "draining" if reading.total("service_draining") else "up", reading

    def has_restarted(self, reading: metrics.Reading) -> bool:
        """Return True if the reading is of another process than the reading before."""
        before, self._before = self._before, reading
        return before is not None and metrics.restarted(before, reading)

    def close(self) -> None:
        """Close the connection. The next question opens another one."""
        if self._http is not None:
            self._http.close()
            self._http = None


class Watched:
    """A service: up, draining (it still serves, and will stop), silent (it does not answer in time), down, or strange.

    Down means that nothing listens, strange that it has no metrics.

    It is as well as the best of its replicas.
    """

    def __init__(self, name: str, url: str, each: str, token: str) -> None:
        """`each` is a base URL whose name has the addresses of all replicas; empty: there is one, at `url`."""
        self.name = name
        self._url, self._each, self._token = url, urlsplit(each), token
        self._replicas: dict[str, Replica] = {}  # by URL
        self._state = "unknown"
        self._since = time.monotonic()
        self._restarted: float | None = None
        self._reading: metrics.Reading | None = None
        self._answered: set[str] = set()  # the URLs of the replicas that it is of
        self.figures: dict[str, Any] = {}
        self.links: dict[str, dict[str, Any]] = {}

    def ask(self) -> None:
        """Take one reading of all replicas."""
        urls = self._addresses()
        for gone in self._replicas.keys() - urls:
            self._replicas.pop(gone).close()
        for new in urls - self._replicas.keys():
            self._replicas[new] = Replica(new, self._token)
        asked = {url: gevent.spawn(replica.ask) for url, replica in self._replicas.items()}
        gevent.joinall(list(asked.values()))
        states = [each.value[0] for each in asked.values()]
        readings = {url: each.value[1] for url, each in asked.items() if each.value[1]}
        self.figures, self.links = {}, {}
        if not readings:
            self._become(next((state for state in ("strange", "silent") if state in states), "down"))
            return
        now = metrics.together(list(readings.values()))
        before = self._reading if readings.keys() == self._answered else None
        self._reading, self._answered = now, set(readings)
        restarts = [self._replicas[url].has_restarted(reading) for url, reading in readings.items()]
        if any(restarts):
            self._restarted = now.at
        up = states.count("up")
        self.figures = metrics.figures(before, now) | {"replicas": up, "of": len(states)}
        self.links = metrics.links(before, now, SERVICES)
        self._become("unwritable" if self.figures["writable"] is False else "up" if up else "draining")

    def _addresses(self) -> set[str]:
        """Return the URL of each replica; none where the name has no address now."""
        if not self._each.hostname:
            return {self._url}
        try:
            with gevent.Timeout(ANSWER_S, TimeoutError):
                found = socket.getaddrinfo(self._each.hostname, self._each.port or 80, type=socket.SOCK_STREAM)
        except OSError:
            return set()
        hosts = [(str(address[0]), int(address[1])) for *_, address in found]
        return {f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}" for host, port in hosts}

    def _become(self, state: str) -> None:
        if state != self._state:
            self._state, self._since = state, time.monotonic()

    def forget(self) -> None:
        """Nobody looks any more: what was seen is old."""
        while self._replicas:
            self._replicas.popitem()[1].close()
        self._reading, self._restarted, self.figures, self.links = None, None, {}, {}
        self._become("unknown")

    def as_json(self) -> dict[str, Any]:
        """Return the state, for how many seconds it has been so, and the figures."""
        now = time.monotonic()
        newly = self._restarted is not None and now - self._restarted < NEWLY_S
        return {
            "state": self._state,
            "seconds": round(now - self._since, 1),
            "restarted": round(now - (self._restarted or now), 1) if newly else None,
            **self.figures,
        }


class System:
    """The services and the load generator, as they are now."""

    def __init__(self, settings: Settings, count: Callable[[], tuple[str | None, int]]) -> None:
        """`count` returns the mark of the current run and the writes that its load has attempted."""
        self.tick = 0  # the number of the last round of readings
        self._services = [
            Watched(name, settings.urls[name], settings.each.get(name, ""), settings.token) for name in SERVICES
        ]
        self._count = count
        self._own: tuple[float, float, str | None, int] | None = None
        self._generator: dict[str, Any] = {"writes": None, "cpu": None}
        self._looked = 0.0
        self._wanted, self._read = Event(), Event()
        gevent.spawn(self._watch)

    def wait(self, seen: int, longest: float = 2 * EVERY_S) -> None:
        """Note that somebody looks, and wait until there are readings newer than `seen`, at most `longest` seconds."""
        self._looked = time.monotonic()
        self._wanted.set()
        if seen == self.tick:
            self._read.wait(longest)

    def _watch(self) -> None:
        while True:
            if time.monotonic() - self._looked > LOOKED_S:
                for service in self._services:
                    service.forget()
                self._own = None
                self._wanted.clear()
                self._wanted.wait()
            began = time.monotonic()
            gevent.joinall([gevent.spawn(service.ask) for service in self._services])
            self._measure()
            self.tick += 1
            self._read.set()
            self._read.clear()
            gevent.sleep(max(EVERY_S - (time.monotonic() - began), 0.05))

    def _measure(self) -> None:
        now = time.monotonic(), time.process_time(), *self._count()
        before, self._own = self._own, now
        if before is None:
            return
        seconds = now[0] - before[0]
        same = now[2] == before[2]
        self._generator = {
            "writes": round(max(now[3] - before[3], 0) / seconds, 1) if same else None,
            "cpu": round((now[1] - before[1]) / seconds, 3),
        }

    def as_json(self) -> dict[str, Any]:
        """Return `{"generator": {…}, "services": {name: {…}}, "links": {name: {…}}}`."""
        links = {name: link for service in self._services for name, link in service.links.items()}
        return {
            "generator": self._generator,
            "services": {service.name: service.as_json() for service in self._services},
            "links": links,
        }
