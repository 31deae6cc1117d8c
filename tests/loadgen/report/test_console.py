import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from loadgen.audit.judge import Report
from loadgen.report import console, json_report
from loadgen.report.console import new_console
from loadgen.report.json_report import as_json, bottleneck, verdict_line
from loadgen.report.measurements import Latency, Measured

from ..histories import History, clean, with_stock

MEASURED = Measured(
    seconds=2.0,
    writes=3000,
    requests=3200,
    latencies=[Latency("create_user", "POST", 1200, 3, 4.0, 9.0, 21.0, 1234.5)],
    failures=[("503 overloaded", 3)],
)


def printed(judged: Report, measured: Measured = MEASURED) -> str:
    out = io.StringIO()
    terminal = Console(file=out, width=110, markup=False, highlight=False)
    console.show(judged, measured, terminal)
    console.show_verdict(judged, terminal)
    return out.getvalue()


def broken() -> Report:
    history = clean()
    del history.rows["orders", 1]
    return history.audit(flaws=("never completed: browse",))


def test_a_pass_gives_the_numbers_of_writes() -> None:
    assert verdict_line(clean().audit()) == "PASS: 8 writes attempted, 6 acknowledged, every one there exactly once."


def test_a_failure_names_the_violated_invariants() -> None:
    line = verdict_line(broken())
    assert line == "FAIL: 8 writes attempted, 6 acknowledged; acknowledged but missing (1)."


def test_no_verdict_gives_the_reasons() -> None:
    assert verdict_line(clean().audit(flaws=("a", "b"))) == "NO VERDICT: a; b."


def test_the_verdict_is_the_last_line() -> None:
    assert printed(clean().audit()).splitlines()[-1] == verdict_line(clean().audit())


def test_prints_everything_in_100_columns() -> None:
    text = printed(broken())
    for expected in ("Load: 3,000 writes in 2.0 s: 1,500 writes/s, 1,600 requests/s.", "503 overloaded", "1,200"):
        assert expected in text
    assert "for example: orders 1 (op 4)" in text
    assert "Also: never completed: browse." in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100


def test_tells_what_became_of_limited_products() -> None:
    history = clean()
    with_stock(history)
    said = "Limited products: 1. Units: 15 supplied, 7 sold, 8 left."
    assert said in printed(history.audit())
    assert as_json(history.audit(), MEASURED, {})["stock"]["left"] == 8
    assert "Limited" not in printed(history.audit(read_back=False))
    assert "Limited" not in printed(clean().audit())


def test_prints_unjudged_invariants_as_not_judged() -> None:
    text = printed(clean().audit(read_back=False))
    assert text.count("not judged") == sum(
        finding.count is None for finding in clean().audit(read_back=False).invariants
    )


def test_the_json_holds_the_same_numbers(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    json_report.write(as_json(broken(), MEASURED, {"started_at": "2026-01-02"}), path)
    content = json.loads(path.read_text())
    assert (content["verdict"], content["started_at"]) == (1, "2026-01-02")
    rates = (content["load"]["writes_per_second"], content["load"]["requests_per_second"])
    assert rates == (1500.0, 1600.0)
    assert content["invariants"][0]["count"] == 1
    assert content["services"]["products"]["acknowledged"] == 4
    assert content["latencies_ms"][0]["p99"] == 21.0
    assert list(tmp_path.iterdir()) == [path]


def test_reports_a_run_whose_load_never_began() -> None:
    nothing = Measured(seconds=0.0, writes=0, requests=0, latencies=[], failures=[])
    text = printed(History().audit(), nothing)
    assert "Load: 0 writes in 0.0 s: 0 writes/s, 0 requests/s." in text
    assert "NO VERDICT" in text


def test_text_from_services_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\x1b[31mb\x1b]0;title\x07c\rd\x9b2Je\u2028f\u202eg[red]"
    terminal, table = new_console(), Table()
    table.add_row(hostile)
    terminal.print(hostile, soft_wrap=True)
    terminal.print(hostile, style="red", soft_wrap=True)
    terminal.print(table)
    shown = capsys.readouterr().out
    assert not set("\x1b\x07\r\x9b\u2028\u202e") & set(shown)
    assert shown.count(r"a\u001b[31mb\u001b]0;title\u0007c\u000dd\u009b2Je\u2028f\u202eg[red]") == 3


def costs(share: float | None) -> list[dict[str, Any]]:
    figures = {"requests": 1000, "cpu_seconds": 0.9, "cpu_us_per_request": 900.0, "rss_mb": 61.0}
    return [{"process": "loadgen", "share_of_a_core": share} | figures]


def test_prints_the_cost_of_each_process() -> None:
    out = io.StringIO()
    console.show(clean().audit(), MEASURED, Console(file=out, width=110, markup=False, highlight=False), costs(0.55))
    assert "loadgen" in out.getvalue()
    assert "55" in out.getvalue()
    assert "the limit" not in out.getvalue()


def test_a_load_generator_that_needs_its_whole_core_is_named() -> None:
    assert bottleneck(costs(0.55)) is None
    assert bottleneck(costs(None)) is None
    assert bottleneck([]) is None
    assert "97% of its one core" in str(bottleneck(costs(0.97)))


def test_a_worker_that_needs_its_whole_core_is_named() -> None:
    (cost,) = costs(0.97)
    assert str(bottleneck([cost | {"process": "worker 2 on b"}])).startswith("The worker 2 on b used 97%")
    assert bottleneck([cost | {"process": "orders"}]) is None


def test_prints_the_verdict_and_the_ledger_of_each_worker() -> None:
    out = io.StringIO()
    workers = [
        {"worker": "worker 1 on a", "summary": "PASS: 9 writes", "ledger": "there/ledger.jsonl"},
        {"worker": "worker 2 on b", "summary": "NO VERDICT: lost.", "ledger": None},
    ]
    console.show_workers(workers, Console(file=out, width=110, markup=False, highlight=False))
    assert out.getvalue().splitlines()[1:] == [
        "worker 1 on a: PASS: 9 writes",
        "  its ledger: there/ledger.jsonl",
        "worker 2 on b: NO VERDICT: lost.",
    ]
