"""The tracer of a service: decides what is traced, and keeps the last spans in memory."""

import random
import re
import uuid
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry

from ... import __version__
from .export import Export
from .otlp import attributes, document, encode
from .span import SERVER, Span

# Version 00 has no more than these fields; a later one may.
PARENT = re.compile("(?!ff)(?:00|([0-9a-f]{2}))-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
LONGEST_STATE = 512  # characters of `tracestate` that are passed on
MOST_KEPT = 10_000  # spans that GET /traces/{id} can still show: about 8 MB
MOST_OF_TRACE = 500


class Tracer:
    """Makes the spans of a service."""

    def __init__(
        self, service: str, endpoint: str, share: float, resource: Mapping[str, str], registry: CollectorRegistry
    ) -> None:
        """Begin to send spans to `endpoint`, if there is one.

        `share` of the requests that bring no `traceparent` is traced. `resource` are attributes of this process.
        """
        self._share = share
        self._kept: dict[str, list[Span]] = {}  # by trace, the oldest trace first
        self._kept_spans = 0
        known = {"service.name": service, "service.version": __version__, "service.instance.id": str(uuid.uuid4())}
        self._resource = attributes({**known, **resource})
        self._export = Export(endpoint, self._resource, registry) if endpoint else None

    def begin(self, environ: Mapping[str, Any]) -> Span | None:
        """Return the span of a request, if that is to be traced: where its parent is, or else by chance."""
        sent = environ.get("HTTP_TRACEPARENT")
        if sent is not None and (parent := PARENT.fullmatch(sent)) and (parent[1] or not parent[5]):
            if not int(parent[4], 16) & 1:
                return None
            state = environ.get("HTTP_TRACESTATE", "")
            return Span(parent[2], parent[3], "", SERVER, {}, state if len(state) <= LONGEST_STATE else "", self._done)
        if random.random() >= self._share:
            return None
        return Span(f"{random.getrandbits(128) or 1:032x}", "", "", SERVER, {}, "", self._done)

    def _done(self, span: Span) -> None:
        """Keep a span that has ended, and have it sent."""
        spans = self._kept.setdefault(span.trace, [])
        if len(spans) < MOST_OF_TRACE:
            spans.append(span)
            self._kept_spans += 1
        while self._kept_spans > MOST_KEPT:
            self._kept_spans -= len(self._kept.pop(next(iter(self._kept))))
        if self._export is not None:
            self._export.add(span)

    def find(self, trace: str) -> bytes | None:
        """Return the spans of a trace that are kept, as OTLP/JSON; None where there are none."""
        spans = self._kept.get(trace)
        return document(self._resource, map(encode, spans)) if spans else None

    def close(self) -> None:
        """Send what still waits, if the receiver is quick."""
        if self._export is not None:
            self._export.close()
