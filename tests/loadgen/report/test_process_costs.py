from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from loadgen.report.process_costs import NAMES, ProcessCosts, ServiceProcess, values
from loadgen.settings import Settings

from ..fake import running


def test_reads_the_figures_of_a_process_from_its_metrics() -> None:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    found = values(generate_latest(registry).decode())
    assert set(found) == set(NAMES)
    assert all(value >= 0 for value in found.values())


@pytest.mark.parametrize("text", ["", "<html>", "process_cpu_seconds_total\n", "process_cpu_seconds_total much"])
def test_skips_values_that_are_not_numbers(text: str) -> None:
    assert values(text) == {}


def test_counts_cpu_time_from_the_first_sample_on() -> None:
    service = ServiceProcess()
    assert [service.sample(1000.0, cpu, rss) for cpu, rss in ((5.0, 1e6), (6.5, 3e6), (7.0, 2e6))] == [False] * 3
    assert (service.cpu_s, service.peak_rss) == (2.0, 3e6)


def test_notices_a_restart_and_counts_the_new_process_from_zero() -> None:
    service = ServiceProcess()
    assert not service.sample(1000.00, 5.0, 1e6)
    assert not service.sample(1000.01, 6.0, 1e6)
    assert service.sample(1200.0, 0.5, 1e6)
    assert service.cpu_s == 1.5


def test_leaves_out_services_without_process_metrics(tmp_path: Path) -> None:
    with running() as urls:
        costs = ProcessCosts(Settings.from_env(urls | {"REPORT_DIR": str(tmp_path)}))
        costs.load_ended()
        (own,) = costs.as_json({"users": 3, "orders": 7}, 2.0)
    assert (own["process"], own["requests"], costs.restarts) == ("loadgen", 10, [])


def test_gives_no_cost_per_request_without_a_request(tmp_path: Path) -> None:
    with running() as urls:
        costs = ProcessCosts(Settings.from_env(urls | {"REPORT_DIR": str(tmp_path)}))
        costs.load_ended()
        (own,) = costs.as_json({}, 0.0)
    assert (own["cpu_us_per_request"], own["share_of_a_core"]) == (None, None)
