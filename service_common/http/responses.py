"""Responses: how an answer becomes Flask's response."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flask import Response
from werkzeug.datastructures import Headers

from ..storage.database import Answer
from .problems import MEDIA_TYPE, answered

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class FinishedResponse(Response):
    """A response whose headers are complete: Werkzeug works nothing out when it is sent."""

    default_mimetype = None

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        return self.headers


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Return an answer whose body is `value` as JSON."""
    return Answer(status, dumps(value).encode(), headers or {})


def respond(answer: Answer) -> Response:
    """Return an answer as Flask's response. A status from 400 on means that its body is a problem."""
    media_type = "application/json"
    if answer.status >= 400:
        media_type = MEDIA_TYPE
        answered.add(answer.body.split(b'"', 4)[3].decode().removeprefix("/problems/"))  # its first member is `type`
    headers = [*answer.headers.items(), ("Content-Type", media_type)]
    return FinishedResponse(answer.body + b"\n", answer.status, headers)
