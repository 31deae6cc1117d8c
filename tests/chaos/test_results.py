"""The kept results of a campaign, and their quotation in the README."""

import json
from pathlib import Path
from typing import Any

import pytest

from chaos import results

ROOT = Path(__file__).parents[2]
TOTALS = {
    "faults": 3,
    "attempted": 2000,
    "acknowledged": 1234,
    "lost": 0,
    "duplicated": 0,
    "invented": 0,
    "dangling": 0,
}
REPORT: dict[str, Any] = {
    "verdict": 0,
    "seed": 7,
    "flow": 400,
    "fault": "",
    "seconds": 60,
    "cores": 2,
    "totals": TOTALS | {"other": 0},
    "faults": [
        {"fault": "kill-users", "times": 2, "ready_max_s": 3.5, "refused_share": None},
        {"fault": "cut-users", "times": 1, "ready_max_s": None, "refused_share": 0.1},
    ],
}


def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> int:
    """Keep a report in a directory of the test's own, and return the exit status."""
    monkeypatch.setattr(results, "KEPT", tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    (tmp_path / "report.json").write_text(json.dumps(REPORT | changes))
    return results.main([str(tmp_path)])


def test_keeps_a_passed_campaign_with_the_command_that_repeats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keep(tmp_path, monkeypatch) == 0
    assert json.loads((tmp_path / "kept/report.json").read_text()) == REPORT
    page = (tmp_path / "kept/results.md").read_text()
    assert "`make chaos SEED=7 FAULTS=3 FLOW=400` on 2 cores, 60 s." in page
    assert "ready again within 3.5 s" in page
    assert "| kill-users | 2 | 3.5 | - |" in page
    said = "3 faults: 1,234 acknowledged writes, 0 lost, 0 duplicated, 0 invented, 0 dangling"
    assert said in page and said in capsys.readouterr().out


def test_keeps_a_campaign_on_another_engine_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keep(tmp_path, monkeypatch, engine="postgres") == 0
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["postgres.json", "postgres.md"]
    page = (tmp_path / "kept/postgres.md").read_text()
    assert "`make chaos ENGINE=postgres SEED=7 FAULTS=3 FLOW=400`" in page
    assert "[postgres.json](postgres.json)" in page


@pytest.mark.parametrize("changes", [{"verdict": 1}, {"verdict": 2}, {"fault": "short"}])
def test_keeps_no_failed_and_no_partial_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    assert keep(tmp_path, monkeypatch, **changes) == 1
    assert not any((tmp_path / "kept").iterdir())


def test_without_a_campaign_the_error_says_what_to_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert results.main([]) == results.main(["nowhere"]) == 2
    assert "reports/chaos/<time>" in capsys.readouterr().err


def test_the_readme_quotes_the_kept_campaign() -> None:
    report = json.loads((ROOT / "chaos/results/report.json").read_text())
    assert report["verdict"] == 0
    assert results.sums(report) in " ".join((ROOT / "README.md").read_text().split())
