"""Stock in the database: added, reserved, then sold or given back. Orders decides; nothing here looks at a clock.

A reservation has a token, made by orders: `<owner>.<attempt>.<item>`. The owner is one run of an orders process, the
attempt one try of a request, and the item a place in its batch. Here only the attempt counts, which is all before the
last dot: units that are open under tokens of the same attempt do not come back while it waits. So they are not counted
where it is told whether others hold units. A token is absent, open (in `reservations`) or sold (in `sales`, for ever).
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from service_common.http import problem_kinds as kinds
from service_common.http.problem_kinds import ProblemKind
from service_common.http.problems import Problem
from service_common.storage.database import (
    ANY_VERSION,
    Execute,
    Missing,
    OtherVersion,
    Procedure,
    Row,
    Table,
    Versions,
)

from .models import MOST_STOCK

IN_USE = ProblemKind(
    "in-use", 409, "Orders hold units of the product",
    "Units are reserved, so the product cannot be deleted; or reserved or sold, so its `stock` cannot be set. "
    "Nothing was changed.",
    "Add units, or take some away, with `POST /products/{id}/stock`. Reserved units are sold or given back soon.",
)  # fmt: skip
# Conditions on a product: units of it are reserved, or were sold.
IS_OPEN = "EXISTS (SELECT 1 FROM reservations WHERE reservations.product_id = products.id)"
IS_SOLD = "EXISTS (SELECT 1 FROM sales WHERE sales.product_id = products.id)"


class Reservation(NamedTuple):
    """Units of a product, wanted or taken under a token."""

    token: str
    product_id: int
    quantity: int

    @property
    def attempt(self) -> str:
        """The part of the token that all items of one attempt share."""
        return self.token.rpartition(".")[0] or self.token


class Exchanged(NamedTuple):
    """The result of an Exchange."""

    products: list[Row]  # in the order of their ids, with the stock as it is now
    short: list[tuple[str, int]]  # tokens that got nothing and will get nothing, and how many units are left
    held: list[str]  # tokens that got nothing, but others hold units that may come back
    unknown: list[str]  # tokens to be confirmed that are neither open nor sold


@dataclass(slots=True)
class Supply(Procedure):
    """Add units to a limited product, or take some away.

    The result is its new Row, Missing, OtherVersion, or a Problem.
    """

    table: Table
    id: int
    add: int
    versions: Versions = ANY_VERSION

    def run(self, execute: Execute) -> Row | Missing | OtherVersion | Problem:
        """Run it. Raises Problem `validation`, which no key keeps: stock has a limit, and an unlimited product none."""
        found = products(execute, self.table, [self.id])
        if not found:
            return Missing()
        row = found[self.id]
        if not self.versions.accept(row[-1]):
            return OtherVersion(row[-1])
        at = self.table.columns.index("stock")
        stock = row[at]
        if stock is None:
            raise refused(kinds.VALIDATION, "the product is unlimited: set its `stock` first")
        if stock + self.add < 0:
            return refused(kinds.OUT_OF_STOCK, left(stock))
        if stock + self.add + opened(execute, [self.id])[self.id] > MOST_STOCK:  # what is open may come back
            raise refused(kinds.VALIDATION, f"stock and reserved units would be more than {MOST_STOCK}")
        change_stock(execute, {self.id: self.add})
        execute("UPDATE products SET additions = additions + 1 WHERE id = ?", (self.id,))
        return (*row[:at], stock + self.add, *row[at + 1 :])


@dataclass(slots=True)
class Exchange(Procedure):
    """Confirm, release, then reserve in the order given: all in one transaction. The result is an Exchanged.

    Each message may come late, twice, or out of order. A token that is known changes nothing, and a release touches
    only what is open.
    """

    table: Table
    ids: Collection[int]  # products to be answered, too
    reserve: Sequence[Reservation] = ()
    confirm: Sequence[str] = ()
    release: Sequence[str] = ()

    def named(self) -> set[int]:
        """Return the ids of the products to be answered."""
        return {*self.ids, *(wanted.product_id for wanted in self.reserve)}

    def look_up(self, read: Execute) -> dict[int, Row]:
        """Return the products to be answered, by id, as of the last commit."""
        return products(read, self.table, self.named())

    def wants_limited(self, found: dict[int, Row]) -> bool:
        """Tell whether any of what is to be reserved is limited, by the products found."""
        at = self.table.columns.index("stock")
        return any(wanted.product_id in found and found[wanted.product_id][at] is not None for wanted in self.reserve)

    def run(self, execute: Execute) -> Exchanged:
        """Run it, in about ten statements however much is asked for."""
        tokens = {*self.confirm, *self.release, *(wanted.token for wanted in self.reserve)}
        known = {each.token: each for each in find_open(execute, tokens)}
        sold = find_sold(execute, tokens - known.keys())
        unknown = [token for token in self.confirm if token not in known and token not in sold]

        confirmed = [known.pop(token) for token in self.confirm if token in known]
        released = [known.pop(token) for token in self.release if token in known]
        sold |= {each.token for each in confirmed}
        asked = self.named()
        found = products(execute, self.table, asked | {each.product_id for each in released})
        at = self.table.columns.index("stock")
        stock = {id: row[at] for id, row in found.items() if row[at] is not None}
        before = dict(stock)
        for each in released:
            stock[each.product_id] += each.quantity

        taken, lacking = [], []
        for wanted in self.reserve:
            if wanted.product_id not in stock or wanted.token in known or wanted.token in sold:
                continue
            if stock[wanted.product_id] >= wanted.quantity:
                stock[wanted.product_id] -= wanted.quantity
                known[wanted.token] = wanted
                taken.append(wanted)
            else:
                lacking.append(wanted)

        insert(execute, "sales", [tuple(each) for each in confirmed])
        delete_open(execute, [each.token for each in (*confirmed, *released)])
        insert(execute, "reservations", [(*each, each.attempt) for each in taken])
        change_stock(execute, {id: units - before[id] for id, units in stock.items() if units != before[id]})

        others = held_by_others(execute, lacking)
        short, held = [], []
        for wanted in lacking:
            now = stock[wanted.product_id]
            if now + others[wanted] < wanted.quantity:
                short.append((wanted.token, now))
            else:
                held.append(wanted.token)
        rows = [(*row[:at], stock.get(id), *row[at + 1 :]) for id, row in found.items() if id in asked]
        return Exchanged(rows, short, held, unknown)


def left(stock: int) -> str:
    """Return the sentence that says how many units are left."""
    return f"only {stock} {'is' if stock == 1 else 'are'} left" if stock else "none is left"


def refused(kind: ProblemKind, detail: str) -> Problem:
    """Return the problem of a number of units that cannot be added."""
    return Problem(kind, "The stock was not changed.", [{"pointer": "/add", "detail": detail}])


def marks(values: Collection[Any]) -> str:
    return ", ".join("?" * len(values))


def products(execute: Execute, table: Table, ids: Collection[int]) -> dict[int, Row]:
    """Return the products that exist among `ids`, by id and in this order."""
    if not ids:
        return {}
    columns = ", ".join(table.columns)
    found = execute(f"SELECT {columns} FROM {table.name} WHERE id IN ({marks(ids)}) ORDER BY id", tuple(ids))
    return {row[0]: row for row in found}


def find_open(execute: Execute, tokens: Collection[str]) -> list[Reservation]:
    """Return the open reservations among `tokens`."""
    if not tokens:
        return []
    sql = f"SELECT token, product_id, quantity FROM reservations WHERE token IN ({marks(tokens)})"
    return [Reservation(*row) for row in execute(sql, tuple(tokens))]


def find_sold(execute: Execute, tokens: Collection[str]) -> set[str]:
    """Return those of `tokens` that are sold."""
    if not tokens:
        return set()
    return {row[0] for row in execute(f"SELECT token FROM sales WHERE token IN ({marks(tokens)})", tuple(tokens))}


def insert(execute: Execute, table: str, rows: Sequence[Row]) -> None:
    """Insert rows into `reservations` or `sales`."""
    if rows:
        columns = "token, product_id, quantity, attempt" if table == "reservations" else "token, product_id, quantity"
        values = ", ".join([f"({marks(rows[0])})"] * len(rows))
        execute(f"INSERT INTO {table} ({columns}) VALUES {values}", tuple(value for row in rows for value in row))


def delete_open(execute: Execute, tokens: Sequence[str]) -> None:
    """Delete open reservations."""
    if tokens:
        execute(f"DELETE FROM reservations WHERE token IN ({marks(tokens)})", tuple(tokens))


def change_stock(execute: Execute, units: dict[int, int]) -> None:
    """Add to the stock of each product."""
    if units:
        values = ", ".join(["(CAST(? AS BIGINT), CAST(? AS BIGINT))"] * len(units))
        execute(
            f"""WITH added (id, units) AS (VALUES {values})
                UPDATE products SET stock = products.stock + added.units FROM added WHERE products.id = added.id""",
            tuple(value for pair in units.items() for value in pair),
        )


def opened(execute: Execute, ids: Collection[int]) -> Counter[int]:
    """Return how many units of each product are open."""
    sql = f"SELECT product_id, sum(quantity) FROM reservations WHERE product_id IN ({marks(ids)}) GROUP BY product_id"
    return Counter({id: int(units) for id, units in execute(sql, tuple(ids))})


def held_by_others(execute: Execute, lacking: Sequence[Reservation]) -> dict[Reservation, int]:
    """Return for each of `lacking` how many units of its product other attempts have open."""
    if not lacking:
        return {}
    all_open = opened(execute, {wanted.product_id for wanted in lacking})
    asking = {(wanted.product_id, wanted.attempt) for wanted in lacking if all_open[wanted.product_id]}
    own: Counter[tuple[int, str]] = Counter()
    if asking:
        values = ", ".join(["(CAST(? AS BIGINT), ?)"] * len(asking))
        sql = f"""SELECT product_id, attempt, sum(quantity) FROM reservations
                  WHERE (product_id, attempt) IN (VALUES {values}) GROUP BY product_id, attempt"""
        for id, attempt, units in execute(sql, tuple(value for pair in asking for value in pair)):
            own[id, attempt] = int(units)
    return {each: all_open[each.product_id] - own[each.product_id, each.attempt] for each in lacking}
