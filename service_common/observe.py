"""What is seen of a request: its id, its line in the log, its place in the metrics.

It wraps the WSGI application, outside Flask: there it sees every answer, and costs a third of what hooks do.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from flask import Flask
from prometheus_client import CollectorRegistry, Counter, Histogram

from .logs import new_request_id, now, request_id

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # others are not told apart
LONGEST_PATH = 256  # characters of a path in the log
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def observe(app: Flask, registry: CollectorRegistry, access_log: bool) -> None:
    """Give every request of `app` an id, count and time it, and log it if `access_log`."""
    total = Counter("http_requests", "Requests answered.", ("method", "route", "status"), registry=registry)
    seconds = Histogram(
        "http_request_duration_seconds",
        "Time to the answer.",
        ("method", "route"),
        buckets=BUCKETS_S,
        registry=registry,
    )
    answer = app.wsgi_app
    # labels() locks and hashes, and the line's middle is always the same: both are kept for each route.
    seen: dict[tuple[str, str | None, str], tuple[Any, Any, str]] = {}

    matched: ContextVar[str | None] = ContextVar("endpoint", default=None)

    @app.url_value_preprocessor
    def note(endpoint: str | None, _values: dict[str, Any] | None) -> None:
        matched.set(endpoint)

    def first_seen(method: str, endpoint: str | None, status: str) -> tuple[Any, Any, str]:
        route = next(app.url_map.iter_rules(endpoint)).rule if endpoint else "none"
        fixed = {"level": "info", "service": app.name, "message": "request", "method": method, "route": route}
        line = json.dumps(fixed | {"status": int(status)}, separators=(",", ":"))[1:-1]
        return total.labels(method, route, status), seconds.labels(method, route), line

    def observed(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        began = time.perf_counter()
        id = environ.get("HTTP_X_REQUEST_ID")
        if id is None or not REQUEST_ID.fullmatch(id):
            id = new_request_id()
        request_id.set(id)
        matched.set(None)
        status = "500"

        def start(status_line: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            nonlocal status
            status = status_line[:3]
            headers.append(("X-Request-ID", id))
            return start_response(status_line, headers, *exc_info)

        body = answer(environ, start)
        took = time.perf_counter() - began
        method = environ["REQUEST_METHOD"]
        key = (method if method in METHODS else "OTHER", matched.get(), status)
        if (known := seen.get(key)) is None:
            known = seen[key] = first_seen(*key)
        counter, histogram, line = known
        counter.inc()
        histogram.observe(took)
        if access_log:
            path = json.dumps(environ["PATH_INFO"][:LONGEST_PATH])
            with suppress(OSError):  # a log that takes no more must not cost an answer
                sys.stdout.write(
                    f'{{"time":"{now()}",{line},"request_id":"{id}","path":{path},"ms":{took * 1000:.3f}}}\n'
                )
        return body

    app.wsgi_app = observed  # type: ignore[method-assign]
