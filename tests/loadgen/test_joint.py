"""What a master makes of what its workers tell it, on reports written by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadgen.audit import EXAMPLES, HELD, INVARIANTS, UNDECIDED, VIOLATED
from loadgen.joint import LOST_S, Joint, Part, add_up, shares
from loadgen.report import verdict_line
from loadgen.settings import SERVICES
from loadgen.timeline import Timeline

Json = dict[str, Any]
MISSING, EQUAL = "acknowledged but missing", "equal e-mails"


def report(mark: str = "aaaaaa", verdict: int = HELD, flaws: tuple[str, ...] = (), **counts: int | None) -> Json:
    """What a worker's audit found: 10 writes attempted of each service; violations by the invariant's first word."""
    found = {invariant.name: 0 for invariant in INVARIANTS} | counts
    return {
        "run": mark,
        "verdict": verdict,
        "summary": "said by the worker",
        "flaws": list(flaws),
        "services": {
            name: {"attempted": 10, "acknowledged": 7, "refused": 2, "unknown": 0, "maybe": 1} for name in SERVICES
        },
        "invariants": [
            {"name": name, "meaning": "", "count": count, "examples": [f"orders {n}" for n in range(count or 0)]}
            for name, count in found.items()
        ],
        "refusals": [{"service": "users", "problem": "validation", "writes": 2}],
        "outages": [],
        "costs": [{"process": "loadgen", "requests": 30}],
    }


def state(mark: str = "aaaaaa", phase: str = "load", taken: int = 5, **other: Any) -> Json:
    tally = {"attempted": 2, "acknowledged": 1, "refused": 1, "unknown": 0}
    return {
        "run": mark,
        "phase": phase,
        "writes": {"attempted": taken, "of": 10},
        "load_seconds": 1.0,
        "services": dict.fromkeys(SERVICES, tally),
        "unsettled": 1,
        "rows_read_back": 3,
        "audit": None,
        "verdict": None,
        "ledger": f"reports/ledger-{mark}.jsonl",
        "report": None,
    } | other


def audited(found: Json) -> Json:
    return state(found["run"], "done", taken=10, verdict=found["verdict"], report=found)


def told(state: Json | None, **other: Any) -> Json:
    whole = {"state": state, "exhausted": False, "trouble": None, "timeline": None, "requests": {"users": 4}}
    return whole | other


def part(found: Json | None, name: str = "worker 1", share: int | None = 10) -> Part:
    return Part(name, share, 0.0, audited(found) if found else state())


@pytest.mark.parametrize(
    ("whole", "workers", "split"),
    [(10, 4, [3, 3, 2, 2]), (8, 4, [2, 2, 2, 2]), (2, 3, [1, 1, 0]), (None, 2, [None, None]), (7, 1, [7])],
)
def test_the_writes_are_split_to_the_last_one(whole: int | None, workers: int, split: list[int | None]) -> None:
    assert shares(whole, workers) == split


def test_counts_and_refusals_are_sums() -> None:
    judged = add_up("cccccc", [part(report("aaaaaa")), part(report("bbbbbb"))])
    assert (judged.verdict, judged.flaws) == (HELD, [])
    orders = judged.services["orders"]
    assert (orders.attempted, orders.acknowledged, orders.refused, orders.maybe) == (20, 14, 4, 2)
    assert judged.refusals == [("users", "validation", 4)]
    assert verdict_line(judged) == "PASS: 60 writes attempted, 42 acknowledged, every one there exactly once."


def test_violations_are_summed_and_each_example_says_whose_it_is() -> None:
    found = [report("aaaaaa", VIOLATED, **{MISSING: 2}), report("bbbbbb", VIOLATED, **{MISSING: 4}), report("dddddd")]
    judged = add_up("cccccc", [part(each) for each in found])
    (finding,) = judged.violated
    assert (judged.verdict, finding.name, finding.count) == (VIOLATED, MISSING, 6)
    assert finding.examples[:3] == ["orders 0 of run aaaaaa", "orders 1 of run aaaaaa", "orders 0 of run bbbbbb"]
    assert len(finding.examples) == EXAMPLES


def test_what_every_worker_sees_is_not_counted_once_for_each() -> None:
    found = [report("aaaaaa", VIOLATED, **{EQUAL: 3}), report("bbbbbb", VIOLATED, **{EQUAL: 2})]
    (finding,) = add_up("cccccc", [part(each) for each in found]).violated
    assert (finding.name, finding.count) == (EQUAL, 3)


@pytest.mark.parametrize(
    ("verdicts", "sum_"),
    [
        ([HELD, HELD], HELD),
        ([HELD, UNDECIDED], UNDECIDED),
        ([UNDECIDED, VIOLATED], VIOLATED),
        ([VIOLATED, HELD], VIOLATED),
    ],
)
def test_a_violation_beats_no_verdict_and_that_beats_a_pass(verdicts: list[int], sum_: int) -> None:
    reasons: dict[int, Callable[[], Json]] = {
        HELD: report,
        UNDECIDED: lambda: report(verdict=UNDECIDED, flaws=("never completed: browse",)),
        VIOLATED: lambda: report(verdict=VIOLATED, **{MISSING: 1}),
    }
    assert add_up("cccccc", [part(reasons[verdict]()) for verdict in verdicts]).verdict == sum_


def test_a_worker_that_was_lost_leaves_no_verdict_and_is_named() -> None:
    judged = add_up("cccccc", [part(report()), part(None, "worker 2 on b")])
    assert judged.verdict == UNDECIDED
    assert judged.flaws == ["worker 2 on b was lost: it had attempted 5 of its 10 writes when it was last heard of"]
    assert judged.services["orders"].attempted == 10


def test_a_violation_stands_though_a_worker_was_lost() -> None:
    judged = add_up("cccccc", [part(report(verdict=VIOLATED, **{MISSING: 1})), part(None)])
    assert (judged.verdict, len(judged.flaws)) == (VIOLATED, 1)


def test_what_one_worker_could_not_judge_is_not_zero() -> None:
    found = report(verdict=UNDECIDED, flaws=("reading back failed",), **{MISSING: None})
    counts = {each.name: each.count for each in add_up("cccccc", [part(report()), part(found)]).invariants}
    assert (counts[MISSING], counts["duplicated"]) == (None, 0)


def test_what_one_worker_does_not_know_of_is_not_judged() -> None:
    older = report("aaaaaa")
    older["invariants"] = [each for each in older["invariants"] if each["name"] != MISSING]
    judged = add_up("cccccc", [part(older), part(report("bbbbbb"))])
    counts = {each.name: each.count for each in judged.invariants}
    assert (judged.verdict, counts[MISSING], counts["duplicated"]) == (UNDECIDED, None, 0)


def test_without_any_worker_there_is_no_verdict() -> None:
    judged = add_up("cccccc", [])
    assert (judged.verdict, judged.flaws) == (UNDECIDED, ["no worker took part"])
    assert {each.count for each in judged.invariants} == {None}


def test_an_audit_that_failed_and_a_worker_that_could_not_begin_are_named() -> None:
    failed = Part("worker 1", 10, 0.0, state(phase="done", verdict=UNDECIDED))
    unable = Part("worker 2", 10, 0.0, trouble="no ledger can be written")
    judged = add_up("cccccc", [failed, unable])
    assert judged.verdict == UNDECIDED
    assert judged.flaws == [
        "worker 1: the audit itself failed",
        "worker 2 could not begin: no ledger can be written",
    ]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def joint(tmp_path: Path, clock: Clock) -> Joint:
    run = Joint(tmp_path, 10, clock)
    run.plan({"a": "worker 1", "b": "worker 2"})
    return run


def test_the_counters_of_a_run_are_sums_of_what_was_last_told(joint: Joint) -> None:
    for mark, id_ in (("aaaaaa", "a"), ("bbbbbb", "b"), ("aaaaaa", "a")):
        joint.hear(id_, told(state(mark)))
    assert (joint.taken, joint.audited, joint.unsettled(), joint.phase) == (10, 6, 2, "load")
    assert (joint.tallies["users"].attempted, joint.requests["users"]) == (4, 8)
    assert [each["run"] for each in joint.state()["workers"]] == ["aaaaaa", "bbbbbb"]


def test_a_worker_is_waited_for_until_nothing_was_heard_of_it_for_too_long(joint: Joint, clock: Clock) -> None:
    joint.hear("a", told(audited(report())))
    clock.now += LOST_S
    assert [each.name for each in joint.waited_for()] == ["worker 2"]
    clock.now += 0.1
    assert joint.waited_for() == []
    joint.hear("b", told(state("bbbbbb")))
    assert [each.name for each in joint.waited_for()] == ["worker 2"]


def test_one_that_has_not_begun_when_the_load_ends_is_not_waited_for_however_often_it_is_heard(
    joint: Joint, clock: Clock
) -> None:
    joint.load_ended = clock.now
    clock.now += LOST_S + 0.1
    joint.hear("a", told(None))
    joint.hear("b", told(state("bbbbbb")))
    assert [each.name for each in joint.waited_for()] == ["worker 2"]


def test_what_comes_after_the_verdict_changes_nothing(joint: Joint) -> None:
    joint.hear("a", told(audited(report())))
    joint.done.set()
    joint.hear("b", told(audited(report("bbbbbb"))))
    judged = add_up(joint.mark, list(joint.parts.values()))
    assert judged.verdict == UNDECIDED
    assert [each["verdict"] for each in joint.workers()] == [HELD, UNDECIDED]


def test_the_loads_of_all_workers_are_one_timeline(joint: Joint, clock: Clock) -> None:
    slices = Timeline()
    for at, milliseconds in ((0.5, 10.0), (1.5, 20.0)):
        slices.add(at, milliseconds, "ok", 1)
    packed = told(state(load_seconds=2.0), timeline=slices.pack())
    joint.hear("a", packed)
    clock.now += 1.0  # so its load began a second later
    joint.hear("b", packed)
    whole = joint.merged_timeline().as_json()
    assert whole["requests"] == [1, 2, 1]
    assert whole["max"] == [10.0, 20.0, 20.0]


def test_an_outage_that_several_workers_saw_is_one(joint: Joint) -> None:
    def seen(mark: str, *times: tuple[float, float]) -> Json:
        outages = [{"service": "users", "from": b, "to": e, "writes": 2, "why": "reset"} for b, e in times]
        return audited(report(mark) | {"outages": outages})

    joint.hear("a", told(seen("aaaaaa", (1.0, 2.0), (5.0, 6.0))))
    joint.hear("b", told(seen("bbbbbb", (1.5, 2.5))))
    assert [(each["from"], each["to"], each["writes"]) for each in joint.outages()] == [(1.0, 2.5, 4), (5.0, 6.0, 2)]
