"""The sample data: the scenario's users and products and an order of each pair, inserted concurrently, and a few
that must be refused."""

from collections.abc import Iterable
from typing import Any

from gevent.pool import Pool
from rich.console import Console
from rich.table import Table

from .client import Client
from .ledger import Op
from .run import OwnUser
from .traffic import ABSENT_ID, Shopper

TRIES = 5  # of the very first write of each service, each with the retries of a shopper


class SampleFailed(Exception):
    """The first row of a service could not be inserted: nothing after it could be audited."""


def insert(client: Client) -> list[Op]:
    """Insert the sample data; the writes in the order in which they were begun.

    The first write of each service goes alone, before all else of the run. Ids only grow, so nothing of this
    run has a smaller one: the read-back begins there, and not at the first row of a database that is years old.

    Raises:
        SampleFailed: a first write was refused, or its outcome stayed unknown.
    """
    run = client.run
    shopper = Shopper(client)

    def send(ops: Iterable[Op]) -> None:
        pool = Pool()
        try:
            for op in ops:
                pool.spawn(shopper.attempt, op)
            pool.join(raise_error=True)
        finally:
            pool.kill()

    def first(op: Op) -> Op:
        for _ in range(TRIES):
            shopper.attempt(op)
            if op.fate == "ok":
                break
        if op.answer is None:
            raise SampleFailed(f"the first write to {op.service} was not acknowledged")
        run.first_ids[op.service] = op.answer.body["id"]
        return op

    def user(name: str, place: int = 0) -> Op:
        first_name = "".join(filter(str.isalnum, name.split()[0])).lower()[:40] or "user"
        email = f"{first_name}.{run.mark}.s{place}@example.com"
        return run.write_op("users", "sample", {"name": name, "email": email})

    def product(name: str, price: str) -> Op:
        return run.write_op("products", "sample", {"name": f"{name} {run.mark}", "price": price})

    def order(user_id: int, product_id: int, quantity: int, expects: str = "ok") -> Op:
        body = {"user_id": user_id, "product_id": product_id, "quantity": quantity}
        return run.write_op("orders", "sample", body, expects)

    people, goods = run.scenario.users, run.scenario.products
    users, products = [first(user(people[0]))], [first(product(*goods[0]))]
    orders = [first(order(_id(users[0]), _id(products[0]), 1))]
    taken = {"name": f"{people[0].split()[0]} Again", "email": users[0].body["email"].upper()}
    refused = [
        run.write_op("users", "sample", taken, "duplicate-email"),
        run.write_op("products", "sample", {"name": f"Free money {run.mark}", "price": "-5.00"}, "validation"),
        order(ABSENT_ID, _id(products[0]), 1, "unknown-reference"),
    ]
    users += [user(name, place) for place, name in enumerate(people[1:], start=1)]
    products += [product(*each) for each in goods[1:]]
    send([*users[1:], *products[1:], *refused])
    pairs = zip(users[1:], products[1:], strict=False)
    orders += [order(_id(u), _id(p), q) for q, (u, p) in enumerate(pairs, start=2) if u.answer and p.answer]
    send(orders[1:])
    hot = run.scenario
    # A hot user's quantities begin after those of the sample's orders: no two of its orders are equal.
    run.hot_users = [OwnUser(_id(each), len(orders)) for each in users[: hot.hot_users] if each.answer]
    run.hot_products = [_id(each) for each in products[: hot.hot_products] if each.answer]
    return [*users, *products, *orders, *refused]


def show(ops: Iterable[Op], console: Console) -> None:
    """Print the sample data as a table: what, status, id or type of the problem."""
    table = Table(title="Sample data", title_justify="left", box=None, pad_edge=False)
    for column in ("what", "status", "outcome"):
        table.add_column(column, justify="right" if column == "status" else "left", no_wrap=True)
    for op in ops:
        table.add_row(_describe(op), *_outcome(op))
    console.print(table)


def _describe(op: Op) -> str:
    body: dict[str, Any] = op.body
    match op.service:
        case "users":
            return f"user {body['name']} <{body['email']}>"
        case "products":
            return f"product {body['name']} at {body['price']}"
        case _:
            return f"order of user {body['user_id']}: {body['quantity']} x product {body['product_id']}"


def _outcome(op: Op) -> tuple[str, str]:
    if op.answer:
        return str(op.answer.status), f"id {op.answer.body['id']}"
    if op.last is None or not op.last.status:
        return "-", "no answer yet"
    return str(op.last.status), op.last.problem or "no problem type"


def _id(op: Op) -> int:
    """The id that a write was given."""
    assert op.answer is not None
    return int(op.answer.body["id"])
