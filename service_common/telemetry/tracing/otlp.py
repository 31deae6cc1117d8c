"""Spans as OTLP/JSON, formatted by hand: that takes half of what dictionaries and the encoder would."""

import json
from collections.abc import Iterable

from .span import Attributes, Span

_escape = json.JSONEncoder(ensure_ascii=True).encode


def text(value: str) -> str:
    """Return a string as JSON. Half of a surrogate pair is no character, and receivers refuse it."""
    return _escape(value if value.isascii() else value.encode("utf-8", "replace").decode())


def attributes(given: Attributes) -> str:
    """Return attributes as JSON; of integers OTLP wants the digits in a string."""
    return ",".join(
        [
            f'{{"key":"{key}","value":{{"stringValue":{text(value)}}}}}'
            if type(value) is str
            else f'{{"key":"{key}","value":{{"intValue":"{value}"}}}}'
            if type(value) is int
            else f'{{"key":"{key}","value":{{"boolValue":{"true" if value else "false"}}}}}'
            for key, value in given.items()
        ]
    )


def encode(span: Span) -> str:
    """Return a span as JSON."""
    more = f',"parentSpanId":"{span.parent}"' if span.parent else ""
    if span.state:
        more += f',"traceState":{text(span.state)}'
    if span.links:
        links = ",".join([f'{{"traceId":"{trace}","spanId":"{id}"}}' for trace, id in span.links])
        more += f',"links":[{links}]'
    if span.events:
        events = ",".join(
            [
                f'{{"timeUnixNano":"{at}","name":"{name}","attributes":[{attributes(of)}]}}'
                for at, name, of in span.events
            ]
        )
        more += f',"events":[{events}]'
    if span.failed:
        more += ',"status":{"code":2}'
    return (
        f'{{"traceId":"{span.trace}","spanId":"{span.id}","name":{text(span.name)},"kind":{span.kind},'
        f'"startTimeUnixNano":"{span.began}","endTimeUnixNano":"{span.ended}",'
        f'"attributes":[{attributes(span.attributes)}]{more}}}'
    )


def document(resource: str, spans: Iterable[str]) -> bytes:
    """Return the message with `spans`, which are JSON, of a resource, whose attributes are JSON."""
    return (
        f'{{"resourceSpans":[{{"resource":{{"attributes":[{resource}]}},"scopeSpans":[{{"scope":{{"name":"threefold"}},'
        f'"spans":[{",".join(spans)}]}}]}}]}}\n'
    ).encode()
