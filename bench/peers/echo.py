"""The ceiling of the stack: a Flask endpoint that only parses and echoes JSON, under this project's server."""

from flask import Flask, Response, json, request
from prometheus_client import CollectorRegistry

from service_common.http.problems import refuse
from service_common.server.connection_limits import ConnectionLimits
from service_common.settings import Settings


class Echo(Flask):
    connections = ConnectionLimits(Settings(), CollectorRegistry())  # as of any service
    refuse = staticmethod(refuse)

    def close(self) -> None:
        """Close nothing: the server calls this of every application."""


def create_app() -> Echo:
    app = Echo("echo")

    @app.post("/echo")
    def echo() -> Response:
        return Response(json.dumps(request.get_json()), 201, mimetype="application/json")

    return app
