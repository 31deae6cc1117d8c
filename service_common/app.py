"""The application factory that the three services share."""

import gc
import logging
import sys
from collections.abc import Callable
from functools import cached_property
from importlib import resources
from typing import Any

import gevent
from flask import Flask, Request, Response
from flask.sessions import SessionInterface
from prometheus_client import CollectorRegistry, ProcessCollector
from werkzeug.routing import MapAdapter, Rule

from . import access, health, observe, openapi, problems, rates, routes
from .clients import Clients
from .collection import Collection, Resource, dumps
from .idempotency import InFlight, purge
from .logs import JsonFormatter
from .settings import Settings
from .store import Store
from .writer import Writer

PURGE_EVERY_S = 60
GARBAGE_OBJECTS = 20_000  # new objects after which the youngest are searched; a few megabytes
SWITCH_INTERVAL_S = 0.0005  # how soon the thread that has committed may tell so; Python's own is 10 times that


class NoSessions(SessionInterface):
    """A service keeps nothing about a client: Flask need not look for a session."""

    def open_session(self, app: Flask, request: Request) -> Any:
        return self

    def is_null_session(self, obj: object) -> bool:
        return True


class Matched(MapAdapter):
    """Werkzeug's adapter, for a request whose route may be known already."""

    rule: Rule | None = None

    def match(self, *args: Any, **options: Any) -> Any:
        if self.rule is not None and not args and options == {"return_rule": True}:  # as Flask asks for a request's own
            return self.rule, {}
        return super().match(*args, **options)


class Service(Flask):
    """A Flask application with its store and writer; `close` it when it has served."""

    session_interface = NoSessions()
    store: Store
    writer: Writer
    settings: Settings
    clients: Clients
    draining = False  # the server has been told to stop

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Nothing here is a coroutine: there is nothing to look for."""
        return func

    def make_default_options_response(self) -> Response:
        """What `OPTIONS` is answered: `Allow`, and nothing that would have a type."""
        answer = super().make_default_options_response()
        del answer.headers["Content-Type"]
        return answer

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """What matches a request's path to its route. Hosts and schemes do not matter here."""
        if request is None:
            return None
        path = request.path
        sent = request.environ.get("RAW_URI", "")
        if request.environ["PATH_INFO"].startswith("//") or ("%2" in sent and "%2f" in sent.partition("?")[0].lower()):
            path = f"/.{path}"  # leads nowhere: Werkzeug would take it for one slash, or for another path
        adapter = Matched(self.url_map, "localhost", "/", "", "http", path, request.method)
        adapter.rule = self.fixed_routes.get((request.method, path))
        return adapter

    @cached_property
    def fixed_routes(self) -> dict[tuple[str, str], Rule]:
        """The routes whose path has no variable part, by method and path: these need no search."""
        fixed = [rule for rule in self.url_map.iter_rules() if not rule.arguments]
        return {(method, rule.rule): rule for rule in fixed for method in rule.methods or ()}

    def close(self) -> None:
        """Write what is queued, checkpoint, close the database."""
        self.writer.close(self.settings.drain_timeout)


def build(resource: Resource, package: str, settings: Settings, registry: CollectorRegistry | None = None) -> Service:
    """A service for `resource`, whose `schema.sql` lies in `package`.

    Raises:
        SystemExit: a setting or the database cannot be used; the message says what to do.
    """
    registry = registry or CollectorRegistry()
    JsonFormatter.service = resource.name
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    tokens = settings.tokens()

    app = Service(resource.name, static_folder=None)
    app.settings = settings
    app.url_map.merge_slashes = False  # one resource, one path: no redirects
    app.store = Store(
        settings.data_dir / f"{resource.name}.db",
        resources.files(package).joinpath("schema.sql").read_text(encoding="utf-8"),
    )
    app.writer = Writer(
        app.store,
        queue_limit=settings.write_queue_limit,
        batch_rows=settings.write_batch_rows,
        timeout=settings.write_timeout,
        registry=registry,
    )
    app.clients = app.extensions["clients"] = Clients(settings, registry)
    ProcessCollector(registry=registry)  # CPU time, memory and start of this process; only Linux tells
    rates.limit(app, settings.rate_limit, settings.rate_limit_exempt.split())
    observe.observe(app, registry, settings.access_log)
    access.protect(app, tokens)
    problems.register(app)
    health.register(app, lambda: not app.draining and app.writer.ready(), app.writer, registry)
    routes.register(
        app,
        Collection(resource, app.store),
        app.store,
        app.writer,
        InFlight(settings.write_timeout),
        settings.max_body_bytes,
    )
    described = dumps(openapi.document(resource))

    @app.get("/openapi.json")
    def openapi_json() -> Response:
        return Response(described, mimetype="application/json")

    gevent.spawn(keep_house, app.writer)
    # What is here by now stays: the garbage collector need not look at it again and again. Nor often for what requests
    # leave: nearly all of that is freed without it, and what is in use by 64 requests at once is more than its 700.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 20, 20)
    return app


def keep_house(writer: Writer) -> None:
    """Delete expired idempotency keys, some every minute, for as long as the writer takes writes."""
    while True:
        gevent.sleep(PURGE_EVERY_S)
        try:
            while writer.write(purge):
                pass
        except Exception as error:  # whatever it was, it is tried again in a minute
            logging.getLogger("housekeeping").warning("expired keys were not deleted: %s", error)
