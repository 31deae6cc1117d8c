"""The requests in a ledger, and those of them that met a fault."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chaos.faults import FAULTS
from chaos.history import History, Try
from chaos.load import Load
from chaos.pulse import Pulse


def sent(op: int, number: int = 1, method: str = "POST", service: str = "users") -> dict[str, Any]:
    return {"event": "sent", "op": op, "try": number, "method": method, "service": service, "path": f"/{service}"}


def ended(op: int, number: int = 1, event: str = "ok", **more: Any) -> dict[str, Any]:
    return {"event": event, "op": op, "try": number, "ms": 5.0, "answer": {"id": op}, **more}


def history(*lines: dict[str, Any]) -> History:
    made = History()
    for line in lines:
        made.add(line)
    return made


def test_a_request_is_in_flight_until_it_has_ended() -> None:
    made = history({"event": "run"}, sent(1), sent(2), ended(1, status=201))
    assert [tried.op for tried in made.in_flight()] == [2]
    place = made.place()
    made.add(sent(3))
    made.add(ended(2, status=201))
    assert [tried.op for tried in made.ended_since(place)] == [2]  # it was in flight when the place was taken
    assert [tried.op for tried in made.sent[place[0] :]] == [3]


def test_counts_each_write_once_and_a_batch_by_its_items() -> None:
    results = {"results": [{"item": {"id": 1}}, {"problem": {}}, {"item": {"id": 2}}]}
    made = history(sent(1), ended(1, status=201), sent(2), ended(2, status=200, answer=results))
    assert made.acknowledged == 3
    for line in (sent(1, 2), ended(1, 2, status=201, replayed=True), sent(3, method="GET"), ended(3, status=200)):
        made.add(line)
    assert made.acknowledged == 3


def test_tells_a_lost_answer_from_a_key_that_was_sent_twice() -> None:
    lost = history(sent(1), ended(1, event="unknown", answer=None), sent(1, 2), ended(1, 2, replayed=True))
    twice = history(sent(1), ended(1, status=201), sent(1, 2), ended(1, 2, replayed=True))
    felt = FAULTS["answers-lost-users"].felt
    assert any(map(felt, lost.ended)) and not any(map(felt, twice.ended))


NOW = datetime.now(UTC)
SOUND = Try(1, "users", "POST", "/users", "ok", 201, ms=3.0, written=1, created_at=NOW.isoformat())
MET = {
    "kill-users": Try(1, "users", "GET", "/users/1", "unknown", error="closed", ms=3.0),
    "restart-all": Try(1, "products", "POST", "/products", "unknown", error="refused", ms=3.0),
    "pause-users": Try(1, "users", "POST", "/users", "ok", 201, ms=1900.0),
    "stall-users": Try(1, "users", "POST", "/users", "unknown", error="no answer within 10 s", ms=10_001.0),
    "unplug-users": Try(1, "users", "POST", "/users", "ok", 201, ms=3900.0),
    "disk-full-users": Try(1, "users", "POST", "/users", "refused", 503, "storage-unavailable", ms=3.0),
    "clock-back-users": Try(
        1, "users", "POST", "/users", "ok", 201, ms=3.0, written=1, created_at=str(NOW - timedelta(hours=2))
    ),
    "error-users": Try(1, "orders", "POST", "/orders", "refused", 503, "dependency-unavailable", ms=3.0),
}


@pytest.mark.parametrize("name", MET)
def test_each_fault_recognises_only_the_requests_that_met_it(name: str) -> None:
    felt = FAULTS[name].felt
    assert felt(MET[name])
    assert not felt(SOUND)
    other = "products" if MET[name].service != "products" else "users"
    assert felt(replace(MET[name], service=other)) == (name == "restart-all")
    assert not felt(Try(1, "users", "POST", "/users", "unknown", 503, "outcome-unknown", ms=3.0))  # it was answered


def test_reads_each_line_of_a_growing_ledger_once(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger-x.jsonl"
    load = Load.__new__(Load)  # without a load generator: what is asked is its ledger
    load.directory, load.ledger, load._history, load._read = tmp_path, ledger, History(), 0
    load._process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ledger.touch()
    load.pulse = Pulse(ledger)
    try:
        whole = json.dumps(sent(1)) + "\n" + json.dumps(ended(1, status=201)) + "\n"
        ledger.write_text(whole[:-9])  # its last line is being written
        assert (len(load.history.sent), len(load.history.ended)) == (1, 0)
        ledger.write_text(whole)
        assert (len(load.history.sent), len(load.history.ended)) == (1, 1)
        ledger.write_text(" " * len(whole) + json.dumps(sent(2)) + "\n")  # what was read is not read again
        assert [tried.op for tried in load.history.sent] == [1, 2]
    finally:
        load.kill()


def test_the_longest_time_without_an_acknowledgement_is_measured(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger-x.jsonl"
    ledger.touch()
    pulse, began = Pulse(ledger), time.monotonic()
    try:
        with ledger.open("a") as file:
            for pause in (0.0, 0.1, 0.5, 0.1):
                time.sleep(pause)
                file.write(json.dumps(ended(1, status=201)).replace(" ", "") + "\n")
                file.flush()
        assert 0.4 < pulse.longest_gap(began) < 0.7
        time.sleep(1)
        assert pulse.longest_gap(began) > 0.9  # one that lasts counts, too
    finally:
        pulse.end()
