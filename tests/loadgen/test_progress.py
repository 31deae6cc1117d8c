from pathlib import Path

from loadgen.audit import audit
from loadgen.progress import SHARES, Progress

from .histories import clean


def test_before_it_begins_there_is_nothing_to_say() -> None:
    assert (Progress().state(), Progress().line()) == (None, "")


def test_it_says_the_step_the_share_and_the_time_left() -> None:
    now = [100.0]
    progress = Progress(lambda: now[0])
    progress.at("reading back")
    assert progress.line() == "0%, reading back 0"
    now[0] += 10
    progress.at("loading the ledger", 500, 1000)
    assert progress.line() == "40%, loading the ledger 500 of 1,000, about 15 s left"


def test_the_shares_are_a_whole_and_more_done_than_expected_is_not_more_than_all() -> None:
    assert round(sum(SHARES.values()), 6) == 1
    progress = Progress()
    progress.at("judging the invariants", 20, 13)
    state = progress.state()
    assert state is not None
    assert state["share"] == 1.0


def test_the_audit_tells_every_step_in_its_order(tmp_path: Path) -> None:
    history = clean()
    told: list[tuple[str, int]] = []
    found = [(service, row) for (service, _), row in sorted(history.rows.items())]
    audit(history.lines, found, (), tmp_path, lambda step, done: told.append((step, done)))
    steps = list(dict.fromkeys(step for step, _ in told))
    assert ["reading back", *steps] == list(SHARES)
    assert [done for step, done in told if step == "judging the invariants"] == list(range(13))
