"""The judge is judged: with a service broken on purpose the audit must fail, and in the right line."""

from pathlib import Path

import pytest

from ..fleet import Fleet
from .loadgen import Run, violated


def test_sound_services_pass(fleet: Fleet, tmp_path: Path) -> None:
    status, report, printed = Run(fleet, tmp_path, writes=1500).end()
    assert (status, violated(report)) == (0, set()), printed
    assert "PASS" in printed
    assert all(service["acknowledged"] > 0 for service in report["services"].values())
    assert [each["process"] for each in report["costs"]] == ["loadgen", "users", "products", "orders"]
    assert all(each["cpu_us_per_request"] > 0 for each in report["costs"])
    assert sum(report["timeline"]["requests"]) == report["load"]["requests"]
    assert (report["restarts"], report["outages"]) == ([], [])


@pytest.mark.parametrize(
    ("service", "fault", "line"),
    [
        ("orders", "drops_an_acknowledged_write", "acknowledged but missing"),
        ("orders", "writes_a_retried_request_twice", "duplicated"),
        ("products", "alters_a_price", "acknowledged but altered"),
        ("orders", "acknowledges_before_it_commits_and_is_killed", "acknowledged but missing"),
        ("orders", "accepts_orders_unchecked", "order with an unknown user or product"),
        ("users", "lets_equal_emails_in", "equal e-mails"),
        ("products", "ignores_if_match", "update lost"),
        ("orders", "replays_another_answer", "replay that differed"),
        ("products", "writes_what_it_refuses", "refused but present"),
        ("orders", "invents_rows", "never sent but present"),
        ("orders", "miscalculates_totals", "wrong total"),
        ("users", "shows_stale_reads", "own write not read back"),
    ],
)
def test_a_broken_service_fails_in_its_own_line(tmp_path: Path, service: str, fault: str, line: str) -> None:
    broken = Fleet(tmp_path / "data", apps={service: f"tests.broken:{fault}()"})
    try:
        status, report, printed = Run(broken.start(), tmp_path / "reports", writes=1500).end()
    finally:
        broken.stop()
    assert status == 1, printed
    assert line in violated(report)
    assert "FAIL" in printed
