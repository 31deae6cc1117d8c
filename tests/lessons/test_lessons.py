"""Each lesson shows its fault in its own line, and without the fault the same run passes."""

import fcntl
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lessons import costs
from lessons.catalog import LESSONS, Lesson, find
from lessons.patches import copy_code
from lessons.running import run
from testbed import ROOT, kernel, wait_until

# The sound services under the load and the events of these pass; the other lessons have the load of one of them.
SOUND = (
    "no-sync",
    "read-change-write",
    "cached-look-up",
    "no-deadline",
    "times-from-sending",
    "ids-by-sequence",
    "reservation-expires",
)


def on_a_server(lesson: Lesson, request: pytest.FixtureRequest) -> None:
    """Skip, or in CI fail, a lesson that needs PostgreSQL where there is none."""
    if lesson.postgres:
        request.getfixturevalue("postgres")


@pytest.mark.parametrize("lesson", LESSONS, ids=[lesson.name for lesson in LESSONS])
def test_a_lesson_shows_its_fault_in_its_own_line(
    lesson: Lesson, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    on_a_server(lesson, request)
    result = run(lesson, copy_code(tmp_path / "code", lesson.name), tmp_path / "reports")
    assert result.is_caught, result.printed
    assert result.page.is_file()


@pytest.mark.parametrize("name", SOUND)
def test_without_its_fault_a_lesson_passes(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    lesson = find(name)
    assert lesson is not None
    on_a_server(lesson, request)
    result = run(lesson, ROOT, tmp_path / "reports")
    assert result.report["verdict"] == 0, result.printed
    assert not result.is_caught, result.figure


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lessons", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_the_list_names_every_lesson_and_its_question() -> None:
    printed = cli().stdout
    for number, lesson in enumerate(LESSONS, start=1):
        assert f"{number}  {lesson.name}" in printed
        assert lesson.question in printed


def test_a_lesson_is_found_by_number_and_by_name() -> None:
    assert find("1") is find(LESSONS[0].name) is LESSONS[0]
    assert find("0") is find("99") is find("nothing") is None
    assert (cli("nothing").returncode, cli("nothing").stdout) == (2, "")


def test_the_fault_is_printed_as_git_takes_it() -> None:
    assert cli("no-sync", "--diff").stdout.startswith("--- a/service_common/storage/sqlite/file.py\n")


def test_a_lesson_that_is_stopped_leaves_nothing_running(tmp_path: Path) -> None:
    env = os.environ | {"REPORT_DIR": str(tmp_path), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "lessons", "1"]
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as lesson:
        wait_until(lambda: list(tmp_path.glob("ledger-*")), what="the load")
        started = kernel.tree(lesson.pid)
        assert len(started) > 4
        lesson.terminate()
        assert (lesson.wait(40), lesson.communicate()[1]) == (2, "Stopped.\n")
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), what="the end of all processes")


def test_two_runs_of_one_lesson_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPORT_DIR", str(tmp_path))
    (tmp_path / "lessons" / "no-sync").mkdir(parents=True)
    with (tmp_path / "lessons" / "no-sync" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = cli("no-sync")
    assert (done.returncode, "Another run of this lesson" in done.stderr) == (2, True)


def test_a_load_finds_its_own_report_among_others(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    result = run(replace(LESSONS[0], writes=100), ROOT, tmp_path / "reports")
    (mine,) = (tmp_path / "reports").glob("report-*.json")
    mine.rename(mine.with_name("report-other1.json"))  # as a second lesson leaves it there meanwhile
    again = run(replace(LESSONS[0], writes=100), ROOT, tmp_path / "reports")
    assert again.report["run"] != result.report["run"]
    assert again.page.name == f"report-{again.report['run']}.html"


def test_costs_are_those_of_the_same_load_with_the_fault_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "WRITES", 1000)  # of fewer, create_order is not always the most frequent
    cpu, time = costs.measure(LESSONS[2], tmp_path / "code", tmp_path / "reports", rounds=1)
    assert (cpu.name, cpu.unit) == ("CPU time of all services a request", "µs")
    assert (time.name, time.unit) == ("median time of create_order", "ms")
    for cost in (cpu, time):
        assert cost.ratios == (cost.right / cost.wrong,)
        assert "ratio" in str(cost)


def test_code_that_is_not_there_cannot_be_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPORT_DIR", str(tmp_path))
    done = cli("1", "--again")
    assert (done.returncode, "run make lesson" in done.stderr) == (2, True)
