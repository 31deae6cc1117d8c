"""Many shoppers, few units, services that are killed, messages that are lost, late or repeated.

At rest everything is in stock or in an order.
"""

import random
import threading
import time
from pathlib import Path

import pytest

from testbed import Fleet, Process

from .shop import Shop
from .unreliable import Network

UNITS, ORDERS, THREADS = 50, 200, 32


def kill_all(*processes: Process) -> threading.Thread:
    """Kill processes one after the other, each at a random moment, and start each again."""

    def kill() -> None:
        for process in processes:
            time.sleep(random.uniform(0.05, 0.4))
            process.kill()
            process.start()

    killer = threading.Thread(target=kill)
    killer.start()
    return killer


def test_what_many_order_at_once_is_never_oversold_although_both_services_are_killed(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, env={"ACCESS_LOG": "0"})
    try:
        shop = Shop(fleet.start()).open()
        product = shop.product(UNITS)
        killer = kill_all(fleet.orders, fleet.products, fleet.orders, fleet.products)
        statuses = shop.rush(product, ORDERS, THREADS)
        killer.join()
        shop.check()
        assert (statuses.count(201), statuses.count(409)) == (UNITS, ORDERS - UNITS)
    finally:
        fleet.stop()


@pytest.mark.parametrize("seed", [1, 2])
def test_messages_that_are_lost_late_or_repeated_change_nothing(tmp_path: Path, seed: int) -> None:
    fleet = Fleet(tmp_path, env={"ACCESS_LOG": "0", "BREAKER_FAILURES": "20", "LOOKUP_ATTEMPT_TIMEOUT": "0.4"})
    network = Network(fleet.products.port, seed)
    fleet.orders.env["PRODUCTS_URL"] = network.url
    try:
        shop = Shop(fleet.start()).open()
        products = [shop.product(UNITS) for _ in range(4)]
        killer = kill_all(fleet.orders, fleet.orders)
        statuses = [status for product in products for status in shop.rush(product, ORDERS // 2, THREADS)]
        killer.join()
        network.sound = True
        shop.check()
        assert statuses.count(201) == 4 * UNITS
        assert {fault for fault, count in network.faults.items() if count} == {"late", "twice", "answer lost"}
    finally:
        fleet.stop()
        network.close()
