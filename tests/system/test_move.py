"""A run on SQLite, its data moved to PostgreSQL, and the run audited again there."""

import os
import subprocess
import sys
from pathlib import Path

from testbed import Fleet, databases
from testbed.postgres import PostgresServer
from testbed.process import Process

from .loadgen import Run, violated


def move(process: Process) -> str:
    """Move the data of a service that has stopped, with the command of the page, and return what it prints."""
    command = [sys.executable, "-m", "service_common.storage.move", f"{process.service}_service"]
    env = os.environ | {"DATA_DIR": str(process.directory)} | databases.environment(process.directory, process.service)
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


def audit_again(ledger: Path, fleet: Fleet) -> tuple[int, str]:
    """Audit a run once more, and return the exit status and what is printed."""
    command = [sys.executable, "-m", "loadgen.again", str(ledger)]
    done = subprocess.run(command, env=os.environ | fleet.urls(), capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_a_run_on_sqlite_passes_again_where_all_its_data_was_moved(
    services_on: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    fleet = Fleet(tmp_path / "data")
    ledger = None
    try:
        status, report, printed = Run(fleet.start(), tmp_path, writes=1500).end()
        assert (status, violated(report)) == (0, set()), printed
        ledger = Path(report["ledger"])
        assert any('"stock":' in line for line in ledger.read_text().splitlines())
        assert audit_again(ledger, fleet)[0] == 0
        fleet.stop()
        databases.use_server(postgres)
        moved = [move(process) for process in fleet.all]
        assert all("moved" in each for each in moved), moved
        fleet.start()
        status, printed = audit_again(ledger, fleet)
        assert (status, "PASS" in printed) == (0, True), printed
        # The run that follows finds its place behind what was moved.
        status, report, printed = Run(fleet, tmp_path / "after", writes=300).end()
        assert (status, violated(report)) == (0, set()), printed
        (row,) = databases.query(fleet.orders, "SELECT min(id) FROM orders")
        databases.query(fleet.orders, "DELETE FROM orders WHERE id = ?", row)
        status, printed = audit_again(ledger, fleet)
        assert (status, "FAIL" in printed) == (1, True), printed
    finally:
        fleet.stop()
        databases.use_server(postgres if services_on == "postgres" else None)


def test_without_a_ledger_there_is_no_verdict(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadgen.again", str(tmp_path / "none")], capture_output=True, text=True
    )
    assert (done.returncode, "No verdict" in done.stderr) == (2, True)
