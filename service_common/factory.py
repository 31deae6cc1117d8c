"""The application factory that the three services share."""

import gc
import json
import logging
import platform
import sys
from collections.abc import Collection, Iterable
from functools import cache, partial
from importlib import resources
from typing import Any

import gevent
from flask import Response
from prometheus_client import CollectorRegistry, ProcessCollector

from . import __version__
from .http import auth, health, problem_kinds, problems, rate_limit
from .http.application import Application
from .http.problem_kinds import ProblemKind
from .http.problems import Problem
from .resource import idempotency, openapi
from .resource.declaration import Resource
from .resource.routes import Routes
from .resource.use_cases import UseCases
from .server.connection_limits import ConnectionLimits
from .settings import Settings
from .storage.database import Database, Purge, Schema, Write, WriteLimits
from .storage.engine import engine_of, open_database
from .telemetry import metrics
from .telemetry.logs import JsonFormatter
from .telemetry.measures import Gauge
from .telemetry.processes import Metrics

PURGE_EVERY_S = 60
GARBAGE_OBJECTS = 20_000  # new objects after which the youngest are searched; a few megabytes
SWITCH_INTERVAL_S = 0.0005  # how long the thread that has committed may wait to report it; a tenth of Python's default


def build(
    resource: Resource, package: str, settings: Settings, registry: CollectorRegistry | None = None
) -> Application:
    """Return the service of `resource`, whose schema for each engine lies in `package`.

    Raises:
        SystemExit: a setting or the database cannot be used; the message says what to do.
    """
    registry = registry or CollectorRegistry()
    JsonFormatter.service = resource.name
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    tokens = settings.tokens()

    app = Application(resource.name, static_folder=None)
    app.settings = settings
    app.url_map.merge_slashes = False  # one resource, one path: no redirects
    url = settings.database()
    schema = resources.files(package).joinpath(f"schema.{engine_of(url)}.sql").read_text(encoding="utf-8")
    app.database = open_database(
        url,
        settings.data_dir,
        Schema(resource.name, schema, (resource.table,)),
        WriteLimits(settings.write_queue_limit, settings.write_batch_rows, settings.write_timeout),
        registry,
    )
    app.connections = ConnectionLimits(settings, registry)
    app.metrics = Metrics(registry)
    known_problems = (*problem_kinds.COMMON, *resource.problems)
    measure(app, registry, known_problems)
    rate_limit.init_app(app, settings.rate_limit, settings.rate_limit_exempt)
    observe(app, registry, settings.access_log, (*auth.OPEN, *resource.polled))
    if settings.traced:
        trace(app, registry)
    auth.init_app(app, tokens)
    problems.init_app(app)
    health.init_app(
        app,
        ready=lambda: not app.draining and app.database.ready(),
        alive=app.database.alive,
        problem_kinds=known_problems,
    )
    Routes(UseCases(resource, app.database), settings.max_body_bytes).init_app(app)

    @cache
    def described() -> str:
        return json.dumps(openapi.document(resource)) + "\n"

    @app.get("/openapi.json")
    @health.without_query
    def openapi_json() -> Response:
        return Response(described(), mimetype="application/json")

    gevent.spawn(purge_keys, app.database)
    # All objects so far stay, so the garbage collector need not search them again. It also runs more seldom: nearly
    # all garbage of requests is freed without it, and 64 requests at once use more objects than its default of 700.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 20, 20)
    return app


def measure(app: Application, registry: CollectorRegistry, known_problems: Iterable[ProblemKind]) -> None:
    """Add the metrics that belong to no one part of `app`."""
    ProcessCollector(registry=registry)  # CPU time, memory and start of this process; on Linux only
    Gauge("service_ready", "1 if /readyz would answer 200, as far as is known without a write.", registry,
          lambda: not app.draining and app.database.seems_ready(), combine=min)  # fmt: skip
    Gauge("service_draining", "1 from the signal to stop until the service has closed.", registry,
          lambda: app.draining, combine=max)  # fmt: skip
    about = (__version__, platform.python_version())
    Gauge("service_build_info", "What runs.", registry, lambda: {about: 1}, ("version", "python_version"), combine=max)
    for kind in known_problems:
        problems.answered.add(kind.slug, count=0)
    registry.register(problems.answered)
    registry.register(idempotency.replays)


def observe(app: Application, registry: CollectorRegistry, access_log: bool, unlogged: Collection[str]) -> None:
    """Count, time and log the requests of `app`. Successful reads of the routes in `unlogged` are not logged."""

    @app.url_value_preprocessor
    def note(endpoint: str | None, _values: dict[str, Any] | None) -> None:
        metrics.matched.set(endpoint)

    app.wsgi_app = metrics.observe(  # type: ignore[method-assign, assignment]
        app.wsgi_app, app.name, partial(route_of, app), registry, access_log, unlogged=unlogged
    )


def trace(app: Application, registry: CollectorRegistry) -> None:
    """Trace the requests of `app`, and add `GET /traces/<id>`."""
    from .telemetry.tracing.middleware import trace
    from .telemetry.tracing.tracer import Tracer

    settings = app.settings
    named = settings.resource_attributes()
    app.tracer = tracer = Tracer(
        settings.otel_service_name or named.get("service.name") or app.name,
        settings.otel_exporter_otlp_endpoint,
        settings.otel_traces_sampler_arg,
        {name: value for name, value in named.items() if name != "service.name"},
        registry,
    )
    app.wsgi_app = trace(app.wsgi_app, tracer, partial(route_of, app))  # type: ignore[method-assign, assignment]

    @app.get("/traces/<trace>")
    @health.without_query
    def show_trace(trace: str) -> Response:
        if (found := tracer.find(trace)) is None:
            raise Problem(problem_kinds.NOT_FOUND, "No span of this trace is kept in memory.")
        return Response(found, mimetype="application/json")


def route_of(app: Application, endpoint: str) -> str:
    """Return the route of an endpoint, such as `/items/<id>`."""
    return next(app.url_map.iter_rules(endpoint)).rule


def purge_keys(database: Database) -> None:
    """Delete expired idempotency keys once a minute."""
    while True:
        gevent.sleep(PURGE_EVERY_S)
        try:
            while database.write(Write(Purge())):
                pass
        except Exception as error:  # whatever it was, the next minute tries again
            logging.getLogger("storage").warning("expired keys were not deleted: %s", error)
