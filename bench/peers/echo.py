"""The ceiling of the stack: a Flask endpoint that only parses and echoes JSON, under the server that serves us."""

from flask import Flask, Response, json, request
from prometheus_client import CollectorRegistry

from service_common.clients import Clients
from service_common.settings import Settings


class Echo(Flask):
    clients = Clients(Settings(), CollectorRegistry())  # whom the server serves

    def close(self) -> None:
        """Nothing to close; the server asks every application."""


def create_app() -> Echo:
    app = Echo("echo")

    @app.post("/echo")
    def echo() -> Response:
        return Response(json.dumps(request.get_json()), 201, mimetype="application/json")

    return app
