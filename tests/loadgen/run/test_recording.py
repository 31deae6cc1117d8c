import time
from dataclasses import replace
from typing import Any

import pytest

from loadgen.run.display import line
from loadgen.run.recording import record
from loadgen.run.state import Run
from loadgen.traffic.operation import Answer, Op
from loadgen.traffic.sender import Result

CREATED = Answer("ok", 201, body={"id": 9})


def created(answer: Answer = CREATED) -> Result:
    op = Op(1, "users", "create_user", "POST", "/users", {}, "key")
    return Result(op, "create_user", answer, 12.0, 100)


def test_measures_requests_of_the_load_only(run: Run) -> None:
    seen: list[dict[str, Any]] = []
    record(run, created(), lambda **event: seen.append(event))
    assert (run.measurements.latencies(), seen) == ([], [])
    run.phase, run.load_began = "load", 0.0
    record(run, created(), lambda **event: seen.append(event))
    assert [latency.requests for latency in run.measurements.latencies()] == [1]
    assert [(event["name"], event["response_time"]) for event in seen] == [("create_user", 12.0)]


def test_an_outage_begins_when_its_first_write_was_sent_and_not_when_it_was_scheduled(run: Run) -> None:
    run.phase, run.load_began = "load", time.monotonic() - 20
    failed = Answer("unknown", error="connection closed")
    for _ in range(2):
        record(run, replace(created(failed), milliseconds=4500.0, late_ms=3000.0), lambda **_: None)
    (outage,) = run.measurements.timeline.outages_as_json()
    assert outage["from"] == pytest.approx(18.5, abs=0.2)


def test_counts_a_replayed_write_once(run: Run) -> None:
    run.phase, run.load_began = "load", 0.0
    for answer in (CREATED, replace(CREATED, replayed=True)):
        record(run, created(answer), lambda **_: None)
    assert sum(run.measurements.timeline.as_json()["writes"]) == 1


def test_a_line_of_progress_calls_open_writes_by_what_they_are(run: Run) -> None:
    run.phase = "load"
    for number, (in_flight, doubt) in enumerate([(1, None), (0, 7)], start=1):
        op = Op(number, "users", "create_user", "POST", "/users", {}, "key", in_flight=in_flight, doubt=doubt)
        run.workload.attempted(op)
        run.workload.update(op)
    assert line(run, 100.0).endswith("; acknowledged 0, refused 0, in flight 1, without an answer 1")
    run.phase = "settle"
    assert line(run, 0.0).startswith("settle  acknowledged 0")
