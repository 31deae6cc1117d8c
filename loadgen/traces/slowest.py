"""The slowest traced requests of a run, each with what the services say of it.

The services keep their spans for a short time only, so they are asked as soon as a request is among the slowest.
"""

import json
import random
from collections.abc import Iterable
from typing import Any

import gevent
from gevent.event import Event

from ..settings import SERVICES, Settings
from ..traffic.sender import Http, Result
from .waterfall import Span, graft, linked, read, rows

KEPT = 5  # requests of each action
SAMPLED, NOT_SAMPLED = "01", "00"

Json = dict[str, Any]


def traceparent(share: float) -> str:
    """Return the header that begins a trace; the services record a `share` of these."""
    flags = SAMPLED if random.random() < share else NOT_SAMPLED
    return f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-{flags}"


class Slowest:
    """Keeps the slowest traced requests of each action."""

    def __init__(self, settings: Settings) -> None:
        self.version = 0  # changes with what is kept
        self._settings = settings
        self._kept: dict[str, list[Json]] = {}  # by action, the slowest first
        self._unread: list[Json] = []  # of which the services were not asked yet
        self._more = Event()
        self._http: dict[str, Http] = {}
        self._reader: gevent.Greenlet | None = None

    def add(self, result: Result) -> None:
        """Take in a request that has ended, if it is traced."""
        _, trace, span, flags = result.traceparent.split("-")
        kept = self._kept.setdefault(result.action, [])
        if flags != SAMPLED or (len(kept) == KEPT and result.milliseconds <= kept[-1]["ms"]):
            return
        op = result.op
        entry: Json = {
            "trace": trace, "span": span, "action": result.action, "method": op.method, "service": op.service,
            "status": result.answer.status, "began": result.began, "ms": round(result.milliseconds, 3), "spans": None,
        }  # fmt: skip
        kept.append(entry)
        kept.sort(key=lambda each: -each["ms"])
        del kept[KEPT:]
        self._unread.append(entry)
        self._more.set()
        if self._reader is None:
            self._reader = gevent.spawn(self._read)

    def as_json(self) -> list[Json]:
        """Return the kept requests, the slowest first: `{"action": …, "ms": 12.5, "spans": [{"name": …}, …], …}`."""
        every = [each for kept in self._kept.values() for each in kept if each["spans"]]
        return sorted(every, key=lambda each: -each["ms"])

    def _read(self) -> None:
        while True:
            self._more.wait()
            self._more.clear()
            while self._unread:
                entry = self._unread.pop(0)
                if entry in self._kept[entry["action"]]:
                    entry["spans"] = rows(entry, self._spans(entry))
                    self.version += 1

    def _spans(self, entry: Json) -> list[Span]:
        """Return the spans of a request, with the parts of work that it shared with another one."""
        asked = SERVICES if entry["service"] == "orders" else (entry["service"],)
        spans = self._ask(entry["trace"], asked)
        others = {trace: self._ask(trace, asked) for trace in linked(spans)}
        return graft(spans, others)

    def _ask(self, trace: str, services: Iterable[str]) -> list[Span]:
        found: list[Span] = []
        for name in services:
            if name not in self._http:
                self._http[name] = Http(self._settings.urls[name], self._settings.token, connections=1)
            try:
                status, _, content = self._http[name].request("GET", f"/traces/{trace}")
                if status == 200:
                    found += read(json.loads(content), name)
            except Exception:  # noqa: S112 - a service that is away, or says nonsense: the others are shown without it
                continue
        return found

    def close(self) -> None:
        """Stop asking."""
        if self._reader is not None:
            self._reader.kill()
        for http in self._http.values():
            http.close()


def merge(parts: Iterable[list[Json]]) -> list[Json]:
    """Return the slowest of several workers."""
    kept: dict[str, list[Json]] = {}
    for each in sorted((each for part in parts for each in part), key=lambda each: -each["ms"]):
        of_action = kept.setdefault(each["action"], [])
        if len(of_action) < KEPT:
            of_action.append(each)
    return sorted((each for of_action in kept.values() for each in of_action), key=lambda each: -each["ms"])
