"""Orders or products crashes at each point of the stock protocol. No unit is oversold, lost or stuck."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed import Fleet, Process, wait_until

from .deadly_stock import ORDERS_POINTS, PRODUCTS_POINTS
from .shop import Shop

APPS = {name: f"tests.system.deadly_stock:{name}_app()" for name in ("orders", "products")}
UNITS, ORDERS, THREADS = 20, 60, 12


@contextmanager
def shop_that_dies(directory: Path, service: str, point: str) -> Iterator[tuple[Shop, Process, Callable[[], None]]]:
    """Yield a shop, the process that will crash, and what arms it."""
    armed = directory / "armed"
    fleet = Fleet(directory, APPS, {"DIE_AT": point, "ARMED": str(armed), "ACCESS_LOG": "0"})
    try:
        yield Shop(fleet.start()).open(), fleet.by_name[service], armed.touch
    finally:
        fleet.stop()


POINTS = [("orders", point) for point in ORDERS_POINTS] + [("products", point) for point in PRODUCTS_POINTS]


@pytest.mark.parametrize(("service", "point"), POINTS, ids=[f"{s}-{p.replace(' ', '-')}" for s, p in POINTS])
def test_a_crash_at_any_point_oversells_loses_and_blocks_nothing(tmp_path: Path, service: str, point: str) -> None:
    with shop_that_dies(tmp_path, service, point) as (shop, process, arm), ThreadPoolExecutor(THREADS) as pool:
        product = shop.product(UNITS)
        assert shop.order(product) == 201
        arm()
        if point.endswith("a release"):  # of the units of an order that is refused for another reason
            assert shop.send(product, user_id=10**9).status_code == 422
        orders = [pool.submit(shop.order, product) for _ in range(ORDERS)]
        wait_until(lambda: process.process and process.process.poll() is not None, what="the death")
        assert (tmp_path / point).exists()
        process.start()
        statuses = [each.result() for each in orders]
        shop.check()
        assert statuses.count(201) == UNITS - 1
        assert statuses.count(409) == ORDERS - UNITS + 1
