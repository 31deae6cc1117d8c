"""The audit on PostgreSQL: faults that this engine can have are found by a run over HTTP.

Ids that come from a sequence are found by the lesson about them, which has a reader by cursor.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lessons.patches import copy_code
from testbed import Fleet, databases
from testbed.postgres import PostgresServer

from .loadgen import Run, violated

KILLS = (300, 600, 900)  # acknowledged writes before orders is killed
NO_LIMITS = "[hot]\nlimited_share = 0.0\n"  # units that a killed process holds are released late
SOUND = os.environ.get("SOUND") == "1"  # to see that the same runs pass without the faults


@pytest.fixture
def engines(services_on: str) -> Iterator[ExitStack]:
    """What removes servers after the test."""
    with ExitStack() as stack:
        yield stack
    databases.use_server(None)


def fleet_on(server: PostgresServer, directory: Path, fault: str) -> Fleet:
    """The services on a server, orders with a fault."""
    databases.use_server(server)
    fleet = Fleet(directory / "data")
    if not SOUND:
        fleet.orders.root = copy_code(directory / "code", fault)
    return fleet


def load(fleet: Fleet, directory: Path) -> Run:
    """Start the services and a load on them."""
    scenario = directory / "no-limits.toml"
    scenario.write_text(NO_LIMITS)
    return Run(fleet.start(), directory / "reports", writes=1500, LOADGEN_SCENARIO=str(scenario))


def assert_found(line: str, outcome: tuple[int, dict[str, object], str]) -> None:
    status, report, printed = outcome
    assert (status, violated(report)) == (0, set()) if SOUND else (status == 1 and line in violated(report)), printed


@pytest.mark.parametrize(
    ("fault", "line"),
    [("postgres-key-in-memory", "duplicated"), ("postgres-answer-before-commit", "acknowledged but missing")],
)
def test_a_kill_shows_a_guard_in_memory_and_answers_before_the_commit(
    postgres: PostgresServer, engines: ExitStack, tmp_path: Path, fault: str, line: str
) -> None:
    fleet = fleet_on(postgres, tmp_path, fault)
    engines.callback(fleet.stop)
    run = load(fleet, tmp_path)
    for acknowledged in KILLS:
        run.under_way(acknowledged)
        fleet.orders.kill()
        fleet.orders.start()
    assert_found(line, run.end())


def test_a_failover_shows_a_warning_that_was_taken_for_success(
    postgres: PostgresServer, engines: ExitStack, tmp_path: Path
) -> None:
    primary = engines.enter_context(PostgresServer())
    standby = engines.enter_context(PostgresServer(source=primary, standby="second"))
    primary.require_standby("second")
    fleet = fleet_on(primary, tmp_path, "warnings-ignored")
    for process in fleet.all:
        url = databases.environment(process.directory, process.service)["DATABASE_URL"]
        process.env["DATABASE_URL"] = url.replace("@127.0.0.1:", f"@127.0.0.1:{standby.port},127.0.0.1:")
    engines.callback(fleet.stop)
    run = load(fleet, tmp_path)
    run.under_way(400)
    standby.stop()  # from here on every commit waits for it
    primary.cancel_waits(databases.name_of(fleet.orders))
    primary.kill()
    standby.start().promote()
    assert_found("acknowledged but missing", run.end())
