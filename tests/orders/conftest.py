"""The parts of orders that keep its promises about stock, on a database of their own and without products."""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from orders_service.app import TABLE
from orders_service.upstream.attempts import Attempts
from service_common.storage.database import Schema, WriteLimits
from service_common.storage.sqlite.database import SqliteDatabase


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    sql = resources.files("orders_service").joinpath("schema.sqlite.sql").read_text(encoding="utf-8")
    opened = SqliteDatabase(tmp_path / "orders.db", Schema("orders", sql, (TABLE,)), WriteLimits(), CollectorRegistry())
    try:
        yield opened
    finally:
        opened.close(5)


@pytest.fixture
def attempts() -> Attempts:
    made = Attempts(CollectorRegistry())
    made.owner = "0123456789abcdef"
    return made
