"""A client of one remote service, with a deadline, retries and a circuit breaker."""

import logging
import random
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import gevent
import requests
from pydantic import TypeAdapter, ValidationError

from service_common.http.ijson import commas
from service_common.telemetry.current_span import current_span

from ..settings import OrdersSettings
from .breaker import Breaker
from .metrics import LookupMetrics
from .transport import Session

MOST_IDS = 500  # ids in one request: the contract of `?ids=`
LONGEST_IDS = 7000  # characters of the ids in one request; gunicorn accepts a request line of 8190
LARGEST_ANSWER = 4 << 20  # bytes; 500 items of the longest names stay below it
MOST_VALUES = 20_000  # values in one answer; 500 items have a tenth
RESOLVE_EVERY_S = 1.0  # seconds between two look-ups of the address behind the name
RESOLVE_PATIENCE_S = 0.2  # seconds a round waits for the name server: a slow one must not delay good connections
FIRST_PAUSE_S = 0.02  # seconds before the first retry; doubles each time, with jitter

T = TypeVar("T")
Found = dict[int, dict[str, Any]]
log = logging.getLogger("lookups")


class Unanswered(Exception):
    """The service gave no usable answer; the message is a sentence for the client."""


class Remote:
    """A remote service, asked over pooled connections."""

    def __init__(
        self,
        name: str,
        url: str,
        page: Any,
        settings: OrdersSettings,
        metrics: LookupMetrics,
    ) -> None:
        """`page` is the type of an answer."""
        self.name = name
        self._url = f"{url}/{name}"
        self._page: TypeAdapter[Any] = TypeAdapter(page)
        self._timeout = settings.lookup_timeout
        self._attempt_timeout = settings.lookup_attempt_timeout
        self.breaker = Breaker(settings.breaker_failures, settings.breaker_cooldown)
        self._metrics = metrics
        for outcome in ("ok", "failed"):
            metrics.attempts.add(name, outcome, count=0)
        metrics.opened.add(name, count=0)
        self._seconds = metrics.attempt_seconds.labelled(name)
        # Prepared once: attempts differ in their ids and request id only, and are made one at a time.
        self._request = requests.Request("GET", self._url, {"Accept": "application/json"}).prepare()
        self._request.headers["Accept-Encoding"] = "identity"
        if tokens := settings.tokens():
            self._request.headers["Authorization"] = f"Bearer {tokens[0]}"
        self._addresses: list[Any] = []
        self._resolved_at = 0.0
        self._resolving: gevent.Greenlet | None = None
        self._session = Session()
        self._resends = 0  # of the request that is being made

    def get(self, ids: Collection[int], request_id: str) -> Found:
        """Return those of `ids` that exist, by id.

        Raises:
            Unanswered: no usable answer within the deadline, or the circuit is open.
        """
        found: Found = {}
        with self._deadline():
            for chunk in chunks(sorted(ids)):
                items = self._until_answered(partial(self._get, chunk, request_id))
                asked = set(chunk)
                found |= {item["id"]: item for item in items if item["id"] in asked}
        return found

    def post(self, path: str, bodies: Iterable[bytes], answer: TypeAdapter[T], request_id: str) -> list[T]:
        """Send each of `bodies`, perhaps more than once, and return the answers. Raises as `get` does."""
        with self._deadline():
            return [self._until_answered(partial(self._post, path, body, answer, request_id)) for body in bodies]

    def read(self, path: str, answer: TypeAdapter[T]) -> T:
        """Return the answer to a GET of `path`. Raises as `get` does."""
        with self._deadline():
            return self._until_answered(partial(self._read, path, answer))

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        """Limit the time of all attempts together. Raises Unanswered."""
        # Not an exception class of our own: urllib3 would take a TimeoutError for its socket's, and go on.
        with gevent.Timeout(self._timeout) as deadline:
            try:
                self._follow_address()
                yield
            except gevent.Timeout as expired:
                if expired is not deadline:
                    raise
                late = Unanswered(f"{self.name}: no answer within {self._timeout:g} s")
                self._failed(late)
                raise late from None

    def _until_answered(self, attempt: Callable[[], T]) -> T:
        """Repeat attempts until one succeeds or the circuit opens; the caller has the deadline."""
        pause = FIRST_PAUSE_S
        self._resends = 0
        while not self.breaker.is_open():
            if self._resends:
                self._note("retry")
            try:
                answer = self._timed(attempt)
            except (requests.RequestException, ValueError) as error:
                self._failed(error)
                gevent.sleep(random.uniform(0, pause))
                pause *= 2
                self._resends += 1
            else:
                self.breaker.succeeded()
                self._metrics.attempts.add(self.name, "ok")
                return answer
        self._note("circuit is open")
        raise Unanswered(f"{self.name} failed repeatedly and is not asked for a moment")

    def _timed(self, attempt: Callable[[], T]) -> T:
        began = time.monotonic()
        try:
            return attempt()
        finally:
            self._seconds.observe(time.monotonic() - began)

    def _get(self, ids: list[int], request_id: str) -> list[dict[str, Any]]:
        self._request.url = f"{self._url}?ids={','.join(map(str, ids))}"
        self._request.headers["X-Request-ID"] = request_id
        items: list[dict[str, Any]] = self._send(self._request, self._page)["items"]
        if len({item["id"] for item in items}) < len(items):
            raise ValueError("an answer with one id twice")
        return items

    def _post(self, path: str, body: bytes, answer: TypeAdapter[T], request_id: str) -> T:
        posted = self._request.copy()
        posted.method, posted.url, posted.body = "POST", f"{self._url}{path}", body
        posted.headers.update(
            {"X-Request-ID": request_id, "Content-Type": "application/json", "Content-Length": str(len(body))}
        )
        return self._send(posted, answer)

    def _read(self, path: str, answer: TypeAdapter[T]) -> T:
        read = self._request.copy()
        read.url = f"{self._url}{path}"
        return self._send(read, answer)

    def _send(self, prepared: requests.PreparedRequest, answer: TypeAdapter[T]) -> T:
        """Make one attempt, and return the answer. Raises RequestException, ValueError."""
        if (parent := current_span.get()) is None:
            return self._answer(prepared, answer)
        from service_common.telemetry.tracing.outgoing import traced

        with traced(parent, prepared.method or "", prepared.url or "", prepared.headers, self._resends):
            return self._answer(prepared, answer)

    def _note(self, event: str) -> None:
        """Note an event of the current look-up, where that is traced."""
        if (span := current_span.get()) is not None:
            span.event(event, **{"server.address": self.name})

    def _answer(self, prepared: requests.PreparedRequest, answer: TypeAdapter[T]) -> T:
        with self._session.send(
            prepared, timeout=self._attempt_timeout, allow_redirects=False, stream=True, proxies={}
        ) as sent:
            if (span := current_span.get()) is not None:
                span.attributes["http.response.status_code"] = sent.status_code
            check_headers(sent)
            body = bytearray()
            for piece in sent.iter_content(1 << 16):
                body += piece
                if len(body) > LARGEST_ANSWER:
                    raise ValueError(f"an answer of more than {LARGEST_ANSWER} bytes")
        if body.count(b",") > MOST_VALUES and commas(bytes(body)) > MOST_VALUES:
            raise ValueError(f"an answer of more than {MOST_VALUES} values")
        try:
            return answer.validate_json(bytes(body))
        except ValidationError as error:
            raise ValueError(f"not an answer to look-ups: {error.errors()[0]['msg']}") from None

    def _failed(self, error: Exception) -> None:
        """Count a failed attempt. Drop all connections: the others may lead to the same dead end."""
        if self.breaker.failed():
            self._metrics.opened.add(self.name)
            self._note("circuit opens")
        self._metrics.attempts.add(self.name, "failed")
        log.warning("look-up of %s failed: %s", self.name, str(error)[:300])
        self._drop_connections()

    def _follow_address(self) -> None:
        """Drop the pooled connections when the name has a new address, as after a container was recreated."""
        if self._resolving or time.monotonic() - self._resolved_at < RESOLVE_EVERY_S:
            return
        self._resolving = gevent.spawn(self._resolve)
        self._resolving.join(RESOLVE_PATIENCE_S)

    def _resolve(self) -> None:
        host = urlsplit(self._url)
        with suppress(OSError):  # the attempt itself will fail and say why
            addresses = sorted(socket.getaddrinfo(host.hostname, host.port, type=socket.SOCK_STREAM))
            if self._addresses and addresses != self._addresses:
                log.info("%s has a new address", self.name)
                self._drop_connections()
            self._addresses = addresses
        self._resolved_at = time.monotonic()

    def _drop_connections(self) -> None:
        self._session.close()
        self._session = Session()


def check_headers(answer: requests.Response) -> None:
    """Refuse, before the body is read, an answer that cannot be one to a look-up. Raises ValueError."""
    if answer.status_code != 200:
        raise ValueError(f"status {answer.status_code}")
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise ValueError("a compressed answer, although none was asked for")
    if answer.headers.get("Content-Type", "").partition(";")[0] != "application/json":
        raise ValueError("an answer that is not declared as JSON")
    if not answer.headers.get("Content-Length", "0").isdecimal():
        raise ValueError("an answer whose Content-Length is not a number")


def chunks(ids: list[int]) -> Iterator[list[int]]:
    """Yield `ids` in pieces that fit into one request, by count and by length."""
    piece: list[int] = []
    length = 0
    for id in ids:
        width = len(str(id)) + 1
        if piece and (len(piece) == MOST_IDS or length + width > LONGEST_IDS):
            yield piece
            piece, length = [], 0
        piece.append(id)
        length += width
    if piece:
        yield piece
