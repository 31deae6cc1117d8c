"""The metrics: those of the page, by Prometheus' conventions."""

import os
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from testbed import Fleet, Process, databases

from ..docs import pages
from .client import SERVICES, created, metric, new_item, new_key, post, send, served
from .conftest import Alone

PAGE = pages.ROOT / "docs/observability.md"


def text_of(process: Process) -> str:
    return send(process, "GET", "/metrics").text


def shown(text: str) -> set[tuple[str, str, str]]:
    """Return name, type and labels of the metrics in an answer."""
    found = set()
    for family in text_string_to_metric_families(text):
        labels = {name for sample in family.samples for name in sample.labels if name != "le"}
        total = "_total" if family.type == "counter" else ""
        found.add((f"{family.name}{total}", family.type, ", ".join(sorted(labels))))
    return found


@SERVICES
def test_the_page_lists_every_metric(fleet: Fleet, name: str) -> None:
    created(fleet.orders, new_item(fleet, "orders"))
    on_sqlite = not databases.environment(fleet.users.directory, "users")
    expected = {
        (metric.strip("`"), type, ", ".join(sorted(labels.replace("`", "").split(", "))))
        for metric, of, type, labels, meaning in pages.rows(PAGE, "## Metrics")
        if of in ("each", name) and (on_sqlite or "SQLite only" not in meaning)
    }
    assert shown(text_of(served(fleet, name))) == expected


@SERVICES
def test_names_follow_the_conventions(fleet: Fleet, name: str) -> None:
    if shutil.which("promtool") is None:
        reason = "no promtool: install Prometheus"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    text = text_of(served(fleet, name))
    said = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


@SERVICES
def test_no_label_collides_with_those_that_prometheus_sets(fleet: Fleet, name: str) -> None:
    for _, _, labels in shown(text_of(served(fleet, name))):
        assert not {"service", "job", "instance"} & set(labels.split(", "))


def test_counts_problems_by_kind_and_replays(fleet: Fleet) -> None:
    def counted() -> dict[str, float]:
        kinds = ("duplicate-email", "validation", "not-found", "idempotency-key-reused")
        problems = {kind: metric(fleet.users, "problems_total", kind=kind) for kind in kinds}
        return problems | {"replays": metric(fleet.users, "idempotency_replays_total")}

    before, item, mine = counted(), new_item(fleet, "users"), new_key()
    post(fleet.users, item, Idempotency_Key=mine)
    post(fleet.users, item, Idempotency_Key=mine)
    post(fleet.users, item | {"name": "Other"}, Idempotency_Key=mine)
    post(fleet.users, item)
    post(fleet.users, item, Idempotency_Key=new_key())  # refused within the transaction
    post(fleet.users, {})
    send(fleet.users, "GET", "/nothing")
    grown = {kind: count - before[kind] for kind, count in counted().items()}
    assert grown == {
        "duplicate-email": 2, "validation": 1, "not-found": 1, "idempotency-key-reused": 1, "replays": 1,
    }  # fmt: skip


def test_shows_what_waited_and_what_is_held(fleet: Fleet) -> None:
    waited = metric(fleet.users, "write_queue_wait_seconds_count")
    created(fleet.users, new_item(fleet, "users"))
    assert metric(fleet.users, "write_queue_wait_seconds_count") >= waited + 1
    assert 1 <= metric(fleet.users, "write_queue_highest_jobs") <= metric(fleet.users, "write_queue_limit_jobs")
    assert metric(fleet.users, "service_ready") == 1
    assert 0 < metric(fleet.users, "event_loop_lag_seconds") < 30
    assert metric(fleet.users, "http_held_bytes") == 0
    if not databases.environment(fleet.users.directory, "users"):
        for file, size in (("users.db", "storage_database_bytes"), ("users.db-wal", "storage_wal_bytes")):
            assert metric(fleet.users, size) == (fleet.users.directory / file).stat().st_size


def test_a_circuit_that_opens_is_counted(alone: Alone, fleet: Fleet) -> None:
    orders = alone("orders", USERS_URL="http://127.0.0.1:1", PRODUCTS_URL=fleet.products.url)
    assert post(orders, {"user_id": 1, "product_id": 1, "quantity": 1}).status_code == 503
    assert metric(orders, "lookup_circuit_opened_total", dependency="users") == 1
    assert metric(orders, "lookup_circuit_opened_total", dependency="products") == 0
    assert metric(orders, "lookup_attempt_duration_seconds_count", dependency="users") == 3
    assert metric(orders, "lookup_round_duration_seconds_count") == 1


def test_answers_openmetrics_to_those_who_ask_for_it(fleet: Fleet) -> None:
    accept = 'application/openmetrics-text;version=x";q=0.9,text/plain;version=0.0.4;q=0.8'
    answer = send(fleet.users, "GET", "/metrics", Accept=accept)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=")
    assert answer.text.endswith("# EOF\n")
    assert send(fleet.users, "GET", "/metrics").headers["Content-Type"].startswith("text/plain; version=")
