"""From spans to the rows of a waterfall, shared work included."""

import json
from typing import Any

from loadgen.traces.slowest import KEPT, merge, traceparent
from loadgen.traces.waterfall import MOST_ROWS, Span, graft, linked, notes, read, rows

REQUEST = {"method": "POST", "action": "create_order", "status": 201, "began": 1_000_000, "ms": 9.0, "span": "root"}


def span(id: str, parent: str, at: int, ms: int, *links: tuple[str, str], trace: str = "mine", **more: Any) -> Span:
    """A span that begins `at` milliseconds after the request."""
    return Span("orders", trace, id, parent, id, at * 1_000_000, (at + ms) * 1_000_000, links=links, **more)


def shown(spans: list[Span]) -> list[tuple[int, str, float, bool]]:
    return [(row["depth"], row["name"], row["at"], row["shared"]) for row in rows(REQUEST, spans)]


def test_parts_are_below_their_parents_in_the_order_in_which_they_began() -> None:
    spans = [
        span("b", "a", 5, 1),
        span("a", "root", 2, 8),
        span("c", "a", 3, 1),
        span("d", "c", 4, 1),
        span("e", "elsewhere", 1, 1),
    ]
    assert shown(spans) == [
        (0, "POST create_order", 0.0, False),
        (1, "a", 1.0, False),
        (2, "c", 2.0, False),
        (3, "d", 3.0, False),
        (2, "b", 4.0, False),
    ]


def test_the_parts_of_shared_work_come_from_the_trace_that_has_them() -> None:
    mine = [span("order", "root", 1, 9), span("look-ups", "order", 2, 5, ("other", "theirs"))]
    theirs = [
        span("theirs", "x", 1, 6, ("mine", "look-ups"), trace="other"), span("GET /users", "theirs", 3, 2, trace="other"),
        span("at users", "GET /users", 4, 1, trace="other"), span("COMMIT", "x", 8, 1, trace="other"),
    ]  # fmt: skip
    assert linked(mine) == ["other"]
    assert linked(theirs[:2]) == []  # it has the parts itself
    assert shown(graft(mine, {"other": theirs}))[2:] == [
        (2, "look-ups", 1.0, False),
        (3, "GET /users", 2.0, True),
        (4, "at users", 3.0, True),
    ]
    assert graft(mine, {"other": []}) == mine


def test_spans_that_are_each_others_parents_come_to_an_end() -> None:
    endless = [span("a", "b", 1, 1, trace="other"), span("b", "a", 1, 1, trace="other")]
    found = graft([span("x", "root", 1, 1, ("other", "a"))], {"other": endless})
    assert len(found) <= 2 * MOST_ROWS
    assert len(rows(REQUEST, found)) <= MOST_ROWS


def test_reads_spans_and_tells_sizes_statuses_attempts_and_events() -> None:
    attributes = [
        {"key": "threefold.round.size", "value": {"intValue": "12"}}, {"key": "http.response.status_code", "value": {"intValue": "503"}},
        {"key": "http.request.resend_count", "value": {"intValue": "2"}}, {"key": "url.full", "value": {"stringValue": "http://users"}},
    ]  # fmt: skip
    event = {
        "name": "exception",
        "timeUnixNano": "3500000",
        "attributes": [{"key": "exception.message", "value": {"stringValue": "gone"}}],
    }
    sent = {
        "traceId": "t", "spanId": "s", "name": "GET /users", "startTimeUnixNano": "1000000", "endTimeUnixNano": "2000000",
        "attributes": attributes, "events": [event], "status": {"code": 2}, "links": [{"traceId": "o", "spanId": "p"}],
    }  # fmt: skip
    assert list(notes(sent)) == ["round of 12", "status 503", "attempt 3", "exception (gone) after 2.5 ms"]
    (found,) = read(json.loads(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [sent]}]}]})), "users")
    assert (found.failed, found.links, found.parent) == (True, (("o", "p"),), "")


def test_the_share_of_the_traces_that_are_recorded_is_the_one_asked_for() -> None:
    assert {traceparent(1.0)[-2:] for _ in range(50)} == {"01"}
    assert {traceparent(0.0)[-2:] for _ in range(50)} == {"00"}
    assert 350 < sum(traceparent(0.5).endswith("01") for _ in range(1000)) < 650


def test_the_slowest_of_several_workers_are_kept_for_each_action() -> None:
    one = [{"action": "a", "ms": ms} for ms in range(KEPT + 2)]
    other = [{"action": "a", "ms": 100}, {"action": "b", "ms": 0.5}]
    found = merge([one, other])
    assert [each["ms"] for each in found] == [100, *range(KEPT + 1, KEPT + 1 - (KEPT - 1), -1), 0.5]
