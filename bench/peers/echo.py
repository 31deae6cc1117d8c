"""The ceiling: a Flask endpoint that only parses and echoes JSON, to be served like ours."""

from flask import Flask, Response, json, request


def create_app() -> Flask:
    app = Flask("echo")

    @app.post("/echo")
    def echo() -> Response:
        return Response(json.dumps(request.get_json()), 201, mimetype="application/json")

    return app
