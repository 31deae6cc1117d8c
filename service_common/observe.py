"""What is seen of a request: its id, its line in the log, its place in the metrics.

It wraps the WSGI application, outside Flask: there it sees every answer, and costs a third of what hooks do.
"""

from __future__ import annotations  # those of inner functions would be evaluated at each request

import json
import re
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .logs import new_request_id, now, request_id

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # others are not told apart
LONGEST_PATH = 256  # characters of a path in the log
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Series:
    """Requests with one method, route and status: how long they took, and what all their log lines say."""

    __slots__ = ("buckets", "line", "seconds")

    def __init__(self, line: str) -> None:
        self.line = line
        self.seconds = 0.0
        self.buckets = [0] * (len(BUCKETS_S) + 1)  # of the histogram, not yet cumulative

    def add(self, seconds: float) -> None:
        """Count one request."""
        self.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self.seconds += seconds


class Requests(Collector):
    """The requests answered so far, for Prometheus.

    Counted in plain numbers: all requests are served on one thread, and the client library's own metrics lock for each.
    """

    def __init__(self) -> None:
        self.series: dict[tuple[str, str, str], Series] = {}

    def collect(self) -> Iterator[Metric]:
        total = CounterMetricFamily("http_requests", "Requests answered.", labels=("method", "route", "status"))
        seconds = HistogramMetricFamily(
            "http_request_duration_seconds", "Time to the answer.", labels=("method", "route")
        )
        routes: dict[tuple[str, str], list[Series]] = {}
        for (method, route, status), series in self.series.items():
            total.add_metric((method, route, status), sum(series.buckets))
            routes.setdefault((method, route), []).append(series)
        bounds = [*map(str, map(float, BUCKETS_S)), "+Inf"]
        for labels, group in routes.items():
            counts = accumulate(map(sum, zip(*(series.buckets for series in group), strict=True)))
            seconds.add_metric(labels, list(zip(bounds, counts, strict=True)), sum(series.seconds for series in group))
        yield total
        yield seconds


def observe(app: Flask, registry: CollectorRegistry, access_log: bool) -> None:
    """Give every request of `app` an id, count and time it, and log it if `access_log`."""
    requests = Requests()
    registry.register(requests)
    answer = app.wsgi_app
    seen: dict[tuple[str, str | None, str], Series] = {}
    matched: ContextVar[str | None] = ContextVar("endpoint", default=None)

    @app.url_value_preprocessor
    def note(endpoint: str | None, _values: dict[str, Any] | None) -> None:
        matched.set(endpoint)

    def first_seen(method: str, endpoint: str | None, status: str) -> Series:
        route = next(app.url_map.iter_rules(endpoint)).rule if endpoint else "none"
        fixed = {"level": "info", "service": app.name, "message": "request", "method": method, "route": route}
        line = json.dumps(fixed | {"status": int(status)}, separators=(",", ":"))[1:-1]
        return requests.series.setdefault((method, route, status), Series(line))

    def observed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
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
        if (series := seen.get(key)) is None:
            series = seen[key] = first_seen(*key)
        series.add(took)
        if access_log:
            path = json.dumps(environ["PATH_INFO"][:LONGEST_PATH])
            with suppress(OSError):  # a log that takes no more must not cost an answer
                sys.stdout.write(
                    f'{{"time":"{now()}",{series.line},"request_id":"{id}","path":{path},"ms":{took * 1000:.3f}}}\n'
                )
        return body

    app.wsgi_app = observed  # type: ignore[method-assign]
