"""The list of runs, from the files of a directory."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from loadgen.page.archive import MOST_RUNS, Archive


def write(directory: Path, run: str, at: int, **other: Any) -> Path:
    load = {"writes": 10, "seconds": 1.5, "writes_per_second": 6.7, "requests_per_second": 9.0}
    report = {"run": run, "verdict": 0, "summary": "PASS", "load": load, "settings": {"scenario": "steady"}} | other
    path = directory / f"report-{run}.json"
    path.write_text(json.dumps(report))
    os.utime(path, (at, at))
    return path


def test_lists_runs_the_latest_first_with_the_files_that_are_there(tmp_path: Path) -> None:
    write(tmp_path, "aaaaaa", 100)
    write(tmp_path, "bbbbbb", 200, settings={"scenario": "steady", "title": "Lesson: lost"})
    (tmp_path / "ledger-aaaaaa.jsonl").touch()
    listed = Archive(tmp_path).runs()
    assert [(each["run"], each["files"]) for each in listed] == [
        ("bbbbbb", ["report"]),
        ("aaaaaa", ["report", "ledger"]),
    ]
    assert [(each["scenario"], each["title"]) for each in listed] == [("steady", "Lesson: lost"), ("steady", None)]


def test_the_version_changes_with_a_new_report_and_a_changed_file_is_read_again(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    versions = [archive.version()]
    write(tmp_path, "aaaaaa", 100)
    versions.append(archive.version())
    assert archive.runs()[0]["verdict"] == 0
    write(tmp_path, "aaaaaa", 101, verdict=1)
    versions.append(archive.version())
    assert archive.runs()[0]["verdict"] == 1
    assert len(set(versions)) == 3


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"run": "aaaaaa"}', '{"run": "bbbbbb", "load": {}}'])
def test_skips_a_file_that_is_no_report(tmp_path: Path, content: str) -> None:
    (tmp_path / "report-aaaaaa.json").write_text(content)
    write(tmp_path, "cccccc", 100)
    assert [each["run"] for each in Archive(tmp_path).runs()] == ["cccccc"]


def test_leaves_out_the_parts_of_a_distributed_run(tmp_path: Path) -> None:
    write(tmp_path, "aaaaaa", 100)
    write(tmp_path, "bbbbbb", 101, settings={"part_of_run": "aaaaaa"})
    assert [each["run"] for each in Archive(tmp_path).runs()] == ["aaaaaa"]


def test_lists_no_more_than_the_latest(tmp_path: Path) -> None:
    for number in range(MOST_RUNS + 3):
        write(tmp_path, f"{number:06}", number)
    listed = Archive(tmp_path).runs()
    assert len(listed) == MOST_RUNS
    assert listed[-1]["run"] == "000003"
