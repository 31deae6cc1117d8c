"""A receiver of spans: OTLP/JSON over HTTP, read with OpenTelemetry's own messages.

Run as a program it writes each message that it accepts as a line to a file, before it answers:
`python -m tests.traces.receiver PORT FILE`.
"""

import base64
import json
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from google.protobuf.json_format import Parse, ParseError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message

from testbed.process import Server

IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}  # bytes; OTLP/JSON has them in hexadecimal, protobuf in base64


def parse(text: str) -> ExportTraceServiceRequest:
    """Return a message. Raises ValueError: it is not OTLP/JSON."""

    def with_ids(members: dict[str, Any]) -> dict[str, Any]:
        for name, size in IDS.items():
            if name in members:
                id = bytes.fromhex(members[name])
                if len(id) != size or not any(id) or members[name] != id.hex():
                    raise ValueError(f"{name} is {members[name]}")
                members[name] = base64.b64encode(id).decode()
        return members

    try:
        return Parse(json.dumps(json.loads(text, object_hook=with_ids)), ExportTraceServiceRequest())
    except ParseError as error:
        raise ValueError(str(error)) from None


@dataclass
class Span:
    """A span as the tests look at it."""

    message: Message
    service: str
    children: list["Span"] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"{self.name} of {self.service}"

    @property
    def id(self) -> str:
        return self.message.span_id.hex()

    @property
    def trace(self) -> str:
        return self.message.trace_id.hex()

    @property
    def parent(self) -> str:
        return self.message.parent_span_id.hex()

    @property
    def name(self) -> str:
        return self.message.name

    @property
    def attributes(self) -> dict[str, Any]:
        return plain(self.message.attributes)

    @property
    def links(self) -> set[tuple[str, str]]:
        return {(link.trace_id.hex(), link.span_id.hex()) for link in self.message.links}

    @property
    def events(self) -> list[str]:
        return [event.name for event in self.message.events]

    @property
    def failed(self) -> bool:
        return self.message.status.code == 2

    def child(self, name: str) -> "Span":
        """Return the one child of this name."""
        (found,) = (each for each in self.children if each.name == name)
        return found

    def names(self) -> list[str]:
        """Return the names of its children, sorted."""
        return sorted(each.name for each in self.children)

    def everything(self) -> list["Span"]:
        """Return it and all below it."""
        return [self, *(below for each in self.children for below in each.everything())]


def plain(attributes: Any) -> dict[str, Any]:
    """Return attributes as Python's values."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def spans(messages: list[ExportTraceServiceRequest]) -> dict[str, Span]:
    """Return all spans by id, each with its children."""
    found: dict[str, Span] = {}
    for message in messages:
        for resource in message.resource_spans:
            service = plain(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                for each in scope.spans:
                    span = Span(each, service)
                    assert span.id not in found, f"{span} came twice"
                    found[span.id] = span
    by_parent = defaultdict(list)
    for span in found.values():
        by_parent[span.trace, span.parent].append(span)
    for span in found.values():
        span.children = sorted(by_parent[span.trace, span.id], key=lambda each: each.message.start_time_unix_nano)
    return found


class Receiver(Server):
    """The receiver as a process that a test may kill and start again."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "spans"
        command = [sys.executable, "-m", "tests.traces.receiver", "{port}", str(self.file)]
        super().__init__("receiver", command, directory, {})

    def messages(self) -> list[ExportTraceServiceRequest]:
        """Return what it has accepted so far."""
        if not self.file.exists():
            return []
        *lines, _unfinished = self.file.read_text().split("\n")
        return [parse(line) for line in lines]

    def spans(self) -> dict[str, Span]:
        """Return the spans that it has accepted so far, by id."""
        return spans(self.messages())


class Handler(BaseHTTPRequestHandler):
    """Answers as OTLP says."""

    protocol_version = "HTTP/1.1"
    file: Path

    def do_GET(self) -> None:
        self._answer(200)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        try:
            assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/json")
            parse(body)
        except (ValueError, AssertionError) as wrong:
            print(f"{type(wrong).__name__}: {wrong}: {body[:2000]}", flush=True)
            self._answer(400)
            return
        with self.file.open("a") as file:
            file.write(body.rstrip("\n") + "\n")
        self._answer(200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_args: Any) -> None:
        return None


if __name__ == "__main__":
    Handler.file = Path(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
