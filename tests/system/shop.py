"""Shoppers that order limited products until each knows its answer, and the books that must balance afterwards."""

import sqlite3
import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import requests

from testbed import Fleet, wait_until

AT_REST_S = 10.0  # within which everything must be settled after the last message
DECIDED = (200, 201, 409, 422)


@dataclass
class Shop:
    """The services, a user, and what was supplied."""

    fleet: Fleet
    user: int = 0
    supply: dict[int, int] = field(default_factory=dict)  # units of each product
    told: dict[str, tuple[int, Any]] = field(default_factory=dict)  # the last answer under each key
    statuses: Counter[int] = field(default_factory=Counter)  # of all answers; 0: there was none

    def open(self) -> "Shop":
        self.user = self._created(self.fleet.users, name="Ada", email=f"{uuid.uuid4().hex}@example.com")
        return self

    def product(self, stock: int | None) -> int:
        id = self._created(self.fleet.products, name="Tea", price="1.00", stock=stock)
        if stock is not None:
            self.supply[id] = stock
        return id

    def _created(self, process: Any, **body: Any) -> int:
        answer = requests.post(f"{process.url}/{process.service}", json=body, timeout=10)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def send(self, product: int, quantity: int = 1, key: str | None = None, **other: Any) -> requests.Response:
        """Send an order once."""
        body = {"user_id": self.user, "product_id": product, "quantity": quantity} | other
        headers = {"Idempotency-Key": key} if key else {}
        return requests.post(f"{self.fleet.orders.url}/orders", json=body, headers=headers, timeout=8)

    def order(self, product: int, quantity: int = 1, stop: threading.Event | None = None) -> int:
        """Send an order again and again under one key, until it is decided. Return its status."""
        key = uuid.uuid4().hex
        pause = threading.Event()
        while True:
            status, body = 0, None
            with suppress(requests.RequestException):
                answer = self.send(product, quantity, key)
                status, body = answer.status_code, answer.json()
            self.statuses[status] += 1
            if status in DECIDED:
                self.told[key] = (status, body)
                return status
            if stop is not None and stop.is_set():
                return status
            pause.wait(0.1)

    def rush(self, product: int, orders: int, threads: int) -> list[int]:
        """Send many orders at once, each until it is decided."""
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda _: self.order(product), range(orders)))

    def rows(self, service: str, sql: str) -> list[tuple[Any, ...]]:
        """Read the database file of a service."""
        process = self.fleet.by_name[service]
        with closing(sqlite3.connect(process.database)) as db:
            return db.execute(sql).fetchall()

    def unsettled(self) -> int:
        """Return how many reservations are open."""
        return int(self.rows("products", "SELECT count(*) FROM reservations")[0][0])

    def check(self) -> None:
        """Wait until nothing is reserved any more, then check that no unit is oversold, lost or stuck."""
        wait_until(lambda: not self.unsettled(), AT_REST_S, "all reservations settled")
        orders = self.rows("orders", "SELECT id, product_id, quantity, token FROM orders")
        sales = self.rows("products", "SELECT token, product_id, quantity FROM sales")
        stock = dict(self.rows("products", "SELECT id, stock FROM products"))
        limited = [(token, product, quantity) for _, product, quantity, token in orders if token is not None]
        assert sorted(limited) == sorted(sales)
        assert {product for _, product, _, token in orders if token is None} & self.supply.keys() == set()
        sold: Counter[int] = Counter()
        for _, product, quantity in sales:
            sold[product] += quantity
        for product, units in self.supply.items():
            assert stock[product] + sold[product] == units, f"product {product}"
        present = {id: (product, quantity) for id, product, quantity, _ in orders}
        acknowledged = [body for status, body in self.told.values() if status == 201]
        assert len({body["id"] for body in acknowledged}) == len(acknowledged)
        for body in acknowledged:
            assert present[body["id"]] == (body["product_id"], body["quantity"])
        for status, body in self.told.values():  # where no stock was added, no shortage was told that is none at rest
            if status == 409:
                assert body["type"] == "/problems/out-of-stock"
