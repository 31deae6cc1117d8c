"""What is seen of a request: its id, its line in the log, its place in the metrics."""

import json
import re
import random
import sys
import time
from typing import Any

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram

from .logs import now, request_id

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
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
    # labels() locks and hashes; the routes are few, so their children are kept here.
    children: dict[tuple[str, str, int], tuple[Any, Any]] = {}
    write = sys.stdout.write

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()
        given = request.environ.get("HTTP_X_REQUEST_ID", "")
        g.request_id = given if REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        request_id.set(g.request_id)

    @app.after_request
    def end(response: Response) -> Response:
        took = time.perf_counter() - g.began
        response.headers["X-Request-ID"] = g.request_id
        rule = request.url_rule
        route = rule.rule if rule else "unmatched"
        method = request.method if rule or response.status_code == 405 else "OTHER"
        known = children.get((method, route, response.status_code))
        if known is None:
            known = (total.labels(method, route, response.status_code), seconds.labels(method, route))
            children[method, route, response.status_code] = known
        known[0].inc()
        known[1].observe(took)
        if access_log:
            path = json.dumps(request.path[:LONGEST_PATH])
            write(
                f'{{"time":"{now()}","level":"info","service":"{app.name}","message":"request",'
                f'"request_id":"{g.request_id}","method":{json.dumps(request.method[:16])},"path":{path},'
                f'"route":"{route}","status":{response.status_code},"ms":{took * 1000:.3f}}}\n'
            )
        return response
