"""Generated calls to reserve, confirm and release, against a model that handles one message after the other."""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from products_service.app import TABLE
from products_service.stock import Exchange, Exchanged, Reservation
from service_common.storage.database import Row
from service_common.storage.sqlite.file import DatabaseFile

LIMITED, EMPTY, UNLIMITED, ABSENT = 1, 2, 3, 4  # ids of products
STOCK = {LIMITED: 6, EMPTY: 0}
TOKENS = st.sampled_from([f"{owner}.{attempt}.{item}" for owner in "ab" for attempt in (1, 11) for item in (0, 1)])
RESERVATIONS = st.builds(
    Reservation, TOKENS, st.sampled_from([LIMITED, LIMITED, EMPTY, UNLIMITED, ABSENT]), st.integers(1, 4)
)
CALLS = st.builds(
    Exchange,
    st.just(TABLE),
    st.lists(st.sampled_from([LIMITED, EMPTY, UNLIMITED, ABSENT]), max_size=2),
    st.lists(RESERVATIONS, max_size=4),
    st.lists(TOKENS, max_size=3),
    st.lists(TOKENS, max_size=3),
)


class Shop:
    """What should be there: written for sight, one message at a time."""

    def __init__(self) -> None:
        self.stock = dict(STOCK)
        self.open: dict[str, Reservation] = {}
        self.sold: dict[str, Reservation] = {}

    def exchange(self, call: Exchange) -> tuple[list[tuple[str, int]], list[str], list[str]]:
        """Handle the messages of a call. Return what is short, held and unknown."""
        unknown = [token for token in call.confirm if token not in self.open and token not in self.sold]
        for token in call.confirm:
            if token in self.open:
                self.sold[token] = self.open.pop(token)
        for token in call.release:
            if token in self.open:
                back = self.open.pop(token)
                self.stock[back.product_id] += back.quantity
        lacking = []
        for wanted in call.reserve:
            if wanted.product_id not in self.stock or wanted.token in self.open or wanted.token in self.sold:
                continue
            if self.stock[wanted.product_id] < wanted.quantity:
                lacking.append(wanted)
                continue
            self.stock[wanted.product_id] -= wanted.quantity
            self.open[wanted.token] = wanted
        short, held = [], []
        for wanted in lacking:
            left = self.stock[wanted.product_id]
            if left + self.held_by_others(wanted) < wanted.quantity:
                short.append((wanted.token, left))
            else:
                held.append(wanted.token)
        return short, held, unknown

    def held_by_others(self, wanted: Reservation) -> int:
        attempt = wanted.token.split(".")[:2]
        return sum(
            each.quantity
            for each in self.open.values()
            if each.product_id == wanted.product_id and each.token.split(".")[:2] != attempt
        )


@pytest.fixture(scope="module")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    """A database with the three products."""
    schema = resources.files("products_service").joinpath("schema.sqlite.sql").read_text(encoding="utf-8")
    file = DatabaseFile(Path(tmp_path_factory.mktemp("shop")) / "products.db", schema)
    for stock in (STOCK[LIMITED], STOCK[EMPTY], None):
        file.writing.execute("INSERT INTO products (name, cents, stock) VALUES ('Tea', 1, ?)", (stock,))
    yield file.writing
    file.close()


@given(st.lists(CALLS, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_call_has_the_outcome_of_its_messages_one_after_the_other(
    writing: apsw.Connection, calls: list[Exchange]
) -> None:
    def execute(sql: str, values: Any = ()) -> list[Row]:
        return writing.execute(sql, values).fetchall()

    shop = Shop()
    execute("BEGIN")
    try:
        for call in calls:
            found: Exchanged = call.run(execute)
            assert (found.short, found.held, found.unknown) == shop.exchange(call)
            named = {*call.ids, *(wanted.product_id for wanted in call.reserve)} - {ABSENT}
            at = TABLE.columns.index("stock")
            assert {row[0]: row[at] for row in found.products} == {id: shop.stock.get(id) for id in named}
            for table, kept in (("reservations", shop.open), ("sales", shop.sold)):
                rows = execute(f"SELECT token, product_id, quantity FROM {table} ORDER BY token")
                assert rows == sorted(tuple(each) for each in kept.values())
            stock = dict(execute("SELECT id, stock FROM products WHERE stock IS NOT NULL"))
            assert stock == shop.stock
            for id, supplied in STOCK.items():
                taken = [each.quantity for each in (*shop.open.values(), *shop.sold.values()) if each.product_id == id]
                assert stock[id] + sum(taken) == supplied
    finally:
        execute("ROLLBACK")
