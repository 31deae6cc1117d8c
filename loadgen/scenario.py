"""What the shoppers of a run do: a scenario, read from a file of TOML that users copy and change."""

import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).with_name("scenarios")
BASE = "steady"  # what a scenario leaves out is taken from this one
LONGEST_THINK_S = 3600.0
LARGEST_WEIGHT = 10_000
LARGEST_SAMPLE = 1000
PRICE = re.compile(r"[0-9]{1,7}\.[0-9]{2}")  # as it is answered, so that the two can be compared


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
    products: tuple[tuple[str, str], ...]  # names and prices

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Scenario":
        """What `dataclasses.asdict` made of a scenario, and a message carried: there tuples are lists."""
        low, high = plain["think_time"]
        products = tuple((name, price) for name, price in plain["products"])
        return cls(**{**plain, "think_time": (low, high), "users": tuple(plain["users"]), "products": products})


def shipped() -> list[str]:
    """The names of the scenarios that come with the load generator."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


@cache
def steady() -> Scenario:
    """The scenario of a run that names none."""
    return _scenario(BASE, _read(BASE), None)


def load(named: str, kinds: Collection[str]) -> Scenario:
    """The scenario of that name, or in the file of that path; its actions are of these `kinds`.

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


def _scenario(named: str, given: dict[str, Any], kinds: Collection[str] | None) -> Scenario:
    base = _read(BASE)
    tables = ("hot", "sample")

    def bad(key: str, allowed: str) -> BadScenario:
        return BadScenario(f"The scenario {named!r}: `{key}` must be {allowed}.")

    for key in given:
        if key not in base:
            raise BadScenario(f"The scenario {named!r}: there is no `{key}`; known: {', '.join(base)}.")
    for table in ("actions", *tables):
        if not isinstance(given.get(table, {}), dict):
            raise bad(table, f"a table: [{table}]")
        known = base[table] if table in tables else kinds
        for key in given.get(table, {}):
            if known is not None and key not in known:
                raise BadScenario(f"The scenario {named!r}: there is no `{table}.{key}`; known: {', '.join(known)}.")
    whole = base | given | {table: base[table] | given.get(table, {}) for table in tables}

    def check(key: str, value: Any, fits: Callable[[Any], bool], allowed: str) -> Any:
        if not fits(value):
            raise bad(key, allowed)
        return value

    def number(lowest: float, highest: float) -> Callable[[Any], bool]:
        return lambda value: type(value) in (int, float) and lowest <= value <= highest

    def whole_number(lowest: int, highest: int) -> Callable[[Any], bool]:
        return lambda value: type(value) is int and lowest <= value <= highest

    def text(value: Any) -> bool:
        return isinstance(value, str) and value.isprintable() and 0 < len(value) <= 150 and value == value.strip()

    def product(value: Any) -> bool:
        return isinstance(value, list) and len(value) == 2 and text(value[0]) and price(value[1])

    def price(value: Any) -> bool:
        return isinstance(value, str) and PRICE.fullmatch(value) is not None and Decimal(value) <= 1_000_000

    def products_fit(value: Any) -> bool:
        return list_of(product)(value) and len({name for name, _ in value}) == len(value)

    def list_of(each: Callable[[Any], bool]) -> Callable[[Any], bool]:
        return lambda value: isinstance(value, list) and 1 <= len(value) <= LARGEST_SAMPLE and all(map(each, value))

    think = check(
        "think_time",
        whole["think_time"],
        lambda value: list_of(number(0, LONGEST_THINK_S))(value) and len(value) == 2 and value[0] <= value[1],
        f"two numbers of seconds, from and to, 0 to {LONGEST_THINK_S:g}",
    )
    weights = {
        kind: check(
            f"actions.{kind}", weight, whole_number(0, LARGEST_WEIGHT), f"a whole number from 0 to {LARGEST_WEIGHT:,}"
        )
        for kind, weight in whole["actions"].items()
    }
    if not any(weights.values()):
        raise bad("actions", "a list in which at least one action is more than 0: there would be nothing to audit")
    users = check(
        "sample.users",
        whole["sample"]["users"],
        list_of(text),
        f"1 to {LARGEST_SAMPLE} names of 1 to 150 characters, no space around them",
    )
    products = check(
        "sample.products",
        whole["sample"]["products"],
        products_fit,
        f'1 to {LARGEST_SAMPLE} pairs of a name and a price, each name once: ["Green tea", "4.20"]',
    )
    hot = whole["hot"]
    for name, most in (("users", len(users)), ("products", len(products))):
        # What is not given need not fit to a smaller sample.
        if name not in given.get("hot", {}):
            hot[name] = min(hot[name], most)
        check(f"hot.{name}", hot[name], whole_number(0, most), f"a whole number from 0 to {most}, the sample's size")
    for name in ("user_share", "product_share"):
        check(f"hot.{name}", hot[name], number(0, 1), "a number from 0 to 1")
    return Scenario(
        name=Path(named).stem,
        description=check("description", whole["description"], text, "a text of 1 to 150 characters"),
        think_time=(float(think[0]), float(think[1])),
        actions={kind: weight for kind, weight in weights.items() if weight},
        hot_users=hot["users"],
        hot_user_share=hot["user_share"],
        hot_products=hot["products"],
        hot_product_share=hot["product_share"],
        users=tuple(users),
        products=tuple((name, price) for name, price in products),
    )
