"""The verdict of a campaign, on histories written by hand."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos import __main__ as campaign_main
from chaos import judge
from chaos.campaign import grouped, judge_load, plan
from chaos.databases import files
from chaos.faults import FAULTS, SHORT
from chaos.history import Try
from chaos.judge import HELD, UNDECIDED, VIOLATED, Group, Round


def happened(**changes: Any) -> Round:
    given: dict[str, Any] = {"faults": ["kill-orders"], "proof": ["seen"], "felt": 3, "ready_s": 1.0}
    return Round(**(given | {"attempted": 10, "acknowledged": 8} | changes))


def held(*rounds: Round, **changes: Any) -> Group:
    given: dict[str, Any] = {"attempted": 20, "acknowledged": 15, "counts": {"duplicated": 0}} | changes
    return Group(list(rounds or [happened()]), **given)


def test_a_campaign_without_violations_passes() -> None:
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
def test_a_violation_fails_the_campaign_whatever_is_missing(group: Group) -> None:
    assert judge.verdict([held(), group]) == VIOLATED


@pytest.mark.parametrize(
    "group",
    [
        held(happened(proof=[], trouble=["the container was not started again"])),
        held(happened(), happened(proof=[])),
        held(happened(ready_s=None)),
        held(happened(felt=0)),  # nobody has met it: it was not under load
        held(happened(acknowledged=0)),
        held(acknowledged=0),
        held(flaws=["3 writes could not be settled"]),
        held(counts={}),
    ],
)
def test_a_campaign_with_missing_evidence_has_no_verdict(group: Group) -> None:
    assert judge.verdict([held(), group]) == UNDECIDED


def test_a_campaign_without_rounds_has_no_verdict() -> None:
    assert judge.verdict([]) == UNDECIDED
    assert judge.verdict([Group([], acknowledged=5, counts={"duplicated": 0})]) == UNDECIDED


def test_a_round_counts_its_requests_including_those_in_flight() -> None:
    ended = [
        Try(1, "users", "POST", "/users", "ok", 201, ms=5.0),
        Try(2, "users", "POST", "/users", "unknown", ms=900.0),
        Try(3, "users", "POST", "/users", "refused", 503, ms=2.0),
        Try(4, "users", "POST", "/users", "refused", 422, ms=2.0),  # as it had to be: not the fault's doing
        Try(5, "users", "GET", "/users/1", "ok", 200, ms=1.0),
    ]
    round_ = Round(["x"])
    judge.count(ended, [Try(6, "users", "POST", "/users"), Try(7, "users", "GET", "/users/1")], round_)
    assert (round_.attempted, round_.acknowledged, round_.refused, round_.unknown) == (5, 1, 1, 1)
    assert round_.p99_ms == 900.0


def test_the_table_has_a_row_for_each_fault_and_totals_count_both_of_a_pair() -> None:
    pair = happened(faults=["kill-orders", "pause-users"], ready_s=3.0, refused=5, unknown=2)
    groups = [held(happened(), pair), held(counts={"acknowledged but missing": 1, "lost in file": 1, "wrong total": 4})]
    kill, pause = judge.table(groups)
    assert (kill["fault"], kill["times"], kill["lost"], kill["other"]) == ("kill-orders", 3, 1, 4)
    assert (kill["ready_p50_s"], kill["ready_max_s"], kill["refused_share"]) == (1.0, 3.0, round(5 / 30, 3))
    assert kill["not_served_share"] == round(7 / 30, 3)
    assert (pause["fault"], pause["times"], pause["lost"]) == ("pause-users", 1, 0)
    assert judge.totals(groups)["faults"] == 4
    assert judge.totals(groups)["acknowledged"] == 30


def test_the_same_seed_gives_the_same_campaign() -> None:
    names = list(FAULTS)
    assert plan(names, 200, 7) == plan(names, 200, 7) != plan(names, 200, 8)
    rounds = plan(names, 200, 7)
    assert sum(map(len, rounds)) == 200
    assert {fault.name for round_ in rounds for fault in round_} == set(names)
    assert all(len({fault.service for fault in round_}) == len(round_) for round_ in rounds)
    assert [wired for wired, _ in grouped(rounds)] == [False, True]


def test_the_short_campaign_has_every_kind_of_fault() -> None:
    def kind(name: str) -> str:
        return name.rpartition("-")[0]

    assert {kind(name) for name in SHORT} == {kind(fault.name) for fault in FAULTS.values()} - {
        "stall"
    }  # over a minute


def test_in_a_pair_the_lasting_fault_begins_first() -> None:
    pairs = [round_ for round_ in plan(list(FAULTS), 300, 3) if len(round_) == 2]
    assert any(first.lasts and not second.lasts for first, second in pairs)
    assert not any(second.lasts and not first.lasts for first, second in pairs)


HISTORY: list[dict[str, Any]] = [
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
WHOLE: dict[str, files.Rows] = {"users": {1: "a@b.c"}, "products": {4: "Tea"}, "orders": {9: "1/4/2"}}
READ_BACK = [
    ["users", {"id": 1, "email": "a@b.c"}],
    ["products", {"id": 4, "name": "Tea"}],
    ["orders", {"id": 9, "user_id": 1, "product_id": 4, "quantity": 2}],
    ["sold", {"token": "a.1.0", "product_id": 4, "quantity": 2}],
    ["at_rest", {"product_id": 4, "stock": 8}],
]


def wrong(tmp_path: Path, audited: dict[str, files.Rows] | None = None, **changed: Any) -> dict[str, int]:
    """Return the findings of the audit in files with the acknowledged rows, except `changed`."""
    read_back = tmp_path / "readback.jsonl"
    read_back.write_text("".join(json.dumps(row) + "\n" for row in READ_BACK))
    held_ = {name: changed.get(name, files.File(dict(rows))) for name, rows in WHOLE.items()}
    found = files.compare(files.acknowledged(HISTORY), held_, audited or {}, read_back)
    return {name: number for name, number in found.items() if number}


def test_reads_acknowledged_rows_from_a_ledger() -> None:
    expected = {"users": {(1, "a@b.c")}, "products": {(4, "Tea")}, "orders": {(9, "1/4/2")}}
    assert files.acknowledged(HISTORY) == expected


def test_files_with_exactly_the_acknowledged_rows_have_no_errors(tmp_path: Path) -> None:
    assert wrong(tmp_path) == {}
    assert wrong(tmp_path, audited={"users": {}, "products": {4: "Tea"}}) == {}


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"orders": files.File({})}, {"lost in file": 1, "file and HTTP differ": 1}),
        ({"products": files.File({4: "Coffee"})}, {"lost in file": 1, "file and HTTP differ": 2}),
        ({"users": files.File({1: "a@b.c", 2: "a@b.c"})}, {"duplicated in file": 1, "file and HTTP differ": 1}),
        ({"orders": files.File({9: "1/4/2", 10: "7/4/2"})}, {"dangling in file": 1, "file and HTTP differ": 1}),
        ({"orders": files.File({9: "1/4/2", 10: "1/5/2"})}, {"dangling in file": 1, "file and HTTP differ": 1}),
        ({"users": files.File({1: "a@b.c"}, unkeyed=3)}, {"row and key apart": 3}),
    ],
)
def test_counts_each_kind_of_error_in_a_file(tmp_path: Path, changed: dict[str, Any], found: dict[str, int]) -> None:
    assert wrong(tmp_path, **changed) == found


def test_rows_of_an_earlier_load_must_remain_without_additions(tmp_path: Path) -> None:
    assert wrong(tmp_path, audited={"products": {3: "Milk"}}) == {"lost in file": 1}
    both = files.File({2: "Salt", 3: "Milk", 4: "Tea"})
    assert wrong(tmp_path, audited={"products": {2: "Salt", 3: "Milk"}}, products=both) == {}
    assert wrong(tmp_path, audited={"products": {3: "Milk"}}, products=both) == {"invented in file": 1}
    assert wrong(tmp_path, audited={"products": {2: "Salt"}}, products=both) == {
        "invented in file": 1
    }  # between the two


def test_a_lost_row_whose_id_was_reused_counts_as_lost() -> None:
    history: list[dict[str, Any]] = []
    for op in (1, 2):
        history.append({"event": "sent", "op": op, "method": "POST", "service": "users"})
        history.append({"event": "ok", "op": op, "answer": {"id": 7, "email": f"{op}@b.c"}})
    held_ = {"users": files.File({7: "2@b.c"}), "products": files.File({}), "orders": files.File({})}
    assert files.compare(files.acknowledged(history), held_, {}, Path("/dev/null"))["lost in file"] == 1


def test_the_reading_script_finds_damage_and_rows_without_keys(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    script = files.SCRIPT.replace("/data/", f"{tmp_path}/data/")
    with closing(sqlite3.connect(tmp_path / "data/products.db")) as db, db:
        db.execute("CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER)")
        for table in ("reservations", "sales"):
            db.execute(f"CREATE TABLE {table} (token TEXT, product_id INTEGER, quantity INTEGER)")
        db.execute("INSERT INTO sales VALUES ('a.1.0', 3, 2)")
        db.execute("CREATE TABLE idempotency_keys (status INTEGER, body BLOB)")
        db.executemany("INSERT INTO products VALUES (?, ?, ?)", [(1, "Tea", None), (2, "Milk", None), (3, "Salt", 8)])
        bodies = [
            (201, b'{"id":1}'),
            (200, b'{"results":[{"item":{"id":2}},{"problem":{}}]}'),
            (201, b'{"id":7}'),
            (200, b'{"id":3,"stock":10}'),
        ]  # the last one added stock
        db.executemany("INSERT INTO idempotency_keys VALUES (?, ?)", bodies)
    run = [sys.executable, "-I", "-S", "-c", script, "products", "name"]
    check, unkeyed, units, *rows = subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()
    assert (check, unkeyed) == ('"ok"', "2")  # row 3 has no key, a key has no row 7
    assert json.loads(units) == {"left": [[3, 8]], "reserved": [], "sold": [["a.1.0", 3, 2]]}
    assert dict(map(json.loads, rows)) == {1: "Tea", 2: "Milk", 3: "Salt"}


@pytest.mark.parametrize(
    ("report_verdict", "of_group"),
    [(VIOLATED, held(violations=["no verdict but a pass"])), (UNDECIDED, held(flaws=["no verdict but a pass"]))],
)
def test_the_verdict_of_the_load_generator_counts_even_without_counts(report_verdict: int, of_group: Group) -> None:
    group = Group([happened()])
    report = {
        "verdict": report_verdict,
        "summary": "no verdict but a pass",
        "flaws": [],
        "services": {},
        "invariants": [],
    }
    judge_load(group, report)
    assert (group.violations, group.flaws) == (of_group.violations, of_group.flaws)


def test_a_system_with_an_unaudited_load_is_judged_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class NoSystem:
        def __init__(self, *_given: Any) -> None: ...

        def up(self) -> None: ...

        def down(self) -> None: ...

    asked: list[str] = []

    def lost(_system: Any, _batch: Any, directory: Path, *_options: Any) -> Group:
        asked.append(directory.name)
        return held(audited=False)

    on_nothing = replace(campaign_main.ENGINES["sqlite"], system=NoSystem)
    monkeypatch.setattr(campaign_main, "ENGINES", {"sqlite": on_nothing})
    monkeypatch.setattr(campaign_main, "run_group", lost)
    monkeypatch.setattr(sys, "argv", ["chaos", "--seed", "1", "--faults", "200", "--reports", str(tmp_path)])
    assert campaign_main.main() == UNDECIDED
    assert asked == ["load-1", "load-2"]  # one on each of the two systems
    assert "load 1 was not audited" in capsys.readouterr().out
