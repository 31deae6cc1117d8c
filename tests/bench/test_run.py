"""A run: measurements in turn, every part to its end, and every result kept."""

import itertools
import json
import shutil
import time
from pathlib import Path

import apsw
import pytest
import requests

from bench import __main__ as run
from bench import contenders
from bench.parts import Part
from bench.parts.rows import fill
from bench.parts.sqlite import alone, open_store
from bench.report import results
from bench.sampling import Progress, Settings, interleaved
from bench.slow_disk_app import SlowDisk
from bench.tools.wrk import Failed

from . import written


def quiet(planned: float = 1) -> Progress:
    return Progress(planned, say=lambda _: None)


def test_each_round_begins_with_another_target(tmp_path: Path) -> None:
    calls: list[str] = []

    def target(name: str) -> object:
        numbers = itertools.count()

        def measure() -> dict[str, float]:
            calls.append(name)
            return {"rate": float(next(numbers))}

        return measure

    series = interleaved({name: target(name) for name in "abc"}, Settings(tmp_path, rounds=2), quiet())
    assert "".join(calls) == "abcbcacab"
    assert series == {name: {"rate": [1.0, 2.0]} for name in "abc"}  # the first is the warm-up


def test_the_time_left_follows_the_pace_so_far() -> None:
    said: list[str] = []
    progress = Progress(100, say=said.append)
    progress.begin("peers")
    progress.began -= 40
    progress.did(10, "round 1")
    progress.did(10, "round 2")
    assert said == [each for each in said if "peers" in each]
    assert said[0].endswith("round 1  (1:57 left)")  # too early to know its own pace
    assert said[1].endswith("round 2  (2:40 left)")


def part(name: str, outcome: object) -> Part:
    def measure(settings: Settings, progress: Progress) -> dict[str, object]:
        if isinstance(outcome, Exception):
            raise outcome
        return written.FIGURES[name]

    return Part(name, name, measure, lambda _: 1.0, ())


def test_a_failed_part_is_reported_and_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {"peers": part("peers", Failed("it did not start")), "memory": part("memory", None)}
    monkeypatch.setattr(run, "all_parts", lambda: parts)
    (tmp_path / results.FILE).write_text(json.dumps(written.results("peers", "rows")))
    assert run.main(["--only", "peers,memory", "--results", str(tmp_path), "--scratch", str(tmp_path / "data")]) == 1
    assert "FAILED peers: it did not start" in capsys.readouterr().err
    kept = results.load(tmp_path)["parts"]
    assert kept["peers"]["failed"] == "it did not start"
    assert "figures" not in kept["peers"]
    assert kept["memory"]["figures"] == written.FIGURES["memory"]
    assert kept["rows"]["figures"] == results.rounded(written.FIGURES["rows"])
    assert list((tmp_path / "data").iterdir()) == []


def test_a_run_of_all_parts_keeps_no_older_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "all_parts", lambda: {"memory": part("memory", None)})
    (tmp_path / results.FILE).write_text(json.dumps(written.results("peers")))
    assert run.main(["--results", str(tmp_path), "--scratch", str(tmp_path / "data")]) == 0
    assert results.load(tmp_path)["parts"].keys() == {"memory"}


def test_a_missing_program_is_reported_in_one_line_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "oha" else f"/usr/bin/{name}")
    assert run.main(["--only", "memory,open-load", "--results", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "bench: open-load needs oha: install it (cargo install oha --version 1.16.0 --locked), "
        "or measure the rest: make bench ONLY=memory."
    )
    assert list(tmp_path.iterdir()) == []


def test_rejects_an_unknown_part(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["--only", "peers,pears"])
    assert "no part is called pears: choose from peers, sqlite" in capsys.readouterr().err


def test_a_filled_file_equals_one_that_the_service_made(tmp_path: Path) -> None:
    open_store("orders", tmp_path / "empty.db").close()
    fill(tmp_path / "full.db", 3000)
    with apsw.Connection(str(tmp_path / "empty.db")) as empty, apsw.Connection(str(tmp_path / "full.db")) as full:
        schema = "SELECT type, name, sql FROM sqlite_schema ORDER BY name"
        assert full.execute(schema).fetchall() == empty.execute(schema).fetchall()
        assert full.pragma("integrity_check") == "ok"
        assert full.pragma("journal_mode") == "wal"
        assert full.execute("SELECT count(*), max(id), min(user_id) > 0 FROM orders").get == (3000, 3000, 1)
        assert full.execute("SELECT count(DISTINCT user_id) > 900 FROM orders").get == 1


def test_sqlite_alone_commits_and_removes_its_files(tmp_path: Path) -> None:
    for service in contenders.SERVICES:
        assert alone(service, 10, tmp_path, 0.05)()["rate"] > 0
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


def test_a_slow_disk_takes_its_time_and_loses_nothing(tmp_path: Path) -> None:
    disk = SlowDisk(20.0, default=False)
    db = apsw.Connection(str(tmp_path / "t.db"), vfs=disk.name)
    assert db.pragma("journal_mode", "wal") == "wal"
    db.pragma("synchronous", "full")
    db.execute("CREATE TABLE t (x)")
    began = time.monotonic()
    for x in range(5):
        db.execute("INSERT INTO t VALUES (?)", (x,))
    assert time.monotonic() - began >= 5 * 0.020
    db.close()
    with apsw.Connection(str(tmp_path / "t.db")) as elsewhere:
        assert elsewhere.execute("SELECT count(*) FROM t").get == 5


def test_a_contender_is_started_fed_counted_and_stopped(tmp_path: Path) -> None:
    ours = contenders.threefold(tmp_path)
    with contenders.running(ours):
        ours.feed_many(3)
        body = {"user_id": 3, "product_id": 3, "quantity": 1}
        assert requests.post(ours.collection("orders"), json=body, timeout=10).status_code == 201
        assert ours.rows("orders") == 1
        ours.acknowledged["orders"] = 2
        with pytest.raises(Failed, match="2 orders were acknowledged, 1 are there"):
            ours.check_written()
        ours.acknowledged["orders"] = 1
        assert ours.journal_mode("orders") == "wal"
        assert ours.cpu().keys() == ours.resident_mb().keys() == set(contenders.SERVICES)
        with pytest.raises(Failed, match="the sample data was refused: 200"):
            ours.feed_many(1)
        assert ours.acknowledged == {"users": 3, "products": 3, "orders": 1}
    assert all(server.process and server.process.returncode == 0 for server in ours.servers.values())


def test_a_contender_that_does_not_start_quotes_its_log(tmp_path: Path) -> None:
    broken = contenders.System("broken", {"orders": ["sh", "-c", "echo no such thing; exit 3"]}, tmp_path)
    with pytest.raises(Failed, match="broken: orders did not start:\nno such thing"), contenders.running(broken):
        pass
