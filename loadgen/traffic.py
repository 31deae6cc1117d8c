"""What shoppers do. Each kind of action is a function; the scenario says how often each is chosen."""

import random
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.pool import Group

from .client import Client
from .ledger import Answer, Op
from .run import OwnUser

ABSENT_ID = 9_000_000_000_000_000  # ids from here on surely belong to nothing
MOST_ORDERS = 10_000  # of one user: their quantities are 1, 2, 3 ..., and 10,000 is the largest allowed
KEPT = 20  # users, products and writes that a shopper remembers, so that memory does not grow with the run
RETRIES = 2  # at once, of a write without an answer; the rest is left until the load has ended
RETRY_PAUSE_S = (0.05, 0.2)  # before such a retry, at random: those that failed together do not return together
BACK_OFF_S = (0.3, 1.0)  # after a try that was not served: a shopper must not hammer a service that is down
BATCH_ITEMS = (3, 8)
RACERS = 4  # concurrent PATCHes of one product

FIRST_NAMES = ("Ada", "Alan", "Barbara", "Donald", "Edsger", "Frances", "Grace", "Katherine", "Niklaus", "Zoë")
LAST_NAMES = ("Allen", "Dijkstra", "Hopper", "Johnson", "Knuth", "Liskov", "Lovelace", "Noether", "Turing", "Wirth")
GOODS = ("Green tea", "Coffee beans", "Notebook", "Fountain pen", "Desk lamp", "Headphones", "Backpack", "Umbrella")


class OutOfWrites(Exception):
    """The budget of writes is used up: the shopper may leave."""


class Shopper:
    """One simulated shopper: what it owns and remembers, and the means to act."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.run = client.run
        self.users: deque[OwnUser] = deque(maxlen=KEPT)
        self.products: deque[int] = deque(maxlen=KEPT)
        self.recent: deque[Op] = deque(maxlen=KEPT)  # acknowledged writes
        self.due: float | None = None  # when the next request has or had to be sent, in an open load

    def attempt(self, op: Op, action: str | None = None) -> Answer:
        """Send an operation as a good client does: again with the same key where no answer came."""
        due, self.due = self.due, None
        answer = self.client.send(op, action, due)
        for _ in range(RETRIES):
            if answer.outcome != "unknown" or op.method == "GET":
                break
            gevent.sleep(random.uniform(*RETRY_PAUSE_S))
            answer = self.client.send(op, action)
        if answer.outcome == "unknown" or answer.status >= 500:
            gevent.sleep(random.uniform(*BACK_OFF_S))
        return answer

    def write(self, service: str, action: str, body: Any, expects: str = "ok", number: int | None = None) -> Op:
        """Make one write and remember what came of it.

        Raises:
            OutOfWrites: no more may be made.
        """
        self.claim()
        return self.finish(self.run.write_op(service, action, body, expects, number=number))

    def claim(self, wanted: int = 1) -> int:
        """Take up to `wanted` writes from the budget. Raises OutOfWrites: none is left."""
        if not (granted := self.run.take(wanted)):
            raise OutOfWrites
        return granted

    def finish(self, op: Op) -> Op:
        """Send an operation and remember it, and what it made, if it was acknowledged."""
        self.attempt(op)
        self.remember(op)
        return op

    def remember(self, op: Op) -> None:
        """Keep an acknowledged write, and the users and products that it made, for later actions."""
        if op.answer is None:
            return
        self.recent.append(op)
        made = [op.answer.body]
        if isinstance(op.expects, list):
            made = [result["item"] for result in op.answer.body["results"] if result["status"] == 201]
        if op.service == "users":
            self.users.extend(OwnUser(item["id"]) for item in made)
        elif op.service == "products":
            self.products.extend(item["id"] for item in made)

    def at_once(self, actions: Iterable[Callable[[], Any]]) -> None:
        """Do several things concurrently; those still going are stopped where this shopper is stopped."""
        group = Group()
        try:
            for action in actions:
                group.spawn(action)
            group.join(raise_error=True)
        finally:
            group.kill()

    def own_user(self) -> OwnUser | None:
        """A user to order for, hot or of one's own; makes one where there is none. None: that did not succeed."""
        while self.users and self.users[-1].orders >= MOST_ORDERS:
            self.users.pop()
        hot = self.run.hot_users
        if hot and random.random() < self.run.scenario.hot_user_share:
            user = random.choice(hot)
            if user.orders < MOST_ORDERS:
                return user
            hot.remove(user)
        if not self.users:
            create_user(self)
        return random.choice(self.users) if self.users else None

    def some_product(self) -> int | None:
        """A product to order: one that all shoppers want, or one of its own. None: there is none."""
        hot = random.random() < self.run.scenario.hot_product_share or not self.products
        pool = (self.run.hot_products if hot else self.products) or self.run.hot_products or self.products
        return random.choice(pool) if pool else None

    def new_user(self, tag: str) -> dict[str, Any]:
        """The body of a user; `tag` makes the e-mail unique and says which write it belongs to."""
        first, last = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
        return {"name": f"{first} {last}", "email": f"{first.lower()}.{self.run.mark}.{tag}@example.com"}

    def new_product(self, tag: str) -> dict[str, Any]:
        """The body of a product; `tag` makes the name unique. The price comes in each form that is allowed."""
        price: str | int | float = f"{random.randrange(100_000)}.{random.randrange(100):02}"
        form = random.random()
        if form < 0.1:
            price = random.randrange(1_000_000)
        elif form < 0.2:
            price = random.randrange(1_000_000) / 100  # as JSON the shortest decimal that is this number
        return {"name": f"{random.choice(GOODS)} {self.run.mark}-{tag}", "price": price}

    def new_order(self) -> dict[str, Any] | None:
        """The body of an order that no other order equals. None: there is no user or product to order with."""
        user, product = self.own_user(), self.some_product()
        if user is None or product is None:
            return None
        return {"user_id": user.id, "product_id": product, "quantity": user.next_quantity()}


def create_user(shopper: Shopper) -> Op:
    number = shopper.run.next_number()
    return shopper.write("users", "create_user", shopper.new_user(str(number)), number=number)


def create_product(shopper: Shopper) -> Op:
    number = shopper.run.next_number()
    return shopper.write("products", "create_product", shopper.new_product(str(number)), number=number)


def create_order(shopper: Shopper) -> Op | None:
    body = shopper.new_order()
    return shopper.write("orders", "create_order", body) if body else None


def batch_users(shopper: Shopper) -> None:
    number = shopper.run.next_number()
    items = [(shopper.new_user(f"{number}.{place}"), "ok") for place in range(random.randint(*BATCH_ITEMS))]
    if random.random() < 0.5:
        items[1] = ({"name": " ", "email": items[1][0]["email"]}, "validation")
    _batch(shopper, "users", items, number)


def batch_products(shopper: Shopper) -> None:
    number = shopper.run.next_number()
    items = [(shopper.new_product(f"{number}.{place}"), "ok") for place in range(random.randint(*BATCH_ITEMS))]
    if random.random() < 0.5:
        items[1] = ({"name": items[1][0]["name"], "price": "1.999"}, "validation")
    _batch(shopper, "products", items, number)


def batch_orders(shopper: Shopper) -> None:
    bodies = [shopper.new_order() for _ in range(random.randint(*BATCH_ITEMS))]
    items = [(body, "ok") for body in bodies if body]
    if items and random.random() < 0.5:
        items[-1] = (items[-1][0] | {"product_id": ABSENT_ID + shopper.run.next_number()}, "unknown-reference")
    if items:
        _batch(shopper, "orders", items, shopper.run.next_number())


def _batch(shopper: Shopper, service: str, items: list[tuple[dict[str, Any], str]], number: int) -> None:
    """Send a batch, cut to what is left of the budget; each item is a write of its own."""
    items = items[: shopper.claim(len(items))]
    body = {"items": [body for body, _ in items]}
    expects = [expected for _, expected in items]
    shopper.finish(shopper.run.write_op(service, f"batch_{service}", body, expects, number=number))


def read_own(shopper: Shopper) -> None:
    """Write, and look at once where the answer says that it is."""
    op = random.choice((create_user, create_product, create_order))(shopper)
    if op and op.answer:
        path = op.answer.location or f"/{op.service}/{op.answer.body['id']}"
        shopper.attempt(shopper.run.read_op(op.service, "read_own", path, reads=(op.number, 0)))


def browse(shopper: Shopper) -> None:
    service, path = random.choice(
        (
            ("users", f"/users?limit=20&after={shopper.run.first_ids['users'] - 1}"),
            ("products", f"/products?limit=20&after={random.choice(shopper.products or [0])}"),
            ("orders", "/orders?limit=10&expand=user,product"),
            ("orders", f"/orders?limit=10&user_id={shopper.users[-1].id if shopper.users else 1}&expand=product"),
            ("orders", f"/orders?limit=10&product_id={random.choice(shopper.run.hot_products or [1])}"),
        )
    )
    shopper.attempt(shopper.run.read_op(service, "browse", path))


def retry_same_key(shopper: Shopper) -> None:
    """Send an acknowledged write again, as a client does that lost the answer: it must be answered, not done, again."""
    if not shopper.recent:
        create_user(shopper)
    if shopper.recent:
        shopper.attempt(random.choice(shopper.recent), "retry_same_key")


def race_same_key(shopper: Shopper) -> None:
    """The same new write twice at once: made once, answered twice."""
    body = shopper.new_order()
    if body is None:
        return
    shopper.claim()
    op = shopper.run.write_op("orders", "race_same_key", body)
    shopper.at_once([lambda: shopper.attempt(op), lambda: shopper.attempt(op)])
    shopper.remember(op)


def race_same_email(shopper: Shopper) -> None:
    """Two users whose e-mails are equal but for case and Unicode form, at once: one may win."""
    number = shopper.run.next_number()
    body = shopper.new_user(str(number))
    body["email"] = f"zoë.{shopper.run.mark}.{number}@example.com"
    other = body | {"email": unicodedata.normalize("NFD", body["email"].upper())}
    claimed = shopper.claim(2)
    ops = [
        shopper.run.write_op("users", "race_same_email", each, "any", number=own)
        for each, own in ((body, number), (other, None))
    ]
    shopper.at_once([lambda op=op: shopper.finish(op) for op in ops[:claimed]])  # type: ignore[misc]


def race_patch(shopper: Shopper) -> None:
    """Concurrent changes of one product, all against the same version: one may win; sometimes again on the new one."""
    if not shopper.run.hot_products:
        return
    product = random.choice(shopper.run.hot_products)
    etag = shopper.attempt(shopper.run.read_op("products", "read_version", f"/products/{product}")).etag
    for _ in range(random.choice((1, 1, 2))):
        if etag is None:
            return
        prices = random.sample(range(1, 10_000_000), shopper.claim(RACERS))
        ops = [
            shopper.run.patch_op("products", "race_patch", product, {"price": f"{p // 100}.{p % 100:02}"}, etag)
            for p in prices
        ]
        shopper.at_once([lambda op=op: shopper.attempt(op) for op in ops])  # type: ignore[misc]
        etag = next((op.answer.etag for op in ops if op.answer), None)


def order_unknown_user(shopper: Shopper) -> None:
    product = shopper.some_product() or 1
    body = {"user_id": ABSENT_ID + shopper.run.next_number(), "product_id": product, "quantity": 1}
    shopper.write("orders", "order_unknown_user", body, "unknown-reference")


def order_unknown_product(shopper: Shopper) -> None:
    body = shopper.new_order()
    if body:
        body["product_id"] = ABSENT_ID + shopper.run.next_number()
        shopper.write("orders", "order_unknown_product", body, "unknown-reference")


def invalid_user(shopper: Shopper) -> None:
    number = shopper.run.next_number()
    good = shopper.new_user(str(number))
    wrong: list[dict[str, Any]] = [
        {"name": ""},
        {"name": "x" * 201},
        {"name": None},
        {"email": good["email"].replace("@", ".")},
        {"email": f"@{good['email']}"},
        {"admin": True},
    ]
    shopper.write("users", "invalid_user", good | random.choice(wrong), "validation", number=number)


def invalid_price(shopper: Shopper) -> None:
    number = shopper.run.next_number()
    price = random.choice(("-1.00", -1, "1000000.01", "19.999", 0.001, "1e2", "ten", "", None, True))
    body = shopper.new_product(str(number)) | {"price": price}
    shopper.write("products", "invalid_price", body, "validation", number=number)


def invalid_quantity(shopper: Shopper) -> None:
    body = shopper.new_order()
    if body:
        body["quantity"] = random.choice((0, -1, 10_001, 1.5, None))
        shopper.write("orders", "invalid_quantity", body, "validation")


KINDS: dict[str, Callable[[Shopper], Any]] = {
    kind.__name__: kind
    for kind in (
        create_order, create_user, create_product, batch_users, batch_products, batch_orders, read_own, browse,
        retry_same_key, race_same_key, race_same_email, race_patch, order_unknown_user, order_unknown_product,
        invalid_user, invalid_price, invalid_quantity,
    )
}  # fmt: skip
