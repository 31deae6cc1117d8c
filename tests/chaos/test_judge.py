"""The verdict of a campaign, on histories written by hand."""

from pathlib import Path
from typing import Any

import pytest

from chaos import files, judge
from chaos.campaign import grouped, plan
from chaos.faults import FAULTS, SHORT
from chaos.judge import HELD, UNDECIDED, VIOLATED, Group, Round


def happened(**changes: Any) -> Round:
    return Round(**({"faults": ["kill-orders"], "proof": ["seen"], "ready_s": 1.0, "attempted": 10} | changes))


def held(*rounds: Round, **changes: Any) -> Group:
    given: dict[str, Any] = {"attempted": 20, "acknowledged": 15, "counts": {"duplicated": 0}} | changes
    return Group(list(rounds or [happened()]), **given)


def test_a_campaign_in_which_all_held_passes() -> None:
    assert judge.verdict([held(), held()]) == HELD


@pytest.mark.parametrize(
    "group",
    [
        held(counts={"duplicated": 1}),
        held(counts={"lost in file": 1}),
        held(violations=["orders: database disk image is malformed"]),
        held(happened(violations=["never ready again"], ready_s=None)),
        held(happened(trouble=["not struck"], proof=[]), counts={"duplicated": 1}),
    ],
)
def test_what_did_not_hold_fails_whatever_else_is_missing(group: Group) -> None:
    assert judge.verdict([held(), group]) == VIOLATED


@pytest.mark.parametrize(
    "group",
    [
        held(happened(proof=[], trouble=["the container was not started again"])),
        held(happened(), happened(proof=[])),
        held(happened(ready_s=None)),
        held(acknowledged=0),
        held(flaws=["3 writes could not be settled"]),
        held(counts={}),
    ],
)
def test_what_was_not_shown_is_no_pass(group: Group) -> None:
    assert judge.verdict([held(), group]) == UNDECIDED


def test_a_campaign_without_rounds_is_no_pass() -> None:
    assert judge.verdict([]) == UNDECIDED
    assert judge.verdict([Group([], acknowledged=5, counts={"duplicated": 0})]) == UNDECIDED


def test_a_round_is_counted_from_its_lines() -> None:
    lines: list[dict[str, Any]] = [
        {"event": "sent", "op": 1, "try": 1, "method": "POST"},
        {"event": "ok", "op": 1, "try": 1, "status": 201, "ms": 5.0},
        {"event": "sent", "op": 2, "try": 1, "method": "POST"},
        {"event": "unknown", "op": 2, "try": 1, "ms": 900.0},
        {"event": "sent", "op": 3, "try": 1, "method": "POST"},
        {"event": "refused", "op": 3, "try": 1, "status": 503, "ms": 2.0},
        {"event": "sent", "op": 4, "try": 1, "method": "POST"},
        {"event": "refused", "op": 4, "try": 1, "status": 422, "ms": 2.0},  # as it had to be: not the fault's doing
        {"event": "sent", "op": 5, "try": 1, "method": "GET"},
        {"event": "ok", "op": 5, "try": 1, "status": 200, "ms": 1.0},
        {"event": "ok", "op": 0, "try": 1, "status": 201, "ms": 1.0},  # sent before the round
    ]
    round_ = Round(["x"])
    judge.count(lines, round_)
    assert (round_.attempted, round_.acknowledged, round_.refused, round_.unknown) == (4, 1, 1, 1)
    assert round_.p99_ms == 900.0


def test_the_table_has_a_row_for_each_fault_and_the_totals_count_both_of_a_pair() -> None:
    pair = happened(faults=["kill-orders", "pause-users"], ready_s=3.0, refused=5)
    groups = [held(happened(), pair), held(counts={"acknowledged but missing": 1, "lost in file": 1, "wrong total": 4})]
    kill, pause = judge.table(groups)
    assert (kill["fault"], kill["times"], kill["lost"], kill["other"]) == ("kill-orders", 3, 1, 4)
    assert (kill["ready_p50_s"], kill["ready_max_s"], kill["refused_share"]) == (1.0, 3.0, round(5 / 30, 3))
    assert (pause["fault"], pause["times"], pause["lost"]) == ("pause-users", 1, 0)
    assert judge.totals(groups)["faults"] == 4
    assert judge.totals(groups)["acknowledged"] == 30


def test_the_same_seed_is_the_same_campaign() -> None:
    names = list(FAULTS)
    assert plan(names, 200, 7) == plan(names, 200, 7) != plan(names, 200, 8)
    rounds = plan(names, 200, 7)
    assert sum(map(len, rounds)) == 200
    assert {fault.name for round_ in rounds for fault in round_} == set(names)
    assert all(len({fault.service for fault in round_}) == len(round_) for round_ in rounds)
    assert [wired for wired, _ in grouped(rounds)] == [False, True]


def test_the_short_campaign_has_every_kind() -> None:
    def kind(name: str) -> str:
        return name.rpartition("-")[0]

    assert {kind(name) for name in SHORT} == {kind(fault.name) for fault in FAULTS.values()}


def test_rows_that_a_file_lacks_or_alters_are_lost(tmp_path: Path) -> None:
    history: list[dict[str, Any]] = [
        {"event": "run"},
        {"event": "sent", "op": 1, "method": "POST", "service": "users"},
        {"event": "ok", "op": 1, "answer": {"id": 1, "email": "a@b.c"}},
        {"event": "sent", "op": 2, "method": "POST", "service": "products"},
        {"event": "ok", "op": 2, "answer": {"results": [{"item": {"id": 4, "name": "Tea"}}, {"problem": {}}]}},
        {"event": "sent", "op": 3, "method": "POST", "service": "orders"},
        {"event": "ok", "op": 3, "answer": {"id": 9, "user_id": 1, "product_id": 4, "quantity": 2}},
        {"event": "sent", "op": 4, "method": "POST", "service": "orders"},
        {"event": "unknown", "op": 4},
    ]
    expected = files.acknowledged(history)
    assert expected == {"users": {(1, "a@b.c")}, "products": {(4, "Tea")}, "orders": {(9, "1/4/2")}}
    read_back = tmp_path / "readback.jsonl"
    read_back.write_text('["users", {"id": 1, "email": "a@b.c"}]\n["products", {"id": 4, "name": "Tea"}]\n')
    whole: dict[str, files.Rows] = {service: dict(rows) for service, rows in expected.items()}
    assert files.compare(expected, whole | {"orders": {}}, read_back) == {"lost in file": 1, "file and HTTP differ": 0}
    altered = whole | {"products": {4: "Coffee"}, "orders": {}}
    assert files.compare(expected, altered, read_back) == {"lost in file": 2, "file and HTTP differ": 2}


def test_a_lost_row_whose_id_another_has_now_is_lost() -> None:
    history: list[dict[str, Any]] = []
    for op in (1, 2):
        history.append({"event": "sent", "op": op, "method": "POST", "service": "users"})
        history.append({"event": "ok", "op": op, "answer": {"id": 7, "email": f"{op}@b.c"}})
    nothing: dict[str, files.Rows] = {"users": {7: "2@b.c"}, "products": {}, "orders": {}}
    assert files.compare(files.acknowledged(history), nothing, Path("/dev/null"))["lost in file"] == 1
