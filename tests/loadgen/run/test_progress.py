from pathlib import Path

from loadgen.audit.invariants import INVARIANTS
from loadgen.audit.judge import audit
from loadgen.run.progress import SHARES, Progress

from ..histories import clean


def test_has_nothing_to_show_before_it_begins() -> None:
    assert (Progress().state(), Progress().line()) == (None, "")


def test_shows_the_step_the_share_and_the_time_left() -> None:
    now = [100.0]
    progress = Progress(lambda: now[0])
    progress.at("reading back")
    assert progress.line() == "0%, reading back 0"
    now[0] += 10
    progress.at("loading the ledger", 500, 1000)
    assert progress.line() == "40%, loading the ledger 500 of 1,000, about 15 s left"


def test_never_shows_more_than_the_whole() -> None:
    assert round(sum(SHARES.values()), 6) == 1
    progress = Progress()
    progress.at("checking the invariants", 20, 13)
    state = progress.state()
    assert state is not None
    assert state["share"] == 1.0


def test_the_judge_reports_every_step_in_order(tmp_path: Path) -> None:
    history = clean()
    seen: list[tuple[str, int]] = []
    found = [(service, row) for (service, _), row in sorted(history.rows.items())]
    audit(history.lines, found, (), tmp_path, lambda step, done: seen.append((step, done)))
    steps = list(dict.fromkeys(step for step, _ in seen))
    assert ["reading back", *steps] == list(SHARES)
    assert [done for step, done in seen if step == "checking the invariants"] == list(range(len(INVARIANTS)))
