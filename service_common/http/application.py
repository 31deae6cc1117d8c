"""The Flask application of a service. It skips what Flask does at each request and a service does not need."""

import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response
from flask.sessions import SessionInterface
from werkzeug.routing import MapAdapter, Rule

from ..server.connection_limits import ConnectionLimits
from ..settings import Settings
from ..storage.database import Database
from ..telemetry.processes import Metrics
from . import problems

if TYPE_CHECKING:
    from ..telemetry.tracing.tracer import Tracer


class NoSessions(SessionInterface):
    """A session that is never there: a service remembers nothing about a client."""

    def open_session(self, app: Flask, request: Request) -> Any:
        return self

    def is_null_session(self, obj: object) -> bool:
        return True


class KnownRoute(MapAdapter):
    """Werkzeug's adapter for a request. `rule` is set where the route is known without a search."""

    rule: Rule | None = None

    def match(self, *args: Any, **options: Any) -> Any:
        if self.rule is not None and not args and options == {"return_rule": True}:  # Flask asks for the request itself
            return self.rule, {}
        return super().match(*args, **options)


class Application(Flask):
    """A Flask application with its database. Call `close` when it has served."""

    session_interface = NoSessions()
    database: Database
    settings: Settings
    connections: ConnectionLimits
    metrics: Metrics
    refuse = staticmethod(problems.refuse)  # answers a request that the server refused
    draining = False  # the server is stopping
    tracer: "Tracer | None" = None  # None: nothing is traced
    before_close: Callable[[float], None] | None = None  # what still needs the database, for at most some seconds

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return `func` as it is: no view is a coroutine."""
        return func

    def make_default_options_response(self) -> Response:
        """Answer `OPTIONS` with `Allow`, and without a Content-Type: there is no body."""
        answer = super().make_default_options_response()
        del answer.headers["Content-Type"]
        return answer

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return the adapter that matches a request's path to its route. Host and scheme are ignored."""
        if request is None:
            return None
        path = request.path
        sent = request.environ.get("RAW_URI", "")
        if request.environ["PATH_INFO"].startswith("//") or ("%2" in sent and "%2f" in sent.partition("?")[0].lower()):
            path = f"/.{path}"  # matches nothing: Werkzeug would read it as one slash, or as another path
        adapter = KnownRoute(self.url_map, "localhost", "/", "", "http", path, request.method)
        adapter.rule = self.fixed_routes.get((request.method, path))
        return adapter

    @cached_property
    def fixed_routes(self) -> dict[tuple[str, str], Rule]:
        """The routes whose path has no variable part, by method and path."""
        fixed = [rule for rule in self.url_map.iter_rules() if not rule.arguments]
        return {(method, rule.rule): rule for rule in fixed for method in rule.methods or ()}

    def close(self) -> None:
        """Finish what needs the database, write what is queued, close the database, and send the last spans."""
        deadline = time.monotonic() + self.settings.drain_timeout
        if self.before_close is not None:
            self.before_close(self.settings.drain_timeout)
        self.metrics.write()  # now: a metric may need the database
        self.database.close(max(deadline - time.monotonic(), 0))
        if self.tracer is not None:
            self.tracer.close()
