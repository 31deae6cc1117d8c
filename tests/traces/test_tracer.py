"""Which requests are traced, what is kept, and that traces which are off cost nothing."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service_common.telemetry.tracing import export, tracer
from service_common.telemetry.tracing.otlp import document, encode
from service_common.telemetry.tracing.span import MOST_LINKS, Shared, Span
from service_common.telemetry.tracing.tracer import Tracer
from testbed.ports import free_port
from testbed.services import ROOT

from .receiver import parse, plain

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def made(share: float = 0.0, endpoint: str = "", registry: CollectorRegistry | None = None) -> Tracer:
    return Tracer("users", endpoint, share, {}, registry or CollectorRegistry())


def begun(traceparent: str, share: float = 0.0) -> Span | None:
    return made(share).begin({"HTTP_TRACEPARENT": traceparent})


@pytest.mark.parametrize(
    "sent",
    [f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-ff", f"01-{TRACE}-{PARENT}-03-more", f"fe-{TRACE}-{PARENT}-01"],
)
def test_continues_a_trace_that_its_sender_records(sent: str) -> None:
    span = begun(sent)
    assert span is not None
    assert (span.trace, span.parent) == (TRACE, PARENT)
    assert span.header() == f"00-{TRACE}-{span.id}-01"
    assert span.child("part").parent == span.id


@pytest.mark.parametrize("flags", ["00", "02", "fe"])
def test_leaves_out_a_request_that_its_sender_does_not_record(flags: str) -> None:
    assert begun(f"00-{TRACE}-{PARENT}-{flags}", share=1.0) is None


@pytest.mark.parametrize(
    "sent",
    [
        "", "nonsense", f"00-{TRACE}-{PARENT}", f"00-{TRACE}-{PARENT}-1", f"00-{TRACE}-{PARENT}-01-more", f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{PARENT}-01", f"00-{TRACE}-{PARENT}-0g",
        f"00-{TRACE}-{PARENT}-01,00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01\n",
    ],
)  # fmt: skip
def test_begins_a_trace_of_its_own_where_the_header_is_malformed(sent: str) -> None:
    assert begun(sent) is None
    span = begun(sent, share=1.0)
    assert span is not None
    assert span.trace != TRACE
    assert span.parent == ""


def test_traces_the_share_that_was_asked_for() -> None:
    some = made(0.25)
    assert 200 < sum(some.begin({}) is not None for _ in range(1200)) < 400


def test_keeps_a_bounded_number_of_spans_and_the_newest_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracer, "MOST_KEPT", 30)
    monkeypatch.setattr(tracer, "MOST_OF_TRACE", 20)
    kept = made(1.0)
    for number in range(1, 10):
        span = kept.begin({"HTTP_TRACEPARENT": f"00-{number:032x}-{PARENT}-01"})
        assert span is not None
        for part in [span, *(span.child("part") for _ in range(6 if number < 9 else 50))]:
            part.end()
    assert [number for number in range(1, 10) if kept.find(f"{number:032x}")] == [8, 9]
    assert str(kept.find(f"{9:032x}")).count("spanId") == 20


def test_spans_that_wait_for_a_receiver_are_bounded_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MOST_WAITING", 100)
    registry = CollectorRegistry()
    away = made(1.0, f"http://127.0.0.1:{free_port()}", registry)
    for _ in range(130):
        span = away.begin({})
        assert span is not None
        span.end()
    assert registry.get_sample_value("trace_spans_waiting") == 100
    assert registry.get_sample_value("trace_spans_dropped_total") == 30
    away.close()  # nobody answers there
    assert registry.get_sample_value("trace_spans_waiting") == 100


ODD = ["", 'a"b\\c\n\x00\x1f', "é ✓ 😀", "\udcff\ud83d", "x" * 300]


@pytest.mark.parametrize("value", [*ODD, 0, -1, 2**62, True, False])
def test_every_value_of_an_attribute_is_read_by_others_as_it_was_meant(value: Any) -> None:
    span = made(1.0).begin({})
    assert span is not None
    span.name = str(value)
    span.attributes = {"a": value}
    span.event("happened", b=value)
    span.end()
    message = parse(document("", [encode(span)]).decode()).resource_spans[0].scope_spans[0].spans[0]
    meant = value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
    assert plain(message.attributes) == {"a": meant}
    assert [plain(event.attributes) for event in message.events] == [{"b": meant}]
    assert (message.start_time_unix_nano, message.end_time_unix_nano) == (span.began, span.ended)


def test_the_links_of_a_span_are_bounded() -> None:
    some = made(1.0)
    roots = [root for _ in range(MOST_LINKS + 50) if (root := some.begin({})) is not None]
    shared = Shared([root.child("transaction") for root in roots], {})
    shared.end()
    assert len(shared.first.links) == MOST_LINKS
    assert {len(span.links) for span in shared._spans[1:]} == {1}


@pytest.mark.parametrize("on", [False, True])
def test_traces_that_are_off_are_not_even_imported(tmp_path: Path, on: bool) -> None:
    code = """
        import os, sys
        from orders_service.app import create_app
        app = create_app()
        status = app.test_client().get("/orders").status_code
        tracing = any("tracing" in name for name in sys.modules), "/traces/<trace>" in map(str, app.url_map.iter_rules())
        print(status, *tracing, flush=True)
        os._exit(0)
    """
    env = os.environ | {"DATA_DIR": str(tmp_path), "ACCESS_LOG": "false", "TRACES": str(on)}
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.split() == ["200", str(on), str(on)], ran.stderr
