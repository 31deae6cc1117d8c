"""Orders a second by the rows already in the file, up to ten million."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import contenders
from ..contenders import System, running
from ..sampling import Progress, Settings, interleaved, load
from ..tools.wrk import Failed
from . import Part
from .sqlite import open_store

SIZES = (0, 10_000, 100_000, 1_000_000, 10_000_000)
FED = 1000  # users and products; orders name them at random, so that every leaf of the indices is used
SPREAD_ORDER = '{"user_id": {1000}, "product_id": {1000}, "quantity": 2}'
BYTES_PER_ROW = 200  # with indices, and space to build them
SECONDS_PER_ROW = 8e-6  # to fill a file
CHUNK = 1_000_000
FILL = """INSERT INTO orders (user_id, product_id, quantity, product_name, cents)
          SELECT abs(random()) % ?1 + 1, abs(random()) % ?1 + 1, 2, 'Tea', 1999
          FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) SELECT i FROM n)"""


def fill(path: Path, rows: int) -> None:
    """Make an orders database with `rows` rows and the service's own schema. Indices are built last."""
    store = open_store("orders", path)
    db = store.writing
    db.pragma("synchronous", "off")
    indices = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'orders'").fetchall()
    for name, _ in indices:
        db.execute(f"DROP INDEX {name}")
    for first in range(0, rows, CHUNK):
        db.execute(FILL, (FED, min(CHUNK, rows - first)))
    for _, sql in indices:
        db.execute(str(sql))
    db.pragma("synchronous", "full")
    store.close()


@contextmanager
def fleet(settings: Settings, progress: Progress, sizes: tuple[int, ...]) -> Iterator[dict[int, System]]:
    """Start an orders service for each size, all with the same users and products."""
    home = settings.scratch / "rows"
    others = contenders.threefold(home / "others")
    try:
        with running(others):
            others.feed_many(FED)
            asked = {"USERS_URL": others.url("users"), "PRODUCTS_URL": others.url("products")}
            systems = {}
            for size in sizes:
                systems[size] = contenders.threefold(home / str(size), f"{size} rows", ("orders",), **asked)
                systems[size].directory.mkdir()
                fill(systems[size].path("orders"), size)
                systems[size].acknowledged["orders"] = size
                progress.did(size * SECONDS_PER_ROW, f"{size:,} rows filled in")
            os.sync()  # everything is on the disk before anything is measured
            with running(*systems.values()):
                yield systems
    finally:
        shutil.rmtree(home, ignore_errors=True)


def run(settings: Settings, progress: Progress) -> dict[str, Any]:
    """Return the series of orders a second by rows at the start. Raises Failed."""
    sizes = sizes_of(settings)
    if (free := shutil.disk_usage(settings.scratch).free) < sum(sizes) * BYTES_PER_ROW:
        raise Failed(
            f"{settings.scratch} has {free / 1e9:.1f} GB free, {sum(sizes) * BYTES_PER_ROW / 1e9:.1f} are needed"
        )
    with fleet(settings, progress, sizes) as systems:
        targets = {str(size): load(system, "orders", SPREAD_ORDER, settings) for size, system in systems.items()}
        series = interleaved(targets, settings, progress)
        file_mb = {str(size): system.path("orders").stat().st_size / 1e6 for size, system in systems.items()}
    return {"series": series, "file_mb": file_mb}


def sizes_of(settings: Settings) -> tuple[int, ...]:
    return SIZES[:3] if settings.short else SIZES


def planned(settings: Settings) -> float:
    sizes = sizes_of(settings)
    return settings.planned(len(sizes)) + sum(sizes) * SECONDS_PER_ROW


PARTS = (Part("rows", "orders a second by the rows already in the file, up to ten million", run, planned),)
