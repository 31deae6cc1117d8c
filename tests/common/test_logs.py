"""A log record is one JSON line of bounded length, whatever it quotes."""

import json
import logging
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service_common.telemetry.logs import LONGEST_EXCEPTION, LONGEST_MESSAGE, JsonFormatter, OutputHandler, now
from service_common.telemetry.request_id import request_id

WIDEST_ESCAPE = 12  # characters of JSON for one of text: two surrogates
HOSTILE = [
    'x\n{"level": "forged"}', "\r\n\r\n", "\x1b[31mred\x1b[0m", "\x00\x07\x7f\x9b", "\u2028\u2029\x85\x0b\x0c", '"}{"level":"forged"', "\\", "%s %d %(name)s",
    "\ud800", "\N{GRINNING FACE}" * 5_000, "x" * 1_000_000, "\n" * 10_000,
]  # fmt: skip


def line(message: object, *args: Any, **extra: Any) -> str:
    record = logging.LogRecord("test", logging.INFO, "file", 1, message, args, None)
    record.__dict__.update(extra)
    return JsonFormatter().format(record)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:20]))
def test_hostile_text_stays_in_one_line(text: str) -> None:
    for written in (line(text), line("asked for %s", text), line("x", request_id=text)):
        assert written.splitlines() == [written]
        assert written.isascii() and written.isprintable()
        assert json.loads(written)["level"] == "info"
    assert len(line(text)) < LONGEST_MESSAGE * WIDEST_ESCAPE + 500


@given(st.text())
def test_any_text_is_preserved(text: str) -> None:
    assert json.loads(line("%s", text)).get("message", "") == text[:LONGEST_MESSAGE]


@pytest.mark.parametrize("message", [None, 1, ["a"], {"a": 1}, ValueError("wrong"), b"bytes"])
def test_logs_any_object_as_text(message: object) -> None:
    assert json.loads(line(message))["message"] == str(message)


def test_keeps_the_end_of_a_long_exception() -> None:
    try:
        raise ValueError("x\n" * 100_000 + "the end")
    except ValueError:
        record = logging.LogRecord("test", logging.ERROR, "file", 1, "broke", (), sys.exc_info())
    written = JsonFormatter().format(record)
    assert written.splitlines() == [written]
    assert json.loads(written)["exception"].endswith("the end")
    assert len(json.loads(written)["exception"]) <= LONGEST_EXCEPTION


def test_a_line_has_the_id_of_its_request_only() -> None:
    assert "request_id" not in json.loads(line("before"))
    token = request_id.set("mine")
    try:
        assert json.loads(line("during"))["request_id"] == "mine"
        assert json.loads(line("of another", request_id="other"))["request_id"] == "other"
    finally:
        request_id.reset(token)


def test_the_time_is_rfc_3339_in_utc() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now())


def test_the_handler_has_the_lock_that_newer_pythons_enter() -> None:
    """Python 3.13 writes `with handler.lock`; older ones ask first whether there is a lock."""
    handler = OutputHandler()
    with handler.lock:
        handler.acquire()  # a signal handler may log meanwhile
        handler.release()
