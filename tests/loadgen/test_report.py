import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from loadgen import report
from loadgen.audit import Report
from loadgen.report import Latency, Measured, as_json, bottleneck, new_console, verdict_line

from .histories import History, clean

MEASURED = Measured(
    seconds=2.0,
    writes=3000,
    requests=3200,
    latencies=[Latency("create_user", "POST", 1200, 3, 4.0, 9.0, 21.0, 1234.5)],
    failures=[("503 overloaded", 3)],
)


def printed(judged: Report, measured: Measured = MEASURED) -> str:
    out = io.StringIO()
    report.show(judged, measured, Console(file=out, width=110, markup=False, highlight=False))
    return out.getvalue()


def broken() -> Report:
    history = clean()
    del history.rows["orders", 1]
    return history.audit(flaws=("never completed: browse",))


def test_a_pass_says_how_many_writes_are_there() -> None:
    assert verdict_line(clean().audit()) == "PASS: 8 writes attempted, 6 acknowledged, every one there exactly once."


def test_a_failure_names_what_does_not_hold() -> None:
    line = verdict_line(broken())
    assert line == "FAIL: 8 writes attempted, 6 acknowledged; acknowledged but missing (1)."


def test_no_verdict_says_why() -> None:
    assert verdict_line(clean().audit(flaws=("a", "b"))) == "NO VERDICT: a; b."


def test_the_verdict_is_the_last_line() -> None:
    assert printed(clean().audit()).splitlines()[-1] == verdict_line(clean().audit())


def test_everything_measured_and_judged_is_printed_in_100_columns() -> None:
    text = printed(broken())
    for expected in ("Load: 3,000 writes in 2.0 s: 1,500 writes/s, 1,600 requests/s.", "503 overloaded", "1,200"):
        assert expected in text
    assert "for example: orders 1 (op 4)" in text
    assert "Also: never completed: browse." in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100


def test_what_could_not_be_judged_is_not_printed_as_zero() -> None:
    text = printed(clean().audit(read_back=False))
    assert text.count("not judged") == sum(
        finding.count is None for finding in clean().audit(read_back=False).invariants
    )


def test_the_json_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report.write(as_json(broken(), MEASURED, {"started_at": "2026-01-02"}), path)
    content = json.loads(path.read_text())
    assert (content["verdict"], content["started_at"]) == (1, "2026-01-02")
    rates = (content["load"]["writes_per_second"], content["load"]["requests_per_second"])
    assert rates == (1500.0, 1600.0)
    assert content["invariants"][0]["count"] == 1
    assert content["services"]["products"]["acknowledged"] == 4
    assert content["latencies_ms"][0]["p99"] == 21.0
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_whose_load_never_began_can_be_reported() -> None:
    nothing = Measured(seconds=0.0, writes=0, requests=0, latencies=[], failures=[])
    text = printed(History().audit(), nothing)
    assert "Load: 0 writes in 0.0 s: 0 writes/s, 0 requests/s." in text
    assert "NO VERDICT" in text


def test_no_answer_of_a_service_commands_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\x1b[31mb\x1b]0;title\x07c\rd\x9b2Je\u2028f\u202eg[red]"
    console, table = new_console(), Table()
    table.add_row(hostile)
    console.print(hostile, soft_wrap=True)
    console.print(hostile, style="red", soft_wrap=True)
    console.print(table)
    shown = capsys.readouterr().out
    assert not set("\x1b\x07\r\x9b\u2028\u202e") & set(shown)
    assert shown.count(r"a\u001b[31mb\u001b]0;title\u0007c\u000dd\u009b2Je\u2028f\u202eg[red]") == 3


def costs(share: float | None) -> list[dict[str, Any]]:
    figures = {"requests": 1000, "cpu_seconds": 0.9, "cpu_us_per_request": 900.0, "rss_mb": 61.0}
    return [{"process": "loadgen", "share_of_a_core": share} | figures]


def test_what_each_process_cost_is_printed() -> None:
    out = io.StringIO()
    report.show(clean().audit(), MEASURED, Console(file=out, width=110, markup=False, highlight=False), costs(0.55))
    assert "loadgen" in out.getvalue()
    assert "55" in out.getvalue()
    assert "the limit" not in out.getvalue()


def test_a_load_generator_without_a_core_to_spare_says_so() -> None:
    assert bottleneck(costs(0.55)) is None
    assert bottleneck(costs(None)) is None
    assert bottleneck([]) is None
    assert "97% of its one core" in str(bottleneck(costs(0.97)))


def test_a_worker_without_a_core_to_spare_is_named_and_a_service_is_not() -> None:
    (cost,) = costs(0.97)
    assert str(bottleneck([cost | {"process": "worker 2 on b"}])).startswith("The worker 2 on b used 97%")
    assert bottleneck([cost | {"process": "orders"}]) is None


def test_workers_are_printed_with_what_they_found_and_their_ledgers() -> None:
    out = io.StringIO()
    workers = [
        {"worker": "worker 1 on a", "summary": "PASS: 9 writes", "ledger": "there/ledger.jsonl"},
        {"worker": "worker 2 on b", "summary": "NO VERDICT: lost.", "ledger": None},
    ]
    report.show_workers(workers, Console(file=out, width=110, markup=False, highlight=False))
    assert out.getvalue().splitlines()[1:] == [
        "worker 1 on a: PASS: 9 writes",
        "  its ledger: there/ledger.jsonl",
        "worker 2 on b: NO VERDICT: lost.",
    ]
