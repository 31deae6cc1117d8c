"""Sending spans to a receiver, as OTLP/JSON over HTTP. It delays no request, and what waits is bounded."""

import logging
from collections import deque
from contextlib import suppress

import gevent
import requests
from gevent.event import Event
from prometheus_client import CollectorRegistry

from ..measures import Counter, Gauge
from .otlp import document, encode
from .span import Span

EVERY_S = 0.5  # seconds that a span waits for others, at most
MOST_AT_ONCE = 2000  # spans in one message, about a megabyte; as many are sent at once
MOST_WAITING = 20_000  # spans, about 16 MB; more are dropped
ENCODED_AT_ONCE = 25  # spans, in a tenth of a millisecond; then other greenlets have their turn
TIMEOUT_S = 10  # seconds for one message: OpenTelemetry's default
LAST_S = 1  # second that a stopping service waits for the receiver
PAUSES_S = (1.0, 15.0)  # the first and the longest pause after a failure; each is twice the one before
AGAIN = frozenset({429, 502, 503, 504})  # answers after which OTLP has a client send the same again

log = logging.getLogger("traces")


class Refused(Exception):
    """The receiver does not take a message, and never will."""


class Export:
    """The spans that wait, and the greenlet that sends them."""

    def __init__(self, endpoint: str, resource: str, registry: CollectorRegistry) -> None:
        """`resource` are the attributes of this process, as JSON."""
        self._url = f"{endpoint.rstrip('/')}/v1/traces"
        self._resource = resource
        self._waiting: deque[Span] = deque()
        self._lost = 0  # spans since the receiver last answered
        self._many = Event()
        self._exported = Counter("trace_spans_exported", "Spans that the receiver took.", registry)
        self._dropped = Counter(
            "trace_spans_dropped",
            "Spans that the receiver refused, or was away for too long to get.",
            registry,
        )
        Gauge("trace_spans_waiting", "Spans to be sent.", registry, lambda: len(self._waiting))
        self._session = requests.Session()
        self._session.trust_env = False
        self._greenlet = gevent.spawn(self._run)

    def add(self, span: Span) -> None:
        """Have a span sent soon. It is dropped where too many wait."""
        if len(self._waiting) >= MOST_WAITING:
            self._dropped.add()
            self._lost += 1
            return
        self._waiting.append(span)
        if len(self._waiting) >= MOST_AT_ONCE:
            self._many.set()

    def _run(self) -> None:
        shortest, longest = PAUSES_S
        pause = shortest
        while True:
            self._many.wait(EVERY_S)
            self._many.clear()
            try:
                self.send_waiting()
                pause, self._lost = shortest, 0
            except Exception as error:  # whatever it was: traces are worth no request
                log.warning(
                    "%d spans wait and %d were dropped, since the receiver fails: %s",
                    len(self._waiting), self._lost, str(error)[:300],
                )  # fmt: skip
                gevent.sleep(pause)
                pause = min(2 * pause, longest)

    def close(self) -> None:
        """Send what still waits, if the receiver is quick."""
        self._greenlet.kill()
        with gevent.Timeout(LAST_S, False), suppress(requests.RequestException):
            self.send_waiting()

    def send_waiting(self) -> None:
        """Send all spans that wait. Raises where the receiver is away: these still wait."""
        while self._waiting:
            spans = [self._waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(self._waiting)))]
            try:
                self._send(spans)
            except Refused as refused:
                self._dropped.add(count=len(spans))
                log.warning("%d spans were dropped: %s", len(spans), refused)
            except BaseException:
                self._waiting.extendleft(reversed(spans))
                raise
            else:
                self._exported.add(count=len(spans))

    def _send(self, spans: list[Span]) -> None:
        pieces = []
        for first in range(0, len(spans), ENCODED_AT_ONCE):
            pieces += [encode(span) for span in spans[first : first + ENCODED_AT_ONCE]]
            gevent.sleep(0)
        body = document(self._resource, pieces)
        headers = {"Content-Type": "application/json"}
        with (
            gevent.Timeout(TIMEOUT_S, requests.Timeout(f"no answer within {TIMEOUT_S} s")),
            self._session.post(
                self._url, body, headers=headers, timeout=TIMEOUT_S, allow_redirects=False, stream=True
            ) as answer,
        ):
            if answer.status_code in AGAIN:
                raise requests.HTTPError(f"status {answer.status_code}")
            if answer.status_code != 200:
                raise Refused(f"the receiver answered with status {answer.status_code}")
            answer.raw.read(1 << 16, decode_content=False)  # so that the connection can be used again
