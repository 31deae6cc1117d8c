"""A span for each request that is traced."""

from __future__ import annotations  # those of inner functions would be evaluated at each request

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..current_span import current_span
from ..metrics import LONGEST_PATH, METHODS, matched
from ..request_id import request_id
from .tracer import Tracer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

UNTRACED = ("/livez", "/readyz", "/metrics", "/traces/")  # what is asked every few seconds, and says nothing


def trace(answer: WSGIApplication, tracer: Tracer, route_of: Callable[[str], str]) -> WSGIApplication:
    """Return `answer`, wrapped by `metrics.observe`, with a span for each request that is traced."""

    def traced(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        span = tracer.begin(environ)
        if span is None or environ["PATH_INFO"].startswith(UNTRACED):
            return answer(environ, start_response)
        status = 500

        def start(status_line: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            nonlocal status
            status = int(status_line[:3])
            return start_response(status_line, headers, *exc_info)

        current_span.set(span)
        try:
            return answer(environ, start)
        finally:
            current_span.set(None)
            method = environ["REQUEST_METHOD"]
            known = method in METHODS
            span.name = method if known else "HTTP"
            span.attributes |= {
                "http.request.method": method if known else "_OTHER",
                "http.response.status_code": status,
                "url.scheme": "http",
                "url.path": environ["PATH_INFO"][:LONGEST_PATH],
                "threefold.request_id": request_id.get(),
            }
            if (endpoint := matched.get()) is not None:
                span.attributes["http.route"] = route = route_of(endpoint)
                span.name += f" {route}"
            if status >= 500:
                span.failed = True
                span.attributes.setdefault("error.type", str(status))
            span.end()

    return traced
