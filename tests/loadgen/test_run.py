from pathlib import Path

from loadgen.ledger import read
from loadgen.run import Run


def test_a_budget_is_used_to_the_last_write_and_no_further(tmp_path: Path) -> None:
    run = Run(tmp_path, [], budget=10)
    assert [run.take(4), run.take(4)] == [4, 4]
    assert not run.exhausted.is_set()
    assert [run.take(4), run.take(4), run.take()] == [2, 0, 0]
    assert run.exhausted.is_set()
    assert run.taken == 10


def test_without_a_budget_there_is_no_end(run: Run) -> None:
    assert run.take(1_000_000) == 1_000_000
    assert not run.exhausted.is_set()


def test_every_kind_is_dealt_once(tmp_path: Path) -> None:
    run = Run(tmp_path, ["browse", "read_own"], budget=None)
    assert {run.deal(), run.deal()} == {"browse", "read_own"}
    assert run.deal() is None


def test_a_run_has_a_mark_and_a_ledger_of_its_own(tmp_path: Path) -> None:
    runs = [Run(tmp_path, ["browse"], budget=None) for _ in range(3)]
    assert len({run.mark for run in runs}) == 3
    (line,) = read(tmp_path / f"ledger-{runs[0].mark}.jsonl")
    assert line == {"event": "run", "run": runs[0].mark, "kinds": ["browse"]}


def test_a_flaw_is_noted_once_and_ends_the_load(run: Run) -> None:
    run.flaw("the disk is full")
    run.flaw("the disk is full")
    assert run.flaws == ["the disk is full"]
    assert run.exhausted.is_set()


def test_the_state_is_there_before_there_is_a_report(run: Run) -> None:
    state = run.state()
    assert (state["phase"], state["report"], state["verdict"]) == ("sample", None, None)
    assert state["services"]["users"] == {"attempted": 0, "acknowledged": 0, "refused": 0, "unknown": 0}


def test_every_write_has_a_key_of_its_own(run: Run) -> None:
    assert len({run.write_op("users", "create_user", {}).key for _ in range(100)}) == 100
