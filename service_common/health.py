"""What a service says of itself: /, /livez, /readyz, /metrics, /docs."""

from collections.abc import Callable

from flask import Flask, Response, jsonify
from flask_swagger_ui import get_swaggerui_blueprint
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from . import __version__
from .problems import Problem
from .writer import Writer


def register(app: Flask, ready: Callable[[], bool], writer: Writer, registry: CollectorRegistry) -> None:
    """Add the routes that every service has to `app`; `ready` is asked by /readyz."""
    links = {
        "collection": f"/{app.name}", "openapi": "/openapi.json", "docs": "/docs",
        "livez": "/livez", "readyz": "/readyz", "metrics": "/metrics",
    }  # fmt: skip

    @app.get("/")
    def index() -> Response:
        return jsonify(service=app.name, version=__version__, links=links)

    @app.get("/livez")
    def livez() -> Response:
        if not writer.alive():
            raise Problem("internal", "The writer has stopped or is stuck: this process must be replaced.")
        return jsonify(status="alive")

    @app.get("/readyz")
    def readyz() -> Response:
        if not ready():
            raise Problem("storage-unavailable", "The database cannot be written now, or the service is stopping.")
        return jsonify(status="ready")

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    swagger = get_swaggerui_blueprint(
        "/docs", "/openapi.json", {"app_name": f"{app.name}: API", "layout": "BaseLayout"}
    )
    app.register_blueprint(swagger)
    app.add_url_rule("/docs", "docs", app.view_functions["swagger_ui.show"])
