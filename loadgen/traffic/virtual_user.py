"""A virtual user: the rows that it made and remembers, and the means to act."""

import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.pool import Group

from ..audit.answers import DECIDED_BY_DATA
from .operation import Answer, Op
from .sender import Sender
from .workload import OwnUser

MOST_ORDERS = 10_000  # of one user: their quantities are 1, 2, 3 ..., and 10,000 is the largest allowed
KEPT = 20  # users, products and writes that a virtual user remembers, so that memory does not grow with the run
RETRIES = 2  # at once, of a write without an answer; the rest is left until the load has ended
HELD = "stock-held"  # others hold the units: worth another try, too
RETRY_PAUSE_S = (0.05, 0.2)  # before such a retry, at random: those that failed together do not return together
BACK_OFF_S = (0.3, 1.0)  # after a try that was turned away, so that a service that is down is not flooded
TURNED_AWAY = frozenset({401, 403, 429})  # and every 5xx

FIRST_NAMES = ("Ada", "Alan", "Barbara", "Donald", "Edsger", "Frances", "Grace", "Katherine", "Niklaus", "Zoë")
LAST_NAMES = ("Allen", "Dijkstra", "Hopper", "Johnson", "Knuth", "Liskov", "Lovelace", "Noether", "Turing", "Wirth")
GOODS = ("Green tea", "Coffee beans", "Notebook", "Fountain pen", "Desk lamp", "Headphones", "Backpack", "Umbrella")


class OutOfWrites(Exception):
    """The budget of writes is used up: the virtual user may stop."""


class VirtualUser:
    """One virtual user of a load."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.workload = sender.workload
        self.users: deque[OwnUser] = deque(maxlen=KEPT)
        self.products: deque[int] = deque(maxlen=KEPT)
        self.acknowledged: deque[Op] = deque(maxlen=KEPT)
        self.refused: deque[Op] = deque(maxlen=KEPT)  # under a key, by a decision that is stored
        self.scheduled: float | None = None  # the moment of the next request, in an open load

    def attempt(self, op: Op, action: str | None = None) -> Answer:
        """Send an operation as a good client does: again with the same key where no answer came."""
        scheduled, self.scheduled = self.scheduled, None
        answer = self.sender.send(op, action, scheduled)
        for _ in range(RETRIES):
            if op.method == "GET" or (answer.outcome != "unknown" and answer.problem != HELD):
                break
            gevent.sleep(random.uniform(*RETRY_PAUSE_S))
            answer = self.sender.send(op, action)
        if answer.outcome == "unknown" or answer.status >= 500 or answer.status in TURNED_AWAY:
            gevent.sleep(random.uniform(*BACK_OFF_S))
        return answer

    def write(self, service: str, action: str, body: Any, expects: str = "ok", number: int | None = None) -> Op:
        """Make one write and remember its outcome.

        Raises:
            OutOfWrites: no more may be made.
        """
        self.claim()
        return self.finish(self.workload.write_op(service, action, body, expects, number=number))

    def claim(self, wanted: int = 1) -> int:
        """Take up to `wanted` writes from the budget. Raises OutOfWrites: none is left."""
        if not (granted := self.workload.budget.take(wanted)):
            raise OutOfWrites
        return granted

    def finish(self, op: Op) -> Op:
        """Send an operation and remember its outcome."""
        self.attempt(op)
        self.remember(op)
        return op

    def remember(self, op: Op) -> None:
        """Keep a write whose outcome is known, and the users and products that it made, for later actions."""
        if op.answer is None:
            if op.key and op.last and op.last.problem in DECIDED_BY_DATA:
                self.refused.append(op)
            return
        self.acknowledged.append(op)
        made = [op.answer.body]
        if isinstance(op.expects, list):
            made = [result["item"] for result in op.answer.body["results"] if result["status"] == 201]
        if op.service == "users":
            self.users.extend(OwnUser(item["id"]) for item in made)
        elif op.service == "products" and not op.adds_stock:
            self.products.extend(item["id"] for item in made)

    def at_once(self, actions: Iterable[Callable[[], Any]]) -> None:
        """Do several things concurrently; stop those that are still going when this user is stopped."""
        group = Group()
        try:
            for action in actions:
                group.spawn(action)
            group.join(raise_error=True)
        finally:
            group.kill()

    def own_user(self, make: Callable[["VirtualUser"], Any]) -> OwnUser | None:
        """Return a user to order for, hot or one's own; `make` one where there is none. None: that failed."""
        for user in [each for each in self.users if each.orders >= MOST_ORDERS]:
            self.users.remove(user)
        hot = self.workload.hot_users
        if hot and random.random() < self.workload.scenario.hot_user_share:
            user = random.choice(hot)
            if user.orders < MOST_ORDERS:
                return user
            hot.remove(user)
        if not self.users:
            make(self)
        return random.choice(self.users) if self.users else None

    def limited_user(self, make: Callable[["VirtualUser"], Any]) -> OwnUser | None:
        """Return an own user who has not ordered all that one may of the limited products; `make` one where needed."""
        limited = self.workload.limited
        able = [user for user in self.users if user.may_order(limited)]
        if not able:
            make(self)
            able = [user for user in self.users if user.may_order(limited)]
        return random.choice(able) if able else None

    def some_product(self) -> int | None:
        """Return a product to order, hot or one's own. None: there is none."""
        shared = self.workload.hot_products
        hot = random.random() < self.workload.scenario.hot_product_share or not self.products
        pool = (shared if hot else self.products) or shared or self.products
        return random.choice(pool) if pool else None

    def new_user(self, tag: str) -> dict[str, Any]:
        """Return the body of a user; `tag` makes the e-mail unique and says which write it belongs to."""
        first, last = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
        return {"name": f"{first} {last}", "email": f"{first.lower()}.{self.workload.mark}.{tag}@example.com"}

    def new_product(self, tag: str) -> dict[str, Any]:
        """Return the body of a product; `tag` makes the name unique. The price takes every allowed form."""
        price: str | int | float = f"{random.randrange(100_000)}.{random.randrange(100):02}"
        form = random.random()
        if form < 0.1:
            price = random.randrange(1_000_000)
        elif form < 0.2:
            price = random.randrange(1_000_000) / 100  # as JSON the shortest decimal that is this number
        return {"name": f"{random.choice(GOODS)} {self.workload.mark}-{tag}", "price": price}
