"""The judge is tested with services that are broken on purpose: each fault must violate its own invariant.

The faults of the course are in tests/lessons/; those here show the other lines of the audit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lessons.patches import copy_code
from testbed import Fleet

from .loadgen import Run, violated


def test_passes_sound_services(fleet: Fleet, tmp_path: Path) -> None:
    status, report, printed = Run(fleet, tmp_path, writes=1500).end()
    assert (status, violated(report)) == (0, set()), printed
    assert "PASS" in printed
    assert all(service["acknowledged"] > 0 for service in report["services"].values())
    assert [each["process"] for each in report["costs"]] == ["loadgen", "users", "products", "orders"]
    assert all(each["cpu_us_per_request"] > 0 for each in report["costs"])
    assert sum(report["timeline"]["requests"]) == report["load"]["requests"]
    assert (report["restarts"], report["outages"]) == ([], [])


@contextmanager
def broken(directory: Path, service: str, fault: str) -> Iterator[Fleet]:
    """The services, one of them with a fault."""
    fleet = Fleet(directory / "data")
    fleet.by_name[service].root = copy_code(directory / "code", fault)
    try:
        yield fleet.start()
    finally:
        fleet.stop()


@pytest.mark.parametrize(
    ("service", "fault", "line"),
    [
        ("orders", "drops-a-row", "acknowledged but missing"),
        ("products", "alters-a-price", "acknowledged but altered"),
        ("orders", "orders-unchecked", "order with an unknown user or product"),
        ("orders", "replays-another-answer", "replay that differed"),
        ("users", "forgets-refusals", "replay that differed"),
        ("users", "writes-what-it-refuses", "refused but present"),
        ("orders", "invents-a-row", "never sent but present"),
    ],
)
def test_each_broken_service_violates_its_own_invariant(tmp_path: Path, service: str, fault: str, line: str) -> None:
    with broken(tmp_path, service, fault) as fleet:
        status, report, printed = Run(fleet, tmp_path / "reports", writes=1500).end()
    assert status == 1, printed
    assert line in violated(report)
    assert "FAIL" in printed


# Few buy, and many reserve for users who do not exist: units are nearly always held, and nearly always come back.
HELD = """
[actions]
create_order = 15
create_user = 2
create_product = 1
order_unknown_user = 80
[hot]
limited_share = 0.1
[sample]
products = [["Tea", "1.00"], ["Vase", "2.00", 50], ["Cup", "2.00", 50], ["Bowl", "2.00", 50]]
"""


@pytest.fixture
def scenario(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The name of a scenario, or the path of one that is written here."""
    if request.param != "held":
        return str(request.param)
    path = tmp_path / "held.toml"
    path.write_text(HELD)
    return str(path)


@pytest.mark.parametrize("scenario", ["flash-sale", "held"], indirect=True)
def test_passes_services_that_lose_confirms(tmp_path: Path, scenario: str) -> None:
    with broken(tmp_path, "products", "early-confirms-lost") as fleet:  # no fault: networks lose messages
        status, report, printed = Run(fleet, tmp_path / "reports", writes=800, LOADGEN_SCENARIO=scenario).end()
    assert (status, violated(report)) == (0, set()), printed


@pytest.mark.parametrize(
    ("fault", "scenario", "writes", "line"),
    [
        ("forgets-a-confirm", "flash-sale", 200, "still reserved"),  # the others wait for its units, a second each
        ("loses-what-is-released", "flash-sale", 800, "units lost or invented"),
        ("forgets-sales", "flash-sale", 800, "sales and orders differ"),
        ("out-of-stock-too-early", "held", 800, "out of stock too early"),
    ],
    indirect=["scenario"],
)
def test_each_way_to_be_wrong_about_stock_violates_its_own_invariant(
    tmp_path: Path, fault: str, scenario: str, writes: int, line: str
) -> None:
    with broken(tmp_path, "products", fault) as fleet:
        status, report, printed = Run(fleet, tmp_path / "reports", writes=writes, LOADGEN_SCENARIO=scenario).end()
    assert status == 1, printed
    assert line in violated(report), printed
