"""Each request's id, its line in the log and its place in the metrics, and the metrics of the log itself.

This wraps the WSGI application, outside Flask: there it sees every answer, and costs a third of what hooks do.
"""

from __future__ import annotations  # those of inner functions would be evaluated at each request

import json
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from .current_span import current_span
from .logs import now, output
from .measures import Tally, add_tallies
from .request_id import USABLE, new_request_id, request_id

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # any other counts as OTHER
LONGEST_PATH = 256  # characters of a path in the log
matched: ContextVar[str | None] = ContextVar("endpoint", default=None)  # set when a request's route is known


class Series(Tally):
    """Requests with one method, route and status: how long they took, and the common part of their log lines."""

    __slots__ = ("exemplars", "line")

    def __init__(self, line: str) -> None:
        super().__init__()
        self.line = line  # empty where they are not logged
        self.exemplars: dict[int, Exemplar] = {}  # by the number of their bucket: the latest traced request

    def exemplify(self, seconds: float, trace: str) -> None:
        """Keep a traced request as the example of its bucket."""
        self.exemplars[bisect_left(self.bounds, seconds)] = Exemplar({"trace_id": trace}, seconds, time.time())


class RequestMetrics(Collector):
    """The requests answered so far, for Prometheus."""

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
        for labels, group in routes.items():
            add_tallies(seconds, labels, group, {n: each for series in group for n, each in series.exemplars.items()})
        yield total
        yield seconds


class LogMetrics(Collector):
    """The log lines that could not be written, for Prometheus."""

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "log_lines_dropped", "Log lines dropped because nothing read them.", value=output.dropped
        )


def observe(
    answer: WSGIApplication,
    service: str,
    route_of: Callable[[str], str],
    registry: CollectorRegistry,
    access_log: bool,
    unlogged: Collection[str] = (),
) -> WSGIApplication:
    """Return `answer` with an id, a count, a time and, if `access_log`, a log line for every request.

    `matched` holds the name of the request's endpoint while `answer` runs, and `route_of` returns its route. Of the
    routes in `unlogged`, a read with status 200 is not logged.
    """
    metrics = RequestMetrics()
    registry.register(metrics)
    registry.register(LogMetrics())
    seen: dict[tuple[str, str | None, str], Series] = {}

    def first_seen(method: str, endpoint: str | None, status: str) -> Series:
        route = route_of(endpoint) if endpoint else "none"
        line = ""
        if access_log and not (route in unlogged and status == "200" and method in ("GET", "HEAD")):
            fixed = {"level": "info", "service": service, "message": "request", "method": method, "route": route}
            line = json.dumps(fixed | {"status": int(status)}, separators=(",", ":"))[1:-1]
        return metrics.series.setdefault((method, route, status), Series(line))

    def observed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
        id = environ.get("HTTP_X_REQUEST_ID")
        if id is None or not USABLE.fullmatch(id):
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
        series.observe(took)
        if (span := current_span.get()) is not None:
            series.exemplify(took, span.trace)
        if series.line:
            path = json.dumps(environ["PATH_INFO"][:LONGEST_PATH])
            output.write(
                f'{{"time":"{now()}",{series.line},"request_id":"{id}","path":{path},"ms":{took * 1000:.3f}}}\n'
            )
        return body

    return observed
