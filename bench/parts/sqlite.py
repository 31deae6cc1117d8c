"""SQLite alone, in this process: the upper limit of what a service could commit."""

import itertools
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from service_common.storage.sqlite.file import DatabaseFile

from ..sampling import Progress, Sample, Settings, interleaved
from . import Part

GROUPS = (1, 64, 1000)  # rows in a transaction
INSERTS: dict[str, tuple[str, Callable[[int], tuple[Any, ...]]]] = {
    "users": ("INSERT INTO users (name, email, email_key) VALUES (?, ?, ?)", lambda n: ("Ada", f"{n}@example.com", f"{n}@example.com")),
    "products": ("INSERT INTO products (name, cents) VALUES (?, ?)", lambda n: ("Tea", 1999)),
    "orders": (
        "INSERT INTO orders (user_id, product_id, quantity, product_name, cents) VALUES (?, ?, ?, ?, ?)",
        lambda n: (n % 500 + 1, n // 500 % 500 + 1, 2, "Tea", 1999),
    ),
}  # fmt: skip


def open_store(service: str, path: Path) -> DatabaseFile:
    """The service's own store: its schema, its indices, its pragmas."""
    return DatabaseFile(
        path, resources.files(f"{service}_service").joinpath("schema.sqlite.sql").read_text(encoding="utf-8")
    )


def alone(service: str, group: int, directory: Path, seconds: float) -> Callable[[], Sample]:
    """Return a measurement of rows a second in transactions of `group` rows, each time on a new file."""
    sql, values = INSERTS[service]
    numbers = itertools.count()

    def measure() -> Sample:
        store = open_store(service, directory / f"{service}-{group}-{next(numbers)}.db")
        db = store.writing
        rows, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < seconds:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(sql, map(values, range(rows, rows + group)))
            db.execute("COMMIT")
            rows += group
        store.close()
        store.path.unlink()
        return {"rate": rows / took}

    return measure


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Return the series of rows a second by the size of the group."""
    targets = {str(group): alone("orders", group, settings.scratch, settings.seconds) for group in GROUPS}
    return {"series": interleaved(targets, settings, progress)}


def planned(settings: Settings) -> float:
    return settings.planned(len(GROUPS))


PARTS = (Part("sqlite", "SQLite alone in process, by rows in a transaction", run, planned, needs=()),)
