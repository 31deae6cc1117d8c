"""The routes about the service itself: /, /livez, /readyz, /metrics."""

import sys
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from testbed import Fleet, databases, wait_until

from .client import SERVICES, created, get, metric, new_item, post, rows, send, served
from .conftest import Alone


@SERVICES
def test_the_index_names_service_version_and_links(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    index = send(process, "GET", "/").json()
    assert index["service"] == name
    assert index["version"].count(".") == 2
    assert f"/{name}" in index["links"].values()
    for link in index["links"].values():
        assert send(process, "GET", link).status_code == 200


@SERVICES
def test_a_running_service_is_alive_and_ready(fleet: Fleet, name: str) -> None:
    for path in ("/livez", "/readyz"):
        answer = send(served(fleet, name), "GET", path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


def test_probes_write_no_rows(fleet: Fleet) -> None:
    before = rows(fleet.users)
    for _ in range(20):
        send(fleet.users, "GET", "/readyz")
    assert rows(fleet.users) == before


def test_orders_is_ready_without_users_and_products(alone: Alone) -> None:
    orders = alone("orders", USERS_URL="http://127.0.0.1:1", PRODUCTS_URL="http://127.0.0.1:1")
    assert send(orders, "GET", "/readyz").status_code == 200


@SERVICES
def test_counts_requests_by_method_route_and_status(fleet: Fleet, name: str) -> None:
    process, item = served(fleet, name), new_item(fleet, name)
    route = {"method": "POST", "route": f"/{name}"}
    counted = {status: metric(process, "http_requests_total", **route, status=status) for status in ("201", "422")}
    timed = metric(process, "http_request_duration_seconds_count", **route)
    id = created(process, item)["id"]
    post(process, {})
    one = {"method": "GET", "route": f"/{name}/<id>", "status": "200"}
    before = metric(process, "http_requests_total", **one)
    get(process, f"/{id}")
    assert metric(process, "http_requests_total", **route, status="201") == counted["201"] + 1
    assert metric(process, "http_requests_total", **route, status="422") == counted["422"] + 1
    assert metric(process, "http_request_duration_seconds_count", **route) == timed + 2
    assert metric(process, "http_requests_total", **one) == before + 1


def test_requests_cannot_add_metric_series(fleet: Fleet) -> None:
    def series() -> set[str]:
        lines = send(fleet.users, "GET", "/metrics").text.splitlines()
        return {line.rpartition(" ")[0] for line in lines if line.startswith("http_requests_total")}

    send(fleet.users, "FOO", "/nothing")
    send(fleet.users, "GET", "/users/0")
    before = series() | series()
    for number in range(50):
        send(fleet.users, f"METHOD{'ABCDEFGHIJ'[number % 10]}", f"/nothing{number}")
        send(fleet.users, "GET", f"/users/{number}x", X_Request_ID=f"id{number}")
    assert series() == before


@SERVICES
def test_metrics_are_prometheus_text(fleet: Fleet, name: str) -> None:
    answer = send(served(fleet, name), "GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert len(list(text_string_to_metric_families(answer.text))) >= 5
    assert metric(served(fleet, name), "log_lines_dropped_total") == 0
    engine = "PostgreSQL" if databases.environment(fleet.users.directory, "users") else "SQLite"
    assert metric(served(fleet, name), "storage_engine_info", engine=engine) == 1
    assert metric(served(fleet, name), "storage_writable") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these figures")
def test_metrics_show_cpu_memory_and_start_time(fleet: Fleet) -> None:
    cpu = metric(fleet.users, "process_cpu_seconds_total")
    assert 0 < cpu < 3600
    assert metric(fleet.users, "process_resident_memory_bytes") > 1e7
    assert 0 < time.time() - metric(fleet.users, "process_start_time_seconds") < 3600


@pytest.mark.parametrize(
    ("env", "message"), [({"MAX_BODY_BYTES": "many"}, "MAX_BODY_BYTES"), ({"DATA_DIR": "/proc/nowhere"}, "DATA_DIR")]
)  # fmt: skip
def test_a_service_that_cannot_start_ends_with_one_line(
    alone: Alone, services_on: str, env: dict[str, str], message: str
) -> None:
    if "DATA_DIR" in env and services_on != "sqlite":
        pytest.skip("about the file of SQLite")
    users = alone("users", wait=False, **env)
    assert users.process is not None
    process = users.process
    assert wait_until(lambda: process.poll() is not None, what="its end")
    assert process.returncode not in (0, None)
    assert "Traceback" not in users.logged()
    assert len([line for line in users.logged().splitlines() if message in line]) == 1
