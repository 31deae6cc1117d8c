from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from loadgen.gauges import NAMES, Gauges, Service, values
from loadgen.settings import Settings

from .fake import running


def test_what_a_service_says_of_its_process_is_read() -> None:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    found = values(generate_latest(registry).decode())
    assert set(found) == set(NAMES)
    assert all(value >= 0 for value in found.values())


@pytest.mark.parametrize("text", ["", "<html>", "process_cpu_seconds_total\n", "process_cpu_seconds_total much"])
def test_what_is_no_figure_is_left_out(text: str) -> None:
    assert values(text) == {}


def test_cpu_time_is_counted_from_the_first_look_on() -> None:
    service = Service()
    assert [service.look(1000.0, cpu, rss) for cpu, rss in ((5.0, 1e6), (6.5, 3e6), (7.0, 2e6))] == [False] * 3
    assert (service.cpu_s, service.peak_rss) == (2.0, 3e6)


def test_a_restart_is_seen_and_its_process_counts_from_zero() -> None:
    service = Service()
    assert not service.look(1000.00, 5.0, 1e6)
    assert not service.look(1000.01, 6.0, 1e6)
    assert service.look(1200.0, 0.5, 1e6)
    assert service.cpu_s == 1.5


def test_services_that_say_nothing_of_themselves_are_left_out(tmp_path: Path) -> None:
    with running() as urls:
        gauges = Gauges(Settings.from_env(urls | {"REPORT_DIR": str(tmp_path)}))
        gauges.load_ended()
        (own,) = gauges.as_json({"users": 3, "orders": 7}, 2.0)
    assert (own["process"], own["requests"], gauges.restarts) == ("loadgen", 10, [])


def test_without_a_request_there_is_no_cost_of_one(tmp_path: Path) -> None:
    with running() as urls:
        gauges = Gauges(Settings.from_env(urls | {"REPORT_DIR": str(tmp_path)}))
        gauges.load_ended()
        (own,) = gauges.as_json({}, 0.0)
    assert (own["cpu_us_per_request"], own["share_of_a_core"]) == (None, None)
