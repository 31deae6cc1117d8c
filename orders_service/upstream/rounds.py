"""Coalesced look-ups: all orders that wait at the same moment share one round.

A round starts when the one before has ended, so its size follows the load without a timer. Nothing is cached: an
answer is never older than its question. Units of limited products are reserved in the same round.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

import gevent
from gevent.event import AsyncResult, Event
from prometheus_client import CollectorRegistry

from service_common.event_loop import let_others_run
from service_common.http import problem_kinds as kinds
from service_common.http.problems import Problem
from service_common.telemetry.current_span import current_span
from service_common.telemetry.request_id import request_id as current_request_id

from ..settings import OrdersSettings
from .attempts import Attempts, Item
from .client import Found, Remote, Unanswered, log
from .metrics import LookupMetrics
from .pages import ProductPage, UserPage
from .reservations import Reservations

if TYPE_CHECKING:
    from service_common.telemetry.tracing.span import Shared, Span

MOST_IN_ROUND = 5000  # ids: a dozen requests, done well within the deadline; later orders take the next round
MOST_RELEASED = 1000  # tokens, which products accepts in one call; one batch has fewer
MOST_GUESSES = 100_000  # products remembered as limited; one that is not only costs a call more


Outcomes = tuple[Found | Unanswered, Found | Unanswered]  # of the users and of the products


class Round:
    """Look-ups that are made together."""

    def __init__(self, patience: float) -> None:
        """`patience` is how long, in seconds, it may take in all."""
        self.users: set[int] = set()
        self.products: set[int] = set()
        self.items: list[Item] = []  # whose products are looked up, and reserved if limited
        self.release: list[str] = []  # tokens, before anything is reserved
        self.request_ids: list[str] = []
        self.spans: list[Span] = []  # of the requests that are traced
        self.done = AsyncResult()
        late = Unanswered("The look-ups take too long")
        self._expiry = gevent.spawn_later(patience, self.done.set, (late, late))  # one timer for all who wait

    def end(self, outcomes: Outcomes) -> None:
        """Hand the outcomes to all who wait."""
        self._expiry.kill(block=False)
        self.done.set(outcomes)

    def is_full(self, released: int) -> bool:
        """Return True where orders that release so many tokens must take the next round."""
        asked = len(self.users) + len(self.products) + len(self.items)
        return asked >= MOST_IN_ROUND or len(self.release) + released > MOST_RELEASED


class Lookups:
    """Look-ups of users and products, in rounds."""

    def __init__(
        self, settings: OrdersSettings, attempts: Attempts, reservations: Reservations, registry: CollectorRegistry
    ) -> None:
        self._metrics = metrics = LookupMetrics(registry, self._circuits)
        self._users = Remote("users", settings.users_url, UserPage, settings, metrics)
        self._products = Remote("products", settings.products_url, ProductPage, settings, metrics)
        self.aside = Remote("products", settings.products_url, ProductPage, settings, metrics)  # delays no round
        self._attempts = attempts
        self._reservations = reservations
        self._patience = 2 * settings.lookup_timeout + 1  # the round before, and one's own
        self._limited: dict[int, None] = {}  # products that had a limit when last seen: a guess
        self._waiting: deque[Round] = deque()
        self._wakeup = Event()
        gevent.spawn(self._run)

    def _circuits(self) -> dict[tuple[str, ...], float]:
        """Return whether the circuit to each service is open."""
        return {(remote.name,): remote.breaker.is_open() for remote in (self._users, self._products)}

    def fetch(
        self,
        users: Collection[int],
        products: Collection[int],
        items: Sequence[Item] = (),
        release: Sequence[str] = (),
    ) -> tuple[Found, Found]:
        """Return those of the given users and products that exist now, each by id; the products of `items`, too.

        Units of `items` whose products are limited are reserved, after those of `release` have been given back.

        Raises:
            Problem: `dependency-unavailable`: a service that was needed gave no answer.
        """
        if not (users or products or items):
            return {}, {}
        if not self._waiting or self._waiting[-1].is_full(len(release)):
            self._waiting.append(Round(self._patience))
        mine = self._waiting[-1]
        mine.users.update(users)
        mine.products.update(products)
        mine.items += items
        mine.release += release
        mine.request_ids.append(current_request_id.get())
        if (span := current_span.get()) is not None:
            mine.spans.append(span.child("look-ups"))
        self._wakeup.set()
        outcomes: tuple[Found, Found] = mine.done.get()
        for asked, outcome in zip((users, products or items), outcomes, strict=True):
            if asked and isinstance(outcome, Unanswered):
                raise Problem(kinds.DEPENDENCY_UNAVAILABLE, f"{outcome}. Nothing was written.")
        return outcomes

    def _run(self) -> None:
        while True:
            if not self._waiting:
                self._wakeup.clear()
                self._wakeup.wait()
            let_others_run()  # so that all orders that have arrived are in the round
            now = self._waiting.popleft()
            began = time.monotonic()
            self._metrics.round_requests.observe(len(now.request_ids))
            request_id = now.request_ids[0]
            shared = trace(now) if now.spans else None
            span = shared.first if shared is not None else None
            users = gevent.spawn(ask, self._users, now.users, request_id, span)
            products = answered("products", request_id, partial(self._ask_products, now, request_id), span)
            outcomes = users.get(), products
            if shared is not None:
                shared.end(next((each for each in outcomes if isinstance(each, Unanswered)), None))
            now.end(outcomes)
            self._metrics.round_seconds.observe(time.monotonic() - began)

    def _ask_products(self, now: Round, request_id: str) -> Found:
        """Look up the products of a round, and reserve. Raises Unanswered.

        A limited product that was not known as such is asked for twice. So a round of unlimited ones writes nothing.
        """
        items = [item for item in now.items if not item.attempt.is_over]
        plain = now.products | {item.product_id for item in items}
        can_reserve = self._limited and self._attempts.owner is not None
        limited = (plain & self._limited.keys()) - self._attempts.stopped if can_reserve else set()
        reserve = [item for item in items if item.product_id in limited]
        if reserve or now.release:
            plain -= {item.product_id for item in reserve}
            found = self._reservations.exchange(self._products, plain, reserve, now.release, request_id)
        else:
            found = self._products.get(plain, request_id) if plain else {}
        if (learnt := self._learn(found) - limited - self._attempts.stopped) and self._attempts.owner is not None:
            reserve = [item for item in items if item.product_id in learnt and not item.attempt.is_over]
            if reserve:
                found |= self._reservations.exchange(self._products, (), reserve, (), request_id)
        return found

    def _learn(self, found: Found) -> set[int]:
        """Note which products are limited, and return these."""
        limited = {id for id, product in found.items() if product.get("stock") is not None}
        if self._limited:
            for id in found:
                self._limited.pop(id, None)
        if limited:
            self._limited |= dict.fromkeys(limited)
            while len(self._limited) > MOST_GUESSES:
                del self._limited[next(iter(self._limited))]
        return limited


def trace(now: Round) -> "Shared":
    """Note in the spans of a round that it begins."""
    from service_common.telemetry.tracing.span import Shared

    shared = Shared(now.spans, {"threefold.round.size": len(now.request_ids)})
    for span in now.spans:
        span.event("round begins")
    return shared


def ask(remote: Remote, ids: Collection[int], request_id: str, span: "Span | None" = None) -> Found | Unanswered:
    """Return what `remote` answers for `ids`, or why it gave no answer."""
    if not ids:
        return {}
    return answered(remote.name, request_id, partial(remote.get, ids, request_id), span)


def answered(name: str, request_id: str, call: Callable[[], Found], span: "Span | None" = None) -> Found | Unanswered:
    """Return the result of a call, or why there is none. Log lines carry `request_id`, requests are parts of `span`."""
    current_request_id.set(request_id)
    current_span.set(span)
    try:
        return call()
    except Unanswered as unanswered:
        return unanswered
    except Exception:  # a defect here must not end the rounds
        log.exception("look-up of %s broke", name)
        return Unanswered(f"{name} could not be asked")
