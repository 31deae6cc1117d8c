"""From the spans that services show to the rows of a waterfall. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

OWN = "load generator"
TELLING = ("exception.message", "problem.type", "reason", "server.address")  # attributes of an event, one is shown
MOST_ROWS = 200
MOST_TRACES = 4  # with which one request shares work: a round and a transaction, perhaps each twice


@dataclass(frozen=True)
class Span:
    """A span of a service. Times are nanoseconds since 1970."""

    service: str
    trace: str
    id: str
    parent: str
    name: str
    began: int
    ended: int
    failed: bool = False
    links: tuple[tuple[str, str], ...] = ()  # trace and span
    notes: tuple[str, ...] = ()
    shared: bool = False  # made for another request, too, in whose trace it is


def read(document: Mapping[str, Any], service: str) -> list[Span]:
    """Return the spans of an answer of `service` to `GET /traces/{id}`, which is OTLP/JSON."""
    return [
        Span(
            service,
            span["traceId"],
            span["spanId"],
            span.get("parentSpanId", ""),
            str(span["name"]),
            int(span["startTimeUnixNano"]),
            int(span["endTimeUnixNano"]),
            span.get("status", {}).get("code") == 2,
            tuple((link["traceId"], link["spanId"]) for link in span.get("links", ())),
            tuple(notes(span)),
        )
        for resource in document["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def notes(span: Mapping[str, Any]) -> Iterable[str]:
    """Yield what a span says besides its name and times: its own attributes, the status, and the events."""
    for name, value in plain(span["attributes"]).items():
        if name.startswith("threefold.") and name.endswith(".size"):
            yield f"{name.split('.')[1]} of {value}"
        elif name == "http.response.status_code":
            yield f"status {value}"
        elif name == "http.request.resend_count":
            yield f"attempt {int(value) + 1}"
    began = int(span["startTimeUnixNano"])
    for event in span.get("events", ()):
        said = plain(event["attributes"])
        text = next((said[name] for name in TELLING if said.get(name)), "")
        after = (int(event["timeUnixNano"]) - began) / 1e6
        yield f"{event['name']}{f' ({text})' if text else ''} after {after:.1f} ms"


def plain(attributes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return attributes as texts."""
    return {each["key"]: str(next(iter(each["value"].values()))) for each in attributes}


def linked(spans: Iterable[Span]) -> list[str]:
    """Return the traces that have the parts of work which these spans only wait for."""
    spans = list(spans)
    parents = {span.parent for span in spans}
    found = [trace for span in spans if span.id not in parents for trace, _ in span.links]
    return list(dict.fromkeys(found))[:MOST_TRACES]


def graft(spans: list[Span], others: Mapping[str, list[Span]]) -> list[Span]:
    """Return `spans`, and below each that was linked with another trace the parts of the work from there."""
    parents = {span.parent for span in spans}
    grafted = list(spans)
    for span in spans:
        if span.id in parents:
            continue
        for trace, id in span.links:
            below = children(others.get(trace, []))
            todo = [(each, span.id) for each in below[id]]
            while todo and len(grafted) < 2 * MOST_ROWS:
                part, parent = todo.pop()
                grafted.append(replace(part, id=f"{span.id}/{part.id}", parent=parent, shared=True))
                todo += [(each, f"{span.id}/{part.id}") for each in below[part.id]]
    return grafted


def children(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """Return spans by their parents, in the order in which they began."""
    found = defaultdict(list)
    for span in sorted(spans, key=lambda each: (each.began, each.ended)):
        found[span.parent].append(span)
    return found


def rows(request: Mapping[str, Any], spans: list[Span]) -> list[dict[str, Any]]:
    """Return the rows of a waterfall, from the top: the request as its sender saw it, then the spans of the services.

    A row is `{"name": "COMMIT", "service": "orders", "depth": 3, "at": 1.25, "ms": 2.5, "failed": false,
    "shared": false, "notes": ["group of 12"]}`. `at` are milliseconds since the request was sent.
    """
    began, below = request["began"], children(spans)
    top = {
        "name": f"{request['method']} {request['action']}",
        "service": OWN,
        "depth": 0,
        "at": 0.0,
        "ms": request["ms"],
    }
    found: list[dict[str, Any]] = [top | {"failed": False, "shared": False, "notes": [f"status {request['status']}"]}]
    todo = [(span, 1) for span in reversed(below[request["span"]])]
    while todo and len(found) < MOST_ROWS:
        span, depth = todo.pop()
        found.append(
            {
                "name": span.name,
                "service": span.service,
                "depth": depth,
                "at": round((span.began - began) / 1e6, 3),
                "ms": round((span.ended - span.began) / 1e6, 3),
                "failed": span.failed,
                "shared": span.shared,
                "notes": list(span.notes),
            }
        )
        todo += [(each, depth + 1) for each in reversed(below[span.id])]
    return found
