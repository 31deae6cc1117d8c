"""The only outbound HTTP: which users and products exist, asked for many orders at once.

All that wait at the same moment share one round of look-ups. A round starts when the one before has
ended, so its size follows the load without a timer. Nothing is cached: an answer is never older than
its question.
"""

import logging
import random
import socket
import time
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Annotated, Any
from urllib.parse import urlsplit

import gevent
import gevent.socket
import requests
import urllib3
from gevent.event import AsyncResult, Event
from prometheus_client import CollectorRegistry, Counter, Histogram
from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError
from requests.adapters import HTTPAdapter
from typing_extensions import TypedDict

from service_common.fields import CONTROL, Id
from service_common.ijson import commas
from service_common.logs import request_id as current_request_id
from service_common.problems import Problem
from service_common.settings import Settings

MOST_IDS = 500  # of one request: the contract of `?ids=`
LONGEST_IDS = 7000  # characters of one request's ids: a request line may have about 8190
LARGEST_ANSWER = 4 << 20  # bytes; 500 items of the longest names stay below it
MOST_VALUES = 20_000  # of an answer; 500 items have a tenth
PRESSING = 8 << 10  # bytes received at once, after which other work has its turn
SOON_S = 1e-6  # not 0: that is before the loop looks whether a deadline has passed
RESOLVE_EVERY_S = 1.0  # how often the address behind a name is looked at
RESOLVE_PATIENCE_S = 0.2  # how long a round waits for that: a slow name server must not hold up good connections
MOST_IN_ROUND = 5000  # ids: a dozen requests, done well within the deadline; who comes then takes the next round
FIRST_PAUSE_S = 0.02  # before the first retry; doubles each time, with jitter

Found = dict[int, dict[str, Any]]
log = logging.getLogger("lookups")


AS_IT_IS = ConfigDict(strict=True, extra="ignore")  # nothing is coerced, and nothing else passed on


class User(TypedDict):
    """What must be true of a user that was answered."""

    __pydantic_config__ = AS_IT_IS  # type: ignore[misc]
    id: Id
    name: str
    email: str
    created_at: str


class Product(TypedDict):
    """What must be true of a product that was answered: an order keeps its name and price."""

    __pydantic_config__ = AS_IT_IS  # type: ignore[misc]
    id: Id
    name: Annotated[str, StringConstraints(max_length=200, pattern=f"^[^{CONTROL}]+$")]
    price: Annotated[str, StringConstraints(pattern=r"^([0-9]{1,6}\.[0-9]{2}|1000000\.00)$")]
    created_at: str


class UserPage(TypedDict):
    """An answer of users to `?ids=`."""

    items: list[User]


class ProductPage(TypedDict):
    """An answer of products to `?ids=`."""

    items: list[Product]


class Incoming(gevent.socket.socket):  # type: ignore[misc]
    """What another service sends. One that never pauses would keep all else from running, its deadline included."""

    def recv_into(self, *args: Any) -> int:
        count: int = super().recv_into(*args)
        if count >= PRESSING:
            gevent.sleep(SOON_S)
        return count


class Connection(urllib3.connection.HTTPConnection):
    """urllib3's connection, over such a socket."""

    def _new_conn(self) -> Any:
        plain = super()._new_conn()
        timeout = plain.gettimeout()
        connection = Incoming(plain.family, plain.type, plain.proto, fileno=plain.detach())
        connection.settimeout(timeout)
        return connection


class Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = Connection


class Adapter(HTTPAdapter):
    """requests' adapter, over such connections."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": Pool}


class Session(requests.Session):
    """A session without cookies, and without redirects, which requests reads whole and unzipped before anyone looks."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False  # no proxy, no .netrc: these are our own services
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self.mount("http://", Adapter(pool_maxsize=4))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class Unavailable(Exception):
    """A service could not be asked."""


class Breaker:
    """Closed until `failures` in a row; then open for about `cooldown` seconds; then one attempt decides."""

    def __init__(self, failures: int, cooldown: float) -> None:
        self._limit = failures
        self._cooldown = cooldown
        self._failures = 0
        self._open_until = 0.0

    def is_open(self) -> bool:
        return time.monotonic() < self._open_until

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= self._limit:
            self._open_until = time.monotonic() + self._cooldown * random.uniform(0.75, 1.25)


class Remote:
    """One of the services that are asked, over pooled connections."""

    def __init__(self, name: str, url: str, page: Any, settings: Settings, attempts: Counter) -> None:
        self.name = name
        self._url = f"{url}/{name}"
        self._page = TypeAdapter(page)
        self._timeout = settings.lookup_timeout
        self._attempt_timeout = settings.lookup_attempt_timeout
        self._breaker = Breaker(settings.breaker_failures, settings.breaker_cooldown)
        self._attempts = {outcome: attempts.labels(name, outcome) for outcome in ("ok", "failed")}
        # Prepared once: attempts differ in their ids and request id only, and are made one at a time.
        self._request = requests.Request("GET", self._url, {"Accept": "application/json"}).prepare()
        self._request.headers["Accept-Encoding"] = "identity"
        if tokens := settings.tokens():
            self._request.headers["Authorization"] = f"Bearer {tokens[0]}"
        self._addresses: list[Any] = []
        self._resolved_at = 0.0
        self._resolving: gevent.Greenlet | None = None
        self._session = Session()

    def get(self, ids: Collection[int], request_id: str) -> Found:
        """Those of `ids` that exist, by id.

        Raises:
            Unavailable: no usable answer within the deadline, or the circuit is open.
        """
        found: Found = {}
        # Not an exception class of its own: urllib3 would take a TimeoutError for one of its socket's, and go on.
        with gevent.Timeout(self._timeout) as deadline:
            try:
                self._follow_address()
                for chunk in chunks(sorted(ids)):
                    found |= self._ask(chunk, request_id)
            except gevent.Timeout as expired:
                if expired is not deadline:
                    raise
                late = Unavailable(f"{self.name}: no answer within {self._timeout:g} s")
                self._failed(late)
                raise late from None
        return found

    def _ask(self, ids: list[int], request_id: str) -> Found:
        """Ask until there is an answer or the circuit opens; the caller has the deadline."""
        pause = FIRST_PAUSE_S
        while not self._breaker.is_open():
            try:
                items = self._attempt(ids, request_id)
            except (requests.RequestException, ValueError) as error:
                self._failed(error)
                gevent.sleep(random.uniform(0, pause))
                pause *= 2
            else:
                self._breaker.succeeded()
                self._attempts["ok"].inc()
                asked = set(ids)
                return {item["id"]: item for item in items if item["id"] in asked}
        raise Unavailable(f"{self.name} has failed repeatedly and is left alone for a moment")

    def _attempt(self, ids: list[int], request_id: str) -> list[dict[str, Any]]:
        self._request.url = f"{self._url}?ids={','.join(map(str, ids))}"
        self._request.headers["X-Request-ID"] = request_id
        with self._session.send(
            self._request, timeout=self._attempt_timeout, allow_redirects=False, stream=True, proxies={}
        ) as answer:
            if answer.status_code != 200:
                raise ValueError(f"status {answer.status_code}")
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise ValueError("a compressed answer, which was not asked for")
            if answer.headers.get("Content-Type", "").partition(";")[0] != "application/json":
                raise ValueError("an answer that does not say it is JSON")
            if not answer.headers.get("Content-Length", "0").isdecimal():
                raise ValueError("an answer of no length that can be read")
            body = bytearray()
            for piece in answer.iter_content(1 << 16):
                body += piece
                if len(body) > LARGEST_ANSWER:
                    raise ValueError(f"an answer of more than {LARGEST_ANSWER} bytes")
        if body.count(b",") > MOST_VALUES and commas(bytes(body)) > MOST_VALUES:
            raise ValueError(f"an answer of more than {MOST_VALUES} values")
        try:
            page: dict[str, list[dict[str, Any]]] = self._page.validate_json(bytes(body))
        except ValidationError as error:
            raise ValueError(f"not an answer to look-ups: {error.errors()[0]['msg']}") from None
        if len({item["id"] for item in page["items"]}) < len(page["items"]):
            raise ValueError("an answer with one id twice")
        return page["items"]

    def _failed(self, error: Exception) -> None:
        """Count a failed attempt. Its connections are dropped: the others may lead to the same dead end."""
        self._breaker.failed()
        self._attempts["failed"].inc()
        log.warning("look-up of %s failed: %s", self.name, str(error)[:300])
        self._drop_connections()

    def _follow_address(self) -> None:
        """Drop the pooled connections when the name has got another address, as a recreated container does."""
        if self._resolving or time.monotonic() - self._resolved_at < RESOLVE_EVERY_S:
            return
        self._resolving = gevent.spawn(self._resolve)
        self._resolving.join(RESOLVE_PATIENCE_S)

    def _resolve(self) -> None:
        host = urlsplit(self._url)
        with suppress(OSError):  # then the attempt itself will fail and say why
            addresses = sorted(socket.getaddrinfo(host.hostname, host.port, type=socket.SOCK_STREAM))
            if self._addresses and addresses != self._addresses:
                log.info("%s has another address now", self.name)
                self._drop_connections()
            self._addresses = addresses
        self._resolved_at = time.monotonic()

    def _drop_connections(self) -> None:
        self._session.close()
        self._session = Session()


class Round:
    """Look-ups that are made together."""

    def __init__(self) -> None:
        self.users: set[int] = set()
        self.products: set[int] = set()
        self.request_ids: list[str] = []
        self.done = AsyncResult()

    def is_full(self) -> bool:
        return len(self.users) + len(self.products) >= MOST_IN_ROUND


class Lookups:
    """Look-ups of users and products, coalesced."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        attempts = Counter("lookup_attempts", "Requests to other services.", ("service", "outcome"), registry=registry)
        self._orders = Histogram(
            "lookup_round_requests", "Requests that shared a round of look-ups.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512), registry=registry,
        )  # fmt: skip
        self._users = Remote("users", settings.users_url, UserPage, settings, attempts)
        self._products = Remote("products", settings.products_url, ProductPage, settings, attempts)
        self._patience = 2 * settings.lookup_timeout + 1  # the round before, and one's own
        self._waiting: deque[Round] = deque()
        self._wakeup = Event()
        gevent.spawn(self._run)

    def fetch(self, users: Collection[int], products: Collection[int]) -> tuple[Found, Found]:
        """Those of the given users and products that exist now, each by id.

        Raises:
            Problem: `dependency-unavailable`: one that was asked for could not be asked.
        """
        if not users and not products:
            return {}, {}
        if not self._waiting or self._waiting[-1].is_full():
            self._waiting.append(Round())
        mine = self._waiting[-1]
        mine.users.update(users)
        mine.products.update(products)
        mine.request_ids.append(current_request_id.get())
        self._wakeup.set()
        try:
            outcomes: tuple[Found, Found] = mine.done.get(timeout=self._patience)
        except gevent.Timeout:
            raise Problem("dependency-unavailable", "The look-ups take too long. Nothing was written.") from None
        for asked, outcome in zip((users, products), outcomes, strict=True):
            if asked and isinstance(outcome, Unavailable):
                raise Problem("dependency-unavailable", f"{outcome}. Nothing was written.")
        return outcomes

    def _run(self) -> None:
        while True:
            if not self._waiting:
                self._wakeup.clear()
                self._wakeup.wait()
            now = self._waiting.popleft()
            self._orders.observe(len(now.request_ids))
            request_id = now.request_ids[0]
            users = gevent.spawn(attempt, self._users, now.users, request_id)
            products = attempt(self._products, now.products, request_id)
            now.done.set((users.get(), products))


def attempt(remote: Remote, ids: Collection[int], request_id: str) -> Found | Unavailable:
    """What `remote` answers for `ids`, or why it could not be asked."""
    current_request_id.set(request_id)  # what is logged of it bears it
    if not ids:
        return {}
    try:
        return remote.get(ids, request_id)
    except Unavailable as unavailable:
        return unavailable
    except Exception as error:  # a defect here must not end the rounds
        log.exception("look-up of %s broke", remote.name)
        return Unavailable(f"{remote.name} could not be asked ({type(error).__name__})")


def chunks(ids: list[int]) -> Iterator[list[int]]:
    """`ids` in pieces that fit into one request, by count and by length."""
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
