"""A span for each request to another service."""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from ..current_span import current_span
from .span import CLIENT, Span


@contextmanager
def traced(parent: Span, method: str, url: str, headers: MutableMapping[str, Any], resends: int) -> Iterator[None]:
    """Make the span of one attempt, which its `headers` name meanwhile. It is the current one until it ends."""
    parts = urlsplit(url)
    span = parent.child(
        f"{method} {parts.path}", CLIENT, {"http.request.method": method, "url.full": url, "url.template": parts.path}
    )
    span.attributes |= {"server.address": parts.hostname or "", "server.port": parts.port or 80}
    if resends:
        span.attributes["http.request.resend_count"] = resends
    headers["traceparent"] = span.header()
    if span.state:
        headers["tracestate"] = span.state
    current_span.set(span)
    try:
        yield
    except BaseException as error:
        span.fail(error)
        raise
    finally:
        current_span.set(parent)
        span.end()
        headers.pop("traceparent")
        headers.pop("tracestate", None)
