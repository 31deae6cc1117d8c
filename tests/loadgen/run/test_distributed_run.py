"""A distributed run from workers' reports that are written by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadgen.audit.invariants import INVARIANTS
from loadgen.audit.judge import EXAMPLES, FAIL, NO_VERDICT, PASS
from loadgen.report.json_report import verdict_line
from loadgen.report.measurements import Measurements
from loadgen.run.distributed_run import LOST_S, DistributedRun, Part, add_up, shares
from loadgen.settings import SERVICES

Json = dict[str, Any]
MISSING, EQUAL = "acknowledged but missing", "equal e-mails"


def report(mark: str = "aaaaaa", verdict: int = PASS, flaws: tuple[str, ...] = (), **counts: int | None) -> Json:
    """Return a worker's report: 10 writes attempted of each service; `counts` are violations by invariant."""
    found = {invariant.name: 0 for invariant in INVARIANTS} | counts
    return {
        "run": mark,
        "verdict": verdict,
        "summary": "from the worker",
        "flaws": list(flaws),
        "services": {
            name: {"attempted": 10, "acknowledged": 7, "refused": 2, "unknown": 0, "maybe": 1} for name in SERVICES
        },
        "invariants": [
            {"name": name, "meaning": "", "count": count, "examples": [f"orders {n}" for n in range(count or 0)]}
            for name, count in found.items()
        ],
        "sample_writes": 3,
        "not_judged": {"rate-limited": 5},
        "stock": {"products": 3, "supplied": 90, "sold": 80, "reserved": 0, "left": 10},
        "refusals": [{"service": "users", "problem": "validation", "writes": 2}],
        "outages": [],
        "costs": [{"process": "loadgen", "requests": 30}],
    }


def state(mark: str = "aaaaaa", phase: str = "load", taken: int = 5, **other: Any) -> Json:
    tally = {"attempted": 2, "acknowledged": 1, "refused": 1, "in_flight": 1, "unknown": 0}
    return {
        "run": mark,
        "phase": phase,
        "writes": {"attempted": taken, "of": 10},
        "load_seconds": 1.0,
        "services": dict.fromkeys(SERVICES, tally),
        "sample_writes": 1,
        "rows_read_back": 3,
        "audit": None,
        "verdict": None,
        "ledger": f"reports/ledger-{mark}.jsonl",
        "report": None,
    } | other


def audited(found: Json) -> Json:
    return state(found["run"], "done", taken=10, verdict=found["verdict"], report=found)


def reported(state: Json | None, **other: Any) -> Json:
    whole = {"state": state, "exhausted": False, "trouble": None, "measurements": None, "requests": {"users": 4}}
    return whole | other


def part(found: Json | None, name: str = "worker 1", share: int | None = 10) -> Part:
    return Part(name, share, 0.0, audited(found) if found else state())


@pytest.mark.parametrize(
    ("whole", "workers", "split"),
    [(10, 4, [3, 3, 2, 2]), (8, 4, [2, 2, 2, 2]), (2, 3, [1, 1, 0]), (None, 2, [None, None]), (7, 1, [7])],
)
def test_splits_the_writes_without_losing_one(whole: int | None, workers: int, split: list[int | None]) -> None:
    assert shares(whole, workers) == split


def test_adds_up_counts_and_refusals() -> None:
    judged = add_up("cccccc", [part(report("aaaaaa")), part(report("bbbbbb"))])
    assert (judged.verdict, judged.flaws) == (PASS, [])
    orders = judged.services["orders"]
    assert (orders.attempted, orders.acknowledged, orders.refused, orders.maybe) == (20, 14, 4, 2)
    assert judged.refusals == [("users", "validation", 4)]
    assert judged.not_judged == {"rate-limited": 10}
    assert judged.stock == {"products": 6, "supplied": 180, "sold": 160, "reserved": 0, "left": 20}
    assert (
        verdict_line(judged)
        == "PASS: 60 writes attempted (54 of the load + 6 of the sample data), 42 acknowledged, every one there exactly once."
    )


def test_adds_up_violations_and_names_the_run_of_each_example() -> None:
    found = [report("aaaaaa", FAIL, **{MISSING: 2}), report("bbbbbb", FAIL, **{MISSING: 4}), report("dddddd")]
    judged = add_up("cccccc", [part(each) for each in found])
    (finding,) = judged.violated
    assert (judged.verdict, finding.name, finding.count) == (FAIL, MISSING, 6)
    assert finding.examples[:3] == ["orders 0 of run aaaaaa", "orders 1 of run aaaaaa", "orders 0 of run bbbbbb"]
    assert len(finding.examples) == EXAMPLES


def test_counts_a_violation_that_every_worker_sees_once() -> None:
    found = [report("aaaaaa", FAIL, **{EQUAL: 3}), report("bbbbbb", FAIL, **{EQUAL: 2})]
    (finding,) = add_up("cccccc", [part(each) for each in found]).violated
    assert (finding.name, finding.count) == (EQUAL, 3)


@pytest.mark.parametrize(
    ("verdicts", "sum_"),
    [
        ([PASS, PASS], PASS),
        ([PASS, NO_VERDICT], NO_VERDICT),
        ([NO_VERDICT, FAIL], FAIL),
        ([FAIL, PASS], FAIL),
    ],
)
def test_takes_the_worst_verdict(verdicts: list[int], sum_: int) -> None:
    reasons: dict[int, Callable[[], Json]] = {
        PASS: report,
        NO_VERDICT: lambda: report(verdict=NO_VERDICT, flaws=("never completed: browse",)),
        FAIL: lambda: report(verdict=FAIL, **{MISSING: 1}),
    }
    assert add_up("cccccc", [part(reasons[verdict]()) for verdict in verdicts]).verdict == sum_


def test_gives_no_verdict_and_names_a_lost_worker() -> None:
    judged = add_up("cccccc", [part(report()), part(None, "worker 2 on b")])
    assert judged.verdict == NO_VERDICT
    assert judged.flaws == ["worker 2 on b was lost: by its last report it had attempted 5 of its 10 writes"]
    assert judged.services["orders"].attempted == 10


def test_fails_on_a_violation_even_if_a_worker_was_lost() -> None:
    judged = add_up("cccccc", [part(report(verdict=FAIL, **{MISSING: 1})), part(None)])
    assert (judged.verdict, len(judged.flaws)) == (FAIL, 1)


def test_does_not_count_an_unjudged_invariant_as_zero() -> None:
    found = report(verdict=NO_VERDICT, flaws=("reading back failed",), **{MISSING: None})
    counts = {each.name: each.count for each in add_up("cccccc", [part(report()), part(found)]).invariants}
    assert (counts[MISSING], counts["duplicated"]) == (None, 0)


def test_does_not_judge_an_invariant_that_one_worker_does_not_know() -> None:
    older = report("aaaaaa")
    older["invariants"] = [each for each in older["invariants"] if each["name"] != MISSING]
    judged = add_up("cccccc", [part(older), part(report("bbbbbb"))])
    counts = {each.name: each.count for each in judged.invariants}
    assert (judged.verdict, counts[MISSING], counts["duplicated"]) == (NO_VERDICT, None, 0)


def test_gives_no_verdict_without_a_worker() -> None:
    judged = add_up("cccccc", [])
    assert (judged.verdict, judged.flaws) == (NO_VERDICT, ["no worker took part"])
    assert {each.count for each in judged.invariants} == {None}


def test_names_a_failed_audit_and_a_worker_that_could_not_begin() -> None:
    failed = Part("worker 1", 10, 0.0, state(phase="done", verdict=NO_VERDICT))
    unable = Part("worker 2", 10, 0.0, trouble="no ledger can be written")
    judged = add_up("cccccc", [failed, unable])
    assert judged.verdict == NO_VERDICT
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
def run(tmp_path: Path, clock: Clock) -> DistributedRun:
    run = DistributedRun(tmp_path, 10, clock=clock)
    run.plan({"a": "worker 1", "b": "worker 2"})
    return run


def test_adds_up_the_last_reports_of_the_workers(run: DistributedRun) -> None:
    for mark, id_ in (("aaaaaa", "a"), ("bbbbbb", "b"), ("aaaaaa", "a")):
        run.hear(id_, reported(state(mark)))
    assert (run.budget.taken, run.audited, run.sample_writes, run.phase) == (10, 6, 2, "load")
    assert (run.tallies()["users"].attempted, run.tallies()["users"].in_flight) == (4, 2)
    assert (run.load_writes(), run.measurements.requests["users"]) == (10, 8)
    assert [each["run"] for each in run.state()["workers"]] == ["aaaaaa", "bbbbbb"]


def test_waits_for_a_worker_until_its_last_report_is_too_old(run: DistributedRun, clock: Clock) -> None:
    run.hear("a", reported(audited(report())))
    clock.now += LOST_S
    assert [each.name for each in run.waited_for()] == ["worker 2"]
    clock.now += 0.1
    assert run.waited_for() == []
    run.hear("b", reported(state("bbbbbb")))
    assert [each.name for each in run.waited_for()] == ["worker 2"]


def test_does_not_wait_for_a_worker_that_had_not_begun_when_the_load_ended(run: DistributedRun, clock: Clock) -> None:
    run.load_ended = clock.now
    clock.now += LOST_S + 0.1
    run.hear("a", reported(None))
    run.hear("b", reported(state("bbbbbb")))
    assert [each.name for each in run.waited_for()] == ["worker 2"]


def test_ignores_reports_after_the_verdict(run: DistributedRun) -> None:
    run.hear("a", reported(audited(report())))
    run.done.set()
    run.hear("b", reported(audited(report("bbbbbb"))))
    judged = add_up(run.mark, list(run.parts.values()))
    assert judged.verdict == NO_VERDICT
    assert [each["verdict"] for each in run.workers()] == [PASS, NO_VERDICT]


def test_merges_the_measurements_of_all_workers(run: DistributedRun, clock: Clock) -> None:
    load = Measurements()
    for at, milliseconds in ((0.5, 10.0), (1.5, 20.0)):
        load.add("users", "create_user", "POST", milliseconds, None)
        load.timeline.add(at, milliseconds, "ok", 1)
    packed = reported(state(load_seconds=2.0), measurements=load.pack())
    run.hear("a", packed)
    clock.now += 1.0  # so its load began a second later
    run.hear("b", packed)
    run.merge_measurements()
    (latency,) = run.measurements.latencies()
    assert (latency.requests, latency.max, run.measurements.requests["users"]) == (4, 20.0, 4)
    whole = run.measurements.timeline.as_json()
    assert whole["requests"] == [1, 2, 1]
    assert whole["max"] == [10.0, 20.0, 20.0]


def test_merges_an_outage_that_several_workers_saw(run: DistributedRun) -> None:
    def seen(mark: str, *times: tuple[float, float]) -> Json:
        outages = [{"service": "users", "from": b, "to": e, "writes": 2, "why": "reset"} for b, e in times]
        return audited(report(mark) | {"outages": outages})

    run.hear("a", reported(seen("aaaaaa", (1.0, 2.0), (5.0, 6.0))))
    run.hear("b", reported(seen("bbbbbb", (1.5, 2.5))))
    assert [(each["from"], each["to"], each["writes"]) for each in run.outages()] == [(1.0, 2.5, 4), (5.0, 6.0, 2)]
