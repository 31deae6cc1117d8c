"""Services that are killed, stopped and cut off under load, and what is there afterwards."""

import os
import signal
import threading
import time
from pathlib import Path

import apsw
import pytest
import requests

from ..fleet import Fleet, wait_until
from .loadgen import Run, violated

ORDER = {"user_id": 1, "product_id": 1, "quantity": 1}
LOOKUP_DEADLINE_S = 6  # a round before and one's own, 2 s each, and time to answer


def integrity(path: Path) -> str:
    with apsw.Connection(str(path)) as db:
        return str(db.pragma("integrity_check"))


def feed(fleet: Fleet) -> None:
    """User 1 and product 1."""
    requests.post(f"{fleet.users.url}/users", json={"name": "Ada", "email": "ada@example.com"}, timeout=10)
    requests.post(f"{fleet.products.url}/products", json={"name": "Tea", "price": "1.00"}, timeout=10)


def order(fleet: Fleet) -> requests.Response:
    return requests.post(f"{fleet.orders.url}/orders", json=ORDER, timeout=30)


@pytest.mark.parametrize("victim", ["users", "products", "orders"])
def test_a_service_killed_under_load_loses_nothing_that_it_acknowledged(
    own_fleet: Fleet, tmp_path: Path, victim: str
) -> None:
    run = Run(own_fleet, tmp_path / "reports", writes=4000)
    process = getattr(own_fleet, victim)
    for acknowledged in (400, 1200):
        run.under_way(acknowledged)
        process.kill()
        process.start()
    status, report, printed = run.end()
    assert (status, violated(report)) == (0, set()), printed
    assert integrity(process.database) == "ok"


def test_a_killed_worker_is_replaced_and_loses_nothing(own_fleet: Fleet, tmp_path: Path) -> None:
    run = Run(own_fleet, tmp_path / "reports", writes=3000)
    run.under_way(400)
    arbiter = own_fleet.orders.process
    assert arbiter is not None
    (worker,) = Path(f"/proc/{arbiter.pid}/task/{arbiter.pid}/children").read_text().split()
    os.kill(int(worker), signal.SIGKILL)
    status, report, printed = run.end()
    assert (status, violated(report)) == (0, set()), printed


def test_a_rolling_restart_under_load_loses_nothing(own_fleet: Fleet, tmp_path: Path) -> None:
    run = Run(own_fleet, tmp_path / "reports", writes=4000)
    for number, process in enumerate(own_fleet.all, start=1):
        run.under_way(400 * number)
        assert process.stop() == 0
        assert not process.database.with_name(f"{process.service}.db-wal").exists()  # checkpointed
        process.start()
    status, report, printed = run.end()
    assert (status, violated(report)) == (0, set()), printed


def test_idle_connections_do_not_hold_up_a_stop(own_fleet: Fleet) -> None:
    sessions = [requests.Session() for _ in range(20)]
    for session in sessions:
        assert session.get(f"{own_fleet.users.url}/livez", timeout=10).status_code == 200
    began = time.monotonic()
    assert own_fleet.users.stop() == 0
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_while_users_is_away_orders_are_refused_in_time_and_accepted_again_after(
    own_fleet: Fleet, how: signal.Signals
) -> None:
    feed(own_fleet)
    written = order(own_fleet).json()
    own_fleet.users.signal(how)
    for _ in range(4):
        refused = order(own_fleet)
        assert refused.status_code == 503
        assert refused.json()["type"] == "/problems/dependency-unavailable"
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.elapsed.total_seconds() < LOOKUP_DEADLINE_S
    assert requests.get(f"{own_fleet.orders.url}/readyz", timeout=10).status_code == 200
    assert requests.get(f"{own_fleet.orders.url}/orders/1", timeout=10).json() == written
    expanded = requests.get(f"{own_fleet.orders.url}/orders/1?expand=user", timeout=10)
    assert expanded.status_code == 503
    if how == signal.SIGKILL:
        own_fleet.users.start()
    else:
        own_fleet.users.signal(signal.SIGCONT)
    again = wait_until(lambda: (answer := order(own_fleet)).status_code == 201 and answer, 10, "orders accepted")
    assert again.json()["id"] == written["id"] + 1


def test_during_an_outage_the_circuit_opens_and_nothing_piles_up(own_fleet: Fleet) -> None:
    feed(own_fleet)
    assert order(own_fleet).status_code == 201
    own_fleet.users.kill()
    assert order(own_fleet).status_code == 503
    before, end = own_fleet.orders.resident_mb(), time.monotonic() + 6
    statuses: list[int] = []

    def hammer() -> None:
        with requests.Session() as session:
            while time.monotonic() < end:
                statuses.append(session.post(f"{own_fleet.orders.url}/orders", json=ORDER, timeout=30).status_code)

    threads = [threading.Thread(target=hammer) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {503}
    assert len(statuses) > 100
    assert own_fleet.orders.resident_mb() - before < 20
    metrics = requests.get(f"{own_fleet.orders.url}/metrics", timeout=10).text
    (line,) = [
        line
        for line in metrics.splitlines()
        if line.startswith('lookup_attempts_total{outcome="failed",service="users"')
    ]
    assert float(line.split()[1]) < 40  # about one a second, not one an order
