"""A scenario: the mix of actions of a load, read from a TOML file that users copy and change.

The checks are written by hand: pydantic would do them too, but it adds 9.6 MB to the image for the sake of one file.
"""

import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).with_name("scenarios")
BASE = "steady"  # the values that a scenario leaves out are taken from this one
LONGEST_THINK_S = 3600.0
LARGEST_WEIGHT = 10_000
LARGEST_SAMPLE = 1000
LARGEST_STOCK = 1_000_000
PRICE = re.compile(r"[0-9]{1,7}\.[0-9]{2}")  # as the services answer it, so that the two can be compared
Check = Callable[[Any], bool]


class BadScenario(ValueError):
    """A scenario cannot be used; the message names the file, the key, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario as read. scenarios/steady.toml says what each part means."""

    name: str
    description: str
    think_time: tuple[float, float]  # seconds, from and to
    actions: Mapping[str, int]  # kind of action to weight, each 1 or more
    hot_users: int
    hot_user_share: float  # 0 to 1
    hot_products: int
    hot_product_share: float
    users: tuple[str, ...]  # names
    limited_share: float  # of the orders are for products that have a stock
    products: tuple[tuple[str, str, int | None], ...]  # names, prices, and the stock for each 10,000 writes

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Scenario":
        """Return the scenario that `dataclasses.asdict` took apart and a message carried as JSON."""
        low, high = plain["think_time"]
        products = tuple((name, price, stock) for name, price, stock in plain["products"])
        return cls(**{**plain, "think_time": (low, high), "users": tuple(plain["users"]), "products": products})


def shipped() -> list[str]:
    """Return the names of the scenarios that come with the load generator."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


@cache
def steady() -> Scenario:
    """Return the scenario of a run that names none."""
    return _scenario(BASE, _read(BASE), None)


def load(named: str, kinds: Collection[str]) -> Scenario:
    """Return the scenario of that name, or in the file of that path; its actions are of these `kinds`.

    Raises:
        BadScenario: there is none, or it cannot be used.
    """
    return _scenario(named, _read(named), kinds)


def _read(named: str) -> dict[str, Any]:
    path = SHIPPED / f"{named}.toml" if named in shipped() else Path(named)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadScenario(
            f"The scenario {named!r} cannot be read ({error.strerror}): name one of {', '.join(shipped())}, or a file."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeError) as error:
        raise BadScenario(f"The scenario {named!r} is not TOML: {error}.") from None


def number(lowest: float, highest: float) -> Check:
    return lambda value: type(value) in (int, float) and lowest <= value <= highest


def whole_number(lowest: int, highest: int) -> Check:
    return lambda value: type(value) is int and lowest <= value <= highest


def text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= 150 and value == value.strip()


def list_of(each: Check) -> Check:
    return lambda value: isinstance(value, list) and 1 <= len(value) <= LARGEST_SAMPLE and all(map(each, value))


def product(value: Any) -> bool:
    if not isinstance(value, list) or len(value) not in (2, 3):
        return False
    return text(value[0]) and price(value[1]) and all(map(whole_number(1, LARGEST_STOCK), value[2:]))


def price(value: Any) -> bool:
    return isinstance(value, str) and PRICE.fullmatch(value) is not None and Decimal(value) <= 1_000_000


def think_time(value: Any) -> bool:
    return list_of(number(0, LONGEST_THINK_S))(value) and len(value) == 2 and value[0] <= value[1]


def products(value: Any) -> bool:
    return list_of(product)(value) and len({name for name, *_ in value}) == len(value) and len(value[0]) == 2


def _rules(scenario: dict[str, Any]) -> dict[str, tuple[Check, str]]:
    """Return, by key, the check of a value and the words for what is allowed. The order matters: sizes come first."""
    weight = whole_number(0, LARGEST_WEIGHT), f"a whole number from 0 to {LARGEST_WEIGHT:,}"
    share = number(0, 1), "a number from 0 to 1"

    def size(of: str) -> tuple[Check, str]:
        most = len(scenario["sample"][of]) if isinstance(scenario["sample"][of], list) else 0
        return whole_number(0, most), f"a whole number from 0 to {most}, the sample's size"

    return {
        "description": (text, "a text of 1 to 150 characters"),
        "think_time": (think_time, f"two numbers of seconds, from and to, 0 to {LONGEST_THINK_S:g}"),
        **{f"actions.{kind}": weight for kind in scenario["actions"]},
        "sample.users": (list_of(text), f"1 to {LARGEST_SAMPLE} names of 1 to 150 characters, no space around them"),
        "sample.products": (
            products,
            f'1 to {LARGEST_SAMPLE} pairs of a name and a price, each name once: ["Green tea", "4.20"]; '
            f'all but the first may have a stock, 1 to {LARGEST_STOCK:,}: ["Chess set", "38.00", 400]',
        ),
        "hot.users": size("users"),
        "hot.products": size("products"),
        "hot.user_share": share,
        "hot.product_share": share,
        "hot.limited_share": share,
    }


def _scenario(named: str, given: dict[str, Any], kinds: Collection[str] | None) -> Scenario:
    """Return the scenario that `given` describes, completed by the base. Raises BadScenario."""
    base = _read(BASE)
    tables = {"actions": kinds, "hot": base["hot"], "sample": base["sample"]}  # and the keys that each may hold

    def refuse(key: str, allowed: str) -> BadScenario:
        return BadScenario(f"The scenario {named!r}: `{key}` must be {allowed}.")

    def known(key: str, keys: Collection[str]) -> BadScenario:
        return BadScenario(f"The scenario {named!r}: there is no `{key}`; known: {', '.join(keys)}.")

    for key in given:
        if key not in base:
            raise known(key, base)
    for table, keys in tables.items():
        inner = given.get(table, {})
        if not isinstance(inner, dict):
            raise refuse(table, f"a table: [{table}]")
        for key in inner:
            if keys is not None and key not in keys:
                raise known(f"{table}.{key}", keys)
    whole = base | given | {table: base[table] | given.get(table, {}) for table in ("hot", "sample")}
    for name in ("users", "products"):
        if name not in given.get("hot", {}) and isinstance(whole["sample"][name], list):
            whole["hot"][name] = min(whole["hot"][name], len(whole["sample"][name]))  # the base's need not fit
    for key, (fits, allowed) in _rules(whole).items():
        table, _, name = key.rpartition(".")
        if not fits(whole[table][name] if table else whole[name]):
            raise refuse(key, allowed)
    if not any(whole["actions"].values()):
        raise refuse("actions", "a list in which at least one action is more than 0: there would be nothing to audit")
    hot, sample = whole["hot"], whole["sample"]
    if whole["actions"].get("add_stock") and all(len(product) == 2 for product in sample["products"]):
        raise refuse("actions.add_stock", "0 where no product of the sample has a stock")
    return Scenario(
        name=Path(named).stem,
        description=whole["description"],
        think_time=(float(whole["think_time"][0]), float(whole["think_time"][1])),
        actions={kind: weight for kind, weight in whole["actions"].items() if weight},
        hot_users=hot["users"],
        hot_user_share=hot["user_share"],
        hot_products=hot["products"],
        hot_product_share=hot["product_share"],
        users=tuple(sample["users"]),
        limited_share=hot["limited_share"],
        products=tuple(
            (name, price, *stock) if stock else (name, price, None) for name, price, *stock in sample["products"]
        ),
    )
