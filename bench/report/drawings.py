"""A plot for each part that has one, from its series alone."""

from collections.abc import Callable, Mapping

from ..sampling import Series
from .plots import Bar, bars, sweep
from .tables import spread

STYLES = {"threefold orders": "ours", "threefold users": "ours", "echo": "limit"}


def drawn_peers(series: Mapping[str, Series]) -> str:
    shown = [Bar(name, spread(each), STYLES.get(name, "peer")) for name, each in series.items()]
    return bars(
        "Orders and users a second", "64 connections, one process a service; line: lowest to highest round", shown
    )


def drawn_slow_disk(series: Mapping[str, Series]) -> str:
    shown = [Bar(name, spread(each), "ours" if "group" in name else "peer") for name, each in series.items()]
    return bars(
        "Orders a second by the duration of a sync",
        "group commit, and a commit for each request; 64 connections",
        shown,
    )


def drawn_bulk(series: Mapping[str, Series]) -> str:
    shown = [
        Bar(name.replace("sqlite", "SQLite alone,"), spread(each), "limit" if "sqlite" in name else "ours")
        for name, each in series.items()
    ]
    return bars(
        "Rows a second in bulk", "one client, 1000 rows a request; SQLite alone: 1000 rows a transaction", shown
    )


def swept(
    title: str, what: str, along: str, label: Callable[[str], str] = str
) -> Callable[[Mapping[str, Series]], str]:
    return lambda series: sweep(title, what, along, [(label(name), spread(each)) for name, each in series.items()])


DRAWINGS: dict[str, Callable[[Mapping[str, Series]], str]] = {
    "peers": drawn_peers,
    "bulk": drawn_bulk,
    "rows": swept("Orders a second by rows in the file", "64 connections; band: lowest to highest round",
                  "orders already there", lambda size: f"{int(size):,}"),
    "connections": swept("Orders a second by connections", "band: lowest to highest round", "connections"),
    "batches": swept("Orders a second by rows in a batch", "one client; band: lowest to highest round", "orders in a request"),
    "slow-disk": drawn_slow_disk,
}  # fmt: skip
