"""The routes by which a service describes itself: /, /livez, /readyz, /metrics, /problems and /docs."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from flask import Response, request
from flask_swagger_ui import get_swaggerui_blueprint
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from .. import __version__
from . import problem_kinds as kinds
from .application import Application
from .problem_kinds import ProblemKind
from .problems import Problem
from .query import query
from .responses import json_answer, respond

SHOWN = ("title", "status", "meaning", "action")  # of a kind of problem


def without_query(view: Callable[..., Any]) -> Callable[..., Any]:
    """Return a view that refuses query parameters with `validation`, as every other route does."""

    @wraps(view)
    def checked(**parts: Any) -> Any:
        query(request, {})
        return view(**parts)

    return checked


def init_app(
    app: Application,
    ready: Callable[[], bool],
    alive: Callable[[], bool],
    problem_kinds: Iterable[ProblemKind],
) -> None:
    """Add these routes to `app`. /readyz calls `ready`, /livez calls `alive`."""
    links = {
        "collection": f"/{app.name}", "openapi": "/openapi.json", "docs": "/docs",
        "livez": "/livez", "readyz": "/readyz", "metrics": "/metrics",
    }  # fmt: skip
    described = {kind.slug: kind for kind in problem_kinds}

    @app.get("/")
    @without_query
    def index() -> Response:
        return respond(json_answer({"service": app.name, "version": __version__, "links": links}))

    @app.get("/livez")
    @without_query
    def livez() -> Response:
        if not alive():
            raise Problem(kinds.INTERNAL, "The writer has stopped or is stuck: this process must be replaced.")
        return respond(json_answer({"status": "alive"}))

    @app.get("/readyz")
    @without_query
    def readyz() -> Response:
        if not ready():
            raise Problem(kinds.STORAGE_UNAVAILABLE, "The database cannot be written now, or the service is stopping.")
        return respond(json_answer({"status": "ready"}))

    @app.get("/metrics")
    @without_query
    def metrics() -> Response:
        if "application/openmetrics-text" in request.headers.get("Accept", ""):  # it alone has room for exemplars
            page = openmetrics.generate_latest(app.metrics)  # type: ignore[no-untyped-call]
            return Response(page, content_type=openmetrics.CONTENT_TYPE_LATEST)
        return Response(generate_latest(app.metrics), content_type=CONTENT_TYPE_LATEST)

    @app.get("/problems/<slug>")
    @without_query
    def problem(slug: str) -> Response:
        if slug not in described:
            raise Problem(kinds.NOT_FOUND, "There is no kind of problem with this name.")
        kind = described[slug]
        shown = {"type": f"/problems/{slug}"} | {name: getattr(kind, name) for name in SHOWN}
        return respond(json_answer(shown))

    swagger = get_swaggerui_blueprint(
        "/docs", "/openapi.json", {"app_name": f"{app.name}: API", "layout": "BaseLayout"}
    )
    app.register_blueprint(swagger)
    show = "swagger_ui.show"
    app.view_functions[show] = without_query(app.view_functions[show])
    app.add_url_rule("/docs", "docs", app.view_functions[show])
