from pathlib import Path

from loadgen.audit.ledger import read
from loadgen.run.state import Run
from loadgen.traffic.scenario import steady


def test_a_run_has_a_mark_and_a_ledger_of_its_own(tmp_path: Path) -> None:
    runs = [Run(tmp_path, None) for _ in range(3)]
    assert len({run.mark for run in runs}) == 3
    (line,) = read(tmp_path / f"ledger-{runs[0].mark}.jsonl")
    assert line == {"event": "run", "run": runs[0].mark, "kinds": list(steady().actions)}


def test_a_flaw_is_noted_once_and_ends_the_load(run: Run) -> None:
    run.flaw("the disk is full")
    run.flaw("the disk is full")
    assert run.flaws == ["the disk is full"]
    assert run.budget.exhausted.is_set()


def test_has_a_state_before_there_is_a_report(run: Run) -> None:
    state = run.state()
    assert (state["phase"], state["report"], state["verdict"]) == ("sample", None, None)
    counts = {"attempted": 0, "acknowledged": 0, "refused": 0, "in_flight": 0, "unknown": 0}
    assert state["services"]["users"] == counts


def test_counts_the_writes_of_the_load_without_the_sample_data(run: Run) -> None:
    run.workload.tallies["users"].attempted = 33
    assert run.load_writes() == 0
    run.sample_writes, run.load_began = 33, 1.0
    run.workload.tallies["orders"].attempted = 10
    assert run.load_writes() == 10


def test_shows_a_file_where_the_user_finds_it(tmp_path: Path) -> None:
    name = f"report-{(run := Run(tmp_path, None)).mark}.html"
    assert run.shown("html") == str(tmp_path / name)
    assert Run(tmp_path, None, hint="reports/").shown("html").startswith("reports/report-")
