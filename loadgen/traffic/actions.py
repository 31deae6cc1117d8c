"""The kinds of action. Each is a function of a virtual user; the scenario says how often each is chosen."""

import random
import unicodedata
from collections.abc import Callable
from typing import Any, NamedTuple

from .operation import Op
from .virtual_user import VirtualUser
from .workload import MOST_UNITS

ABSENT_ID = 9_000_000_000_000_000  # no row has this id or a larger one
BATCH_ITEMS = (3, 8)
RACERS = 4  # concurrent PATCHes of one product
STOCK_CHANGES = (30, 30, 5, 1, -1, -20)  # units; more are added than taken away


class NewOrder(NamedTuple):
    """The body of an order that no other order equals, and what must become of it."""

    body: dict[str, Any]
    expects: str = "ok"


def new_order(user: VirtualUser) -> NewOrder | None:
    """Return a new order. None: there is no user or product to order with."""
    limited = user.workload.limited
    if limited and random.random() < user.workload.scenario.limited_share:
        own = user.limited_user(create_user)
        if own is None:
            return None
        product, quantity = own.next_limited(limited)
        return NewOrder({"user_id": own.id, "product_id": product, "quantity": quantity}, "any")  # who is first decides
    own, some = user.own_user(create_user), user.some_product()
    if own is None or some is None:
        return None
    return NewOrder({"user_id": own.id, "product_id": some, "quantity": own.next_quantity()})


def create_user(user: VirtualUser) -> Op:
    number = user.workload.next_number()
    return user.write("users", "create_user", user.new_user(str(number)), number=number)


def create_product(user: VirtualUser) -> Op:
    number = user.workload.next_number()
    return user.write("products", "create_product", user.new_product(str(number)), number=number)


def create_order(user: VirtualUser) -> Op | None:
    new = new_order(user)
    return user.write("orders", "create_order", new.body, new.expects) if new else None


def batch_users(user: VirtualUser) -> None:
    number = user.workload.next_number()
    items = [(user.new_user(f"{number}.{place}"), "ok") for place in range(random.randint(*BATCH_ITEMS))]
    if random.random() < 0.5:
        items[1] = ({"name": " ", "email": items[1][0]["email"]}, "validation")
    _batch(user, "users", items, number)


def batch_products(user: VirtualUser) -> None:
    number = user.workload.next_number()
    items = [(user.new_product(f"{number}.{place}"), "ok") for place in range(random.randint(*BATCH_ITEMS))]
    if random.random() < 0.5:
        items[1] = ({"name": items[1][0]["name"], "price": "1.999"}, "validation")
    _batch(user, "products", items, number)


def batch_orders(user: VirtualUser) -> None:
    news = [new_order(user) for _ in range(random.randint(*BATCH_ITEMS))]
    items = [(new.body, new.expects) for new in news if new]
    if items and random.random() < 0.5:
        absent = random.choice(("user_id", "product_id"))
        items[-1] = (items[-1][0] | {absent: ABSENT_ID + user.workload.next_number()}, "unknown-reference")
    if items:
        _batch(user, "orders", items, user.workload.next_number())


def add_stock(user: VirtualUser) -> None:
    """Add units to a limited product, or take some away, which is refused where fewer are left."""
    if user.workload.limited:
        user.claim()
        units = random.choice(STOCK_CHANGES)
        user.finish(user.workload.stock_op(random.choice(user.workload.limited), units))


def _batch(user: VirtualUser, service: str, items: list[tuple[dict[str, Any], str]], number: int) -> None:
    """Send a batch, cut to what is left of the budget; each item is a write of its own."""
    items = items[: user.claim(len(items))]
    body = {"items": [body for body, _ in items]}
    expects = [expected for _, expected in items]
    user.finish(user.workload.write_op(service, f"batch_{service}", body, expects, number=number))


def read_own(user: VirtualUser) -> None:
    """Write, and at once read what the answer points to."""
    op = random.choice((create_user, create_product, create_order))(user)
    if op and op.answer:
        path = op.answer.location or f"/{op.service}/{op.answer.body['id']}"
        user.attempt(user.workload.read_op(op.service, "read_own", path, reads=(op.number, 0)))


def browse(user: VirtualUser) -> None:
    service, path = random.choice(
        (
            ("users", f"/users?limit=20&after={user.workload.first_ids['users'] - 1}"),
            ("products", f"/products?limit=20&after={random.choice(user.products or [0])}"),
            ("orders", "/orders?limit=10&expand=user,product"),
            ("orders", f"/orders?limit=10&user_id={user.users[-1].id if user.users else 1}&expand=product"),
            ("orders", f"/orders?limit=10&product_id={random.choice(user.workload.hot_products or [1])}"),
        )
    )
    user.attempt(user.workload.read_op(service, "browse", path))


def retry_same_key(user: VirtualUser) -> None:
    """Send an acknowledged write again, as a client does that lost the answer: it must be answered, not made, again."""
    if not user.acknowledged:
        create_user(user)
    if user.acknowledged:
        user.attempt(random.choice(user.acknowledged), "retry_same_key")


def retry_refused(user: VirtualUser) -> None:
    """Send a refused write again with its key: the refusal is stored under it, so the same one must come."""
    if not user.refused:
        order_unknown_user(user, "create_order")
    if user.refused:
        user.attempt(random.choice(user.refused), "retry_refused")


def race_same_key(user: VirtualUser) -> None:
    """The same new write twice at once: made once, answered twice."""
    new = new_order(user)
    if new is None:
        return
    user.claim()
    op = user.workload.write_op("orders", "race_same_key", new.body, new.expects)
    user.at_once([lambda: user.attempt(op), lambda: user.attempt(op)])
    user.remember(op)


def race_same_email(user: VirtualUser) -> None:
    """Two users at once, whose e-mails differ only by case and Unicode form: one may win."""
    number = user.workload.next_number()
    body = user.new_user(str(number))
    body["email"] = f"zoë.{user.workload.mark}.{number}@example.com"
    other = body | {"email": unicodedata.normalize("NFD", body["email"].upper())}
    claimed = user.claim(2)
    ops = [
        user.workload.write_op("users", "race_same_email", each, "any", number=own)
        for each, own in ((body, number), (other, None))
    ]
    user.at_once([lambda op=op: user.finish(op) for op in ops[:claimed]])  # type: ignore[misc]


def race_patch(user: VirtualUser) -> None:
    """Concurrent changes of one version of a product: one may win. Sometimes again, on the new version."""
    shared = user.workload.hot_products + user.workload.limited  # a sale must not count as a change of the product
    if not shared:
        return
    product = random.choice(shared)
    etag = user.attempt(user.workload.read_op("products", "read_version", f"/products/{product}")).etag
    for _ in range(random.choice((1, 1, 2))):
        if etag is None:
            return
        prices = random.sample(range(1, 10_000_000), user.claim(RACERS))
        ops = [
            user.workload.patch_op("products", "race_patch", product, {"price": f"{p // 100}.{p % 100:02}"}, etag)
            for p in prices
        ]
        user.at_once([lambda op=op: user.attempt(op) for op in ops])  # type: ignore[misc]
        etag = next((op.answer.etag for op in ops if op.answer), None)


def order_unknown_user(user: VirtualUser, action: str = "order_unknown_user") -> None:
    """Order for a user who does not exist, sometimes of a limited product: its units must come back."""
    product = random.choice([user.some_product() or 1, *user.workload.limited])
    quantity = random.randint(1, MOST_UNITS)
    body = {"user_id": ABSENT_ID + user.workload.next_number(), "product_id": product, "quantity": quantity}
    user.write("orders", action, body, "unknown-reference")


def order_unknown_product(user: VirtualUser) -> None:
    new = new_order(user)
    if new:
        body = new.body | {"product_id": ABSENT_ID + user.workload.next_number()}
        user.write("orders", "order_unknown_product", body, "unknown-reference")


def invalid_user(user: VirtualUser) -> None:
    number = user.workload.next_number()
    good = user.new_user(str(number))
    wrong: list[dict[str, Any]] = [
        {"name": ""},
        {"name": "x" * 201},
        {"name": None},
        {"email": good["email"].replace("@", ".")},
        {"email": f"@{good['email']}"},
        {"admin": True},
    ]
    user.write("users", "invalid_user", good | random.choice(wrong), "validation", number=number)


def invalid_price(user: VirtualUser) -> None:
    number = user.workload.next_number()
    price = random.choice(("-1.00", -1, "1000000.01", "19.999", 0.001, "1e2", "ten", "", None, True))
    body = user.new_product(str(number)) | {"price": price}
    user.write("products", "invalid_price", body, "validation", number=number)


def invalid_quantity(user: VirtualUser) -> None:
    new = new_order(user)
    if new:
        body = new.body | {"quantity": random.choice((0, -1, 10_001, 1.5, None))}
        user.write("orders", "invalid_quantity", body, "validation")


KINDS: dict[str, Callable[[VirtualUser], Any]] = {
    kind.__name__: kind
    for kind in (
        create_order, create_user, create_product, batch_users, batch_products, batch_orders, add_stock, read_own,
        browse, retry_same_key, retry_refused, race_same_key, race_same_email, race_patch, order_unknown_user,
        order_unknown_product, invalid_user, invalid_price, invalid_quantity,
    )
}  # fmt: skip
