"""What is to be reached, and whether it is: a pure function of what was measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .sampling import Spread, ratios

Figures = Mapping[str, Any]
MOST, LEAST = "under", "at least"


@dataclass(frozen=True)
class Value:
    """A figure, and of what it is where it is the worst of several."""

    spread: Spread
    of: str = ""


@dataclass(frozen=True)
class Goal:
    """`kind` MOST: the value must be under `target`; LEAST: at least `target`. `unit` follows the number."""

    what: str
    part: str
    kind: str
    target: float
    value: Callable[[Figures], Value]
    unit: str = ""

    def reached(self, value: Value) -> bool:
        """Whether the median does what is asked."""
        median = value.spread.median
        return median < self.target if self.kind == MOST else median >= self.target


def ratio(over: str, under: str) -> Callable[[Figures], Value]:
    """How many times the rate of one target of a part is that of another, round by round."""
    return lambda figures: Value(ratios(figures["series"][over]["rate"], figures["series"][under]["rate"]))


def p99_to_p50(figures: Figures) -> Value:
    """How many times the p50 the p99 is, in each round of open load."""
    series = figures["series"]["open"]
    return Value(ratios(series["p99_ms"], series["p50_ms"]))


def worst_bulk(figures: Figures) -> Value:
    """The service that comes least close to SQLite alone."""
    series = figures["series"]
    found = {
        name: ratios(series[name]["rate"], series[f"sqlite {name}"]["rate"]) for name in ("users", "products", "orders")
    }
    worst = min(found, key=lambda name: found[name].median)
    return Value(found[worst], worst)


def memory(figures: Figures) -> Value:
    """All services together."""
    return Value(Spread.of([sum(figures["after_mb"].values())]), f"{figures['orders']:,} orders")


def start(figures: Figures) -> Value:
    """From the command to the moment when the last service is healthy."""
    return Value(Spread.of([max(each) for each in zip(*figures["healthy_s"].values(), strict=True)]))


def largest_image(figures: Figures) -> Value:
    """The largest of the images, the load generator's among them."""
    name, size = max(figures["above_base_mb"].items(), key=lambda item: float(item[1]))
    return Value(Spread.of([size]), name)


def most_rows(figures: Figures) -> Value:
    """The fullest file beside the empty one."""
    most = max(map(int, figures["series"]))
    return Value(ratios(figures["series"][str(most)]["rate"], figures["series"]["0"]["rate"]), f"{most:,} rows")


GOALS = (
    Goal(
        "orders a second against the tutorial way",
        "peers",
        LEAST,
        12,
        ratio("threefold orders", "tutorial orders"),
        "x",
    ),
    Goal("orders a second against FastAPI", "peers", LEAST, 9, ratio("threefold orders", "fastapi orders"), "x"),
    Goal("orders a second against the echoing Flask endpoint", "peers", LEAST, 0.75, ratio("threefold orders", "echo")),
    Goal("users a second against the echoing Flask endpoint", "peers", LEAST, 0.85, ratio("threefold users", "echo")),
    Goal("p99 of orders against their p50, open load at half the top rate", "open-load", MOST, 5, p99_to_p50, "x"),
    Goal("bulk rows a second, one client, against SQLite alone in groups of 1000", "bulk", LEAST, 0.25, worst_bulk),
    Goal("three services resident together after 100,000 orders", "memory", MOST, 180, memory, " MB"),
    Goal("from `docker compose up` with images built to all healthy", "start", MOST, 4, start, " s"),
    Goal("image above its base", "images", MOST, 60, largest_image, " MB"),
    Goal("orders a second with 10 million orders in the file, against an empty one", "rows", LEAST, 0.9, most_rows),
    Goal("orders a second with 512 connections, against 64", "connections", LEAST, 0.9, ratio("512", "64")),
)
