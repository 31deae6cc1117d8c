"""A flash sale, while both services that hold a part of it are killed again and again."""

from pathlib import Path

from testbed import Fleet

from .loadgen import Run, violated


def test_a_flash_sale_under_kills_oversells_loses_and_holds_back_nothing(own_fleet: Fleet, tmp_path: Path) -> None:
    run = Run(own_fleet, tmp_path / "reports", writes=4000, LOADGEN_SCENARIO="flash-sale")
    for number, process in enumerate((own_fleet.orders, own_fleet.products) * 3, start=1):
        run.under_way(120 * number)
        process.kill()
        process.start()
    status, report, printed = run.end()
    assert (status, violated(report)) == (0, set()), printed
    stock = report["stock"]
    assert (stock["products"], stock["supplied"], stock["reserved"]) == (3, 400, 0)
    assert stock["sold"] + stock["left"] == 400
    assert stock["sold"] > 0
