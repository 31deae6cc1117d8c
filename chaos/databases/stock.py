"""The audit of limited stock in the database files: tokens of orders, sales and reservations, and the sums of units."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Units = tuple[int, int]  # a product, and a quantity of it


@dataclass
class Stock:
    """The units in the files of orders and products."""

    ordered: dict[str, Units] = field(default_factory=dict)  # by token
    sold: dict[str, Units] = field(default_factory=dict)
    reserved: dict[str, Units] = field(default_factory=dict)
    left: dict[int, int] = field(default_factory=dict)  # in stock, by limited product

    def add(self, rows: dict[str, list[list[Any]]]) -> None:
        """Add what the script read from one file: `{"sold": [["a.1.0", 4, 2]], "left": [[4, 98]], ...}`."""
        self.left |= dict(map(tuple, rows.pop("left", [])))
        for table, tokens in rows.items():
            getattr(self, table).update({token: (product, quantity) for token, product, quantity in tokens})


def supplied(history: Iterable[dict[str, Any]]) -> dict[int, int]:
    """Return the units of each limited product in a ledger: what it was made with, and acknowledged additions."""
    sent: dict[int, dict[str, Any]] = {}
    units: Counter[int] = Counter()
    for line in history:
        if line["event"] == "sent" and line["service"] == "products" and line["method"] == "POST":
            if line["body"].get("stock") is not None or line["path"].endswith("/stock"):
                sent.setdefault(line["op"], line["body"])
        elif line["event"] == "ok" and (body := sent.get(line["op"])):
            sent[line["op"]] = {}  # a later answer is a replay
            units[line["answer"]["id"]] += body["add"] if "add" in body else body["stock"]
    return dict(units)


def compare_stock(supply: dict[int, int], held: Stock) -> dict[str, int]:
    """Count what is wrong in the files, of all loads so far. `supply` is what was supplied of each product."""
    taken = {name: Counter[int]() for name in ("ordered", "sold", "reserved")}
    for name, sums in taken.items():
        for product, quantity in getattr(held, name).values():
            sums[product] += quantity
    return {
        "oversold in file": sum(taken["ordered"][product] > units for product, units in supply.items()),
        "units lost in file": sum(
            held.left.get(product, 0) + taken["sold"][product] + taken["reserved"][product] != units
            for product, units in supply.items()
        ),
        "tokens of orders and sales differ": len(held.ordered.items() ^ held.sold.items()),
        "reserved in file": len(held.reserved),
    }
