"""What is seen of a request: its id, its line in the log, its place in the metrics."""

import json
import random
import re
import sys
import time
from typing import Any

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram

from .logs import now, request_id

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
    # labels() locks and hashes, and the line's middle is always the same: both are kept for each route.
    seen: dict[tuple[str, str, int], tuple[Any, Any, str]] = {}

    def first_seen(method: str, route: str, status: int) -> tuple[Any, Any, str]:
        fixed = {"level": "info", "service": app.name, "message": "request", "method": method, "route": route}
        line = json.dumps(fixed | {"status": status}, separators=(",", ":"))[1:-1]
        return total.labels(method, route, status), seconds.labels(method, route), line

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()
        given = request.environ.get("HTTP_X_REQUEST_ID")
        if given is None or not REQUEST_ID.fullmatch(given):
            given = f"{random.getrandbits(128):032x}"
        g.request_id = given
        request_id.set(given)

    @app.after_request
    def end(response: Response) -> Response:
        took = time.perf_counter() - g.began
        response.headers.add("X-Request-ID", g.request_id)
        rule = request.url_rule
        route = rule.rule if rule else "none"
        method = request.method if request.method in METHODS else "OTHER"
        key = (method, route, response.status_code)
        if (known := seen.get(key)) is None:
            known = seen[key] = first_seen(*key)
        counter, histogram, line = known
        counter.inc()
        histogram.observe(took)
        if access_log:
            sys.stdout.write(
                f'{{"time":"{now()}",{line},"request_id":"{g.request_id}","path":{json.dumps(request.path[:LONGEST_PATH])},'
                f'"ms":{took * 1000:.3f}}}\n'
            )
        return response
