"""The sample data: the scenario's users and products, an order of each pair, and a few writes that must be refused."""

from collections.abc import Iterable
from typing import Any

from gevent.pool import Pool

from .actions import ABSENT_ID
from .operation import Op
from .sender import Sender
from .virtual_user import VirtualUser
from .workload import OwnUser, Workload

STOCK_IS_FOR = 10_000  # writes: what a scenario says of the stock grows and shrinks with the load
TRIES = 5  # of the very first write of each service, each with the retries of a virtual user


class SampleFailed(Exception):
    """The first row of a service could not be inserted: nothing after it could be audited."""


def insert(sender: Sender) -> list[Op]:
    """Insert the sample data concurrently; return the writes in the order in which they were begun.

    The first write of each service goes alone, before all else of the run. Ids only grow, so nothing of this
    run has a smaller one: the read-back begins there, and not at the first row of a database that is years old.

    Raises:
        SampleFailed: a first write was refused, or its outcome stayed unknown.
    """
    workload = sender.workload
    virtual_user = VirtualUser(sender)

    def send(ops: Iterable[Op]) -> None:
        pool = Pool()
        try:
            for op in ops:
                pool.spawn(virtual_user.attempt, op)
            pool.join(raise_error=True)
        finally:
            pool.kill()

    def first(op: Op) -> Op:
        for _ in range(TRIES):
            virtual_user.attempt(op)
            if op.fate == "ok":
                break
        if op.answer is None:
            reason = f" ({failure})" if op.last and (failure := op.failure(op.last)) else ""
            raise SampleFailed(f"the first write to {op.service} was not acknowledged{reason}")
        workload.first_ids[op.service] = op.answer.body["id"]
        return op

    def user(name: str, place: int = 0) -> Op:
        first_name = "".join(filter(str.isalnum, name.split()[0])).lower()[:40] or "user"
        email = f"{first_name}.{workload.mark}.s{place}@example.com"
        return workload.write_op("users", "sample", {"name": name, "email": email})

    def product(name: str, price: str, stock: int | None) -> Op:
        body: dict[str, Any] = {"name": f"{name} {workload.mark}", "price": price}
        if stock is not None:
            body["stock"] = scaled(stock, workload.budget.limit)
        return workload.write_op("products", "sample", body)

    def order(user_id: int, product_id: int, quantity: int, expects: str = "ok") -> Op:
        body = {"user_id": user_id, "product_id": product_id, "quantity": quantity}
        return workload.write_op("orders", "sample", body, expects)

    people, goods = workload.scenario.users, workload.scenario.products
    users, products = [first(user(people[0]))], [first(product(*goods[0]))]
    orders = [first(order(_id(users[0]), _id(products[0]), 1))]
    taken = {"name": f"{people[0].split()[0]} Again", "email": capitals(users[0].body["email"])}
    refused = [
        workload.write_op("users", "sample", taken, "duplicate-email"),
        workload.write_op(
            "products", "sample", {"name": f"Free money {workload.mark}", "price": "-5.00"}, "validation"
        ),
        order(ABSENT_ID, _id(products[0]), 1, "unknown-reference"),
    ]
    users += [user(name, place) for place, name in enumerate(people[1:], start=1)]
    products += [product(*each) for each in goods[1:]]
    send([*users[1:], *products[1:], *refused])
    pairs = zip(users[1:], products[1:], strict=False)
    orders += [
        order(_id(u), _id(p), 1 if "stock" in p.body else quantity)
        for quantity, (u, p) in enumerate(pairs, start=2)
        if u.answer and p.answer
    ]
    send(orders[1:])
    scenario = workload.scenario
    # A hot user's quantities begin after those of the sample's orders: no two of its orders are equal.
    workload.hot_users = [OwnUser(_id(each), len(orders)) for each in users[: scenario.hot_users] if each.answer]
    hot = products[: scenario.hot_products]
    workload.hot_products = [_id(each) for each in hot if each.answer and "stock" not in each.body]
    workload.stocked = [each for each in products if "stock" in each.body]
    find_limited(workload)
    return [*users, *products, *orders, *refused]


def find_limited(workload: Workload) -> None:
    """Note the limited products that were acknowledged so far; the load may have settled some since."""
    workload.limited = [_id(each) for each in workload.stocked if each.answer]


def capitals(email: str) -> str:
    """Return an address in capitals, as far as case folding is sure to undo that: it makes another letter of an ı."""
    return "".join(letter.upper() if letter.isascii() else letter for letter in email)


def scaled(stock: int, writes: int | None) -> int:
    """Return the stock of a product for a load of so many writes; None: any number, as for STOCK_IS_FOR."""
    return stock if writes is None else max(1, round(stock * writes / STOCK_IS_FOR))


def describe(op: Op) -> tuple[str, str, str]:
    """Return a write of the sample data in words: the row, the status, and the id or the problem."""
    body: dict[str, Any] = op.body
    match op.service:
        case "users":
            row = f"user {body['name']} <{body['email']}>"
        case "products":
            row = f"product {body['name']} at {body['price']}"
            if "stock" in body:
                row += f", {body['stock']:,} in stock"
        case _:
            row = f"order of user {body['user_id']}: {body['quantity']} x product {body['product_id']}"
    if op.answer:
        return row, str(op.answer.status), f"id {op.answer.body['id']}"
    if op.last is None or not op.last.status:
        return row, "-", "no answer yet"
    return row, str(op.last.status), op.last.problem or "no problem type"


def _id(op: Op) -> int:
    """Return the id that a write was given."""
    assert op.answer is not None
    return int(op.answer.body["id"])
