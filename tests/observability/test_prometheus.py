"""A real Prometheus that scrapes real services, with the rules and the queries as they are shipped.

Only waiting is shortened: it scrapes twice a second, and an alert fires when its condition has held for a second.
"""

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from testbed import Fleet, wait_until
from testbed.process import Server, stop_all

from .files import alerts, queries, read, selectors

pytestmark = pytest.mark.alone  # a scrape that is late on a busy machine is an alert here

QUEUE = 5  # writes that may wait at users
LOCKED_S = 1.3  # longer than a transaction of users waits for a lock
SLOW_S = 0.5  # that users stands still, shorter than an attempt of orders waits


class Prometheus(Server):
    """Prometheus, asked over HTTP."""

    def __init__(self, directory: Path, fleet: Fleet) -> None:
        config, rules = read("prometheus.yml"), read("rules.yml")
        config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
        for rule in (rule for group in rules["groups"] for rule in group["rules"] if "for" in rule):
            rule["for"] = "1s"
        job = config["scrape_configs"][0]
        del job["dns_sd_configs"]
        job["authorization"] = {"credentials_file": "/dev/null"}
        job["static_configs"] = [
            {"targets": [f"127.0.0.1:{process.port}"], "labels": {"service": process.service}} for process in fleet.all
        ]
        for name, content in (("prometheus.yml", config), ("rules.yml", rules)):
            (directory / name).write_text(yaml.safe_dump(content))
        command = [
            "prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/tsdb",
            "--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage",
        ]  # fmt: skip
        super().__init__("prometheus", command, directory, {})

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression has now."""
        said = requests.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=10).json()
        assert said["status"] == "success", (expression, said)
        found: list[dict[str, Any]] = said["data"]["result"]
        return found

    def firing(self) -> set[tuple[str, str]]:
        """Return the alerts that fire, each with the service that it is about."""
        found = self.ask('ALERTS{alertstate="firing"}')
        return {
            (one["metric"]["alertname"], one["metric"].get("service") or one["metric"]["dependency"]) for one in found
        }


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The services; products is on a disk whose syncs take 120 ms."""
    slow = {"products": "bench.slow_disk_app:create_app('products')"}
    running = Fleet(tmp_path_factory.mktemp("fleet"), slow, {"ACCESS_LOG": "false", "SYNC_MS": "120", "TRACES": "true"})
    running.users.env["WRITE_QUEUE_LIMIT"] = str(QUEUE)
    running.orders.env["SWEEP_EVERY"] = "0.5"
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture(scope="module")
def prometheus(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    if shutil.which("prometheus") is None:
        reason = "no Prometheus (Debian: apt install prometheus)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    server = Prometheus(tmp_path_factory.mktemp("prometheus"), fleet)
    server.spawn()
    try:
        wait_until(lambda: server._get("/-/ready") == 200, what="Prometheus")
        wait_until(lambda: len(server.ask("up == 1")) == 3, what="all services")
        # It evaluates rules for 5 s before it scrapes for the first time. Until then every service is absent.
        wait_until(lambda: not server.firing(), what="the end of the alerts of its own start")
        yield server
    finally:
        stop_all([server])


def order(fleet: Fleet, product: int) -> int:
    body = {"user_id": 1, "product_id": product, "quantity": 1}
    return requests.post(f"{fleet.orders.url}/orders", json=body, timeout=10).status_code


def create(fleet: Fleet, number: int) -> int:
    body = {"name": "Ada", "email": f"ada-{number}@example.com"}
    return requests.post(f"{fleet.users.url}/users", json=body, timeout=10).status_code


def test_each_alert_fires_for_its_cause_and_for_nothing_else(prometheus: Prometheus, fleet: Fleet) -> None:
    expected: set[tuple[str, str]] = set()
    fired: set[str] = set()

    def fires(alert: str, of: str) -> None:
        expected.add((alert, of))
        began = time.monotonic()
        wait_until(lambda: (alert, of) in prometheus.firing(), what=f"{alert} of {of}")
        print(f"{alert} of {of} fires after {time.monotonic() - began:.1f} s")
        assert prometheus.firing() <= expected
        fired.add(alert)

    assert create(fleet, 0) == 201
    for stock in (None, 10):
        product = {"name": "Tea", "price": "1.00", "stock": stock}
        assert requests.post(f"{fleet.products.url}/products", json=product, timeout=10).status_code == 201
    assert [order(fleet, 1) for _ in range(10)] == [201] * 10
    assert prometheus.firing() <= {("DiskSlow", "products")}
    fires("DiskSlow", "products")

    with ThreadPoolExecutor(2 * QUEUE) as pool:
        fleet.users.signal(signal.SIGSTOP)
        slow = [pool.submit(order, fleet, 1) for _ in range(5)]
        time.sleep(SLOW_S)
        fleet.users.signal(signal.SIGCONT)
        assert [one.result() for one in slow] == [201] * 5
        fires("OrdersSlow", "orders")

        with closing(sqlite3.connect(fleet.users.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            stuck = [pool.submit(create, fleet, number) for number in range(1, 2 * QUEUE)]
            time.sleep(LOCKED_S)
            other.execute("ROLLBACK")
        assert {one.result() for one in stuck} >= {503}
    expected |= {("WriteQueueFills", "users"), ("CommitsFail", "users"), ("ErrorBudgetBurnsFast", "users")}
    for alert in ("WriteQueueFills", "CommitsFail"):
        fires(alert, "users")

    with closing(sqlite3.connect(fleet.products.database)) as db, db:  # what a restored backup does
        db.execute("CREATE TRIGGER forgetful AFTER INSERT ON reservations BEGIN DELETE FROM reservations; END")
    assert order(fleet, 2) == 201
    fires("StockUnreconciled", "orders")

    fleet.users.kill()
    expected |= {("ServiceDown", "users"), ("ErrorBudgetBurnsFast", "orders")}
    for _ in range(10):
        assert order(fleet, 1) == 503
        time.sleep(0.2)
    fires("LookupsFail", "users")
    fires("ServiceDown", "users")
    fires("ErrorBudgetBurnsFast", "orders")
    assert fired == set(alerts())

    fleet.users.start()
    wait_until(lambda: ("ServiceDown", "users") not in prometheus.firing(), what="the end of the alert")


def test_exemplars_lead_to_traces(prometheus: Prometheus, fleet: Fleet) -> None:
    series = 'http_request_duration_seconds_bucket{service="orders",route="/orders"}'
    asked = {"query": series, "start": str(time.time() - 600), "end": str(time.time() + 5)}
    found = requests.get(f"{prometheus.url}/api/v1/query_exemplars", params=asked, timeout=10).json()["data"]
    traces = [each["labels"]["trace_id"] for one in found for each in one["exemplars"]]
    assert traces
    assert requests.get(f"{fleet.orders.url}/traces/{traces[-1]}", timeout=5).status_code == 200


def test_each_query_reads_series_that_exist(prometheus: Prometheus) -> None:
    """All alerts have fired before, so there is also what only faults make."""
    for what, expression in queries().items():
        prometheus.ask(expression)
        found = selectors(expression)
        assert found, what
        for selector in found:
            assert prometheus.ask(f"last_over_time({selector}[1h])"), f"{what}: {selector}"
