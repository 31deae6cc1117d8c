"""Errors as RFC 9457 problem details: one shape, made here and nowhere else."""

import json
import logging
from typing import Any

from flask import Flask, Response
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from .logs import request_id

MEDIA_TYPE = "application/problem+json"
ERRORS_SHOWN = 20  # of one request: enough to mend it, too few to make a small request a large answer

KINDS: dict[str, tuple[int, str]] = {
    "malformed-json": (400, "The body is not I-JSON"),
    "malformed-body": (400, "The request is not framed correctly"),
    "idempotency-key-invalid": (400, "The Idempotency-Key cannot be used"),
    "unauthorized": (401, "A bearer token is needed"),
    "not-found": (404, "There is no such resource"),
    "method-not-allowed": (405, "The method is not allowed here"),
    "precondition-failed": (412, "The resource has another version"),
    "body-too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "The body must be application/json"),
    "requested-range-not-satisfiable": (416, "Requested Range Not Satisfiable"),
    "validation": (422, "The request is well-formed but wrong"),
    "idempotency-key-reused": (422, "The Idempotency-Key was used for another request"),
    "too-many-requests": (429, "Too many requests from one address"),
    "overloaded": (503, "Too much is waiting; nothing was written"),
    "dependency-unavailable": (503, "Another service could not be asked; nothing was written"),
    "storage-unavailable": (503, "The database could not be written; nothing was written"),
    "outcome-unknown": (503, "The write may or may not have been made"),
    "internal": (500, "The service failed"),
}
RETRY_AFTER_S = {"overloaded": 1, "dependency-unavailable": 1, "storage-unavailable": 2}
BY_STATUS = {
    400: "malformed-body",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "unsupported-media-type",
    416: "requested-range-not-satisfiable",
    500: "internal",
}


class Problem(Exception):
    """An error that a client is told about. `kind` is the slug of its type.

    A service adds kinds of its own to `KINDS` when it is imported.
    """

    def __init__(self, kind: str, detail: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.status, self.title = KINDS[kind]
        self.detail = detail
        self.errors = errors

    def body(self, request_id: str) -> dict[str, Any]:
        """The problem as its JSON object."""
        problem: dict[str, Any] = {
            "type": f"/problems/{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.errors is not None:
            problem["errors"] = self.errors[:ERRORS_SHOWN]
        return problem

    def response(self) -> Response:
        """The problem as the answer to the current request."""
        response = Response(json.dumps(self.body(request_id.get())), self.status, mimetype=MEDIA_TYPE)
        if (seconds := RETRY_AFTER_S.get(self.kind)) is not None:
            response.headers["Retry-After"] = str(seconds)
        return response


def pointer(location: tuple[int | str, ...]) -> str:
    """The JSON pointer (RFC 6901) of a place in a body."""
    return "".join("/" + str(step)[:200].replace("~", "~0").replace("/", "~1") for step in location)


def from_validation(error: ValidationError) -> Problem:
    """What pydantic found wrong with a body, as one problem."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    errors = [
        {"pointer": pointer(e["loc"]), "detail": e["msg"].removeprefix("Value error, ")} for e in found[:ERRORS_SHOWN]
    ]
    return Problem("validation", f"{len(found)} of the body's fields cannot be accepted.", errors)


def register(app: Flask) -> None:
    """Answer every error of `app` as a problem."""

    @app.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        return error.response()

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        if error.code is not None and error.code < 400:
            return Response(error.get_body(), error.code, error.get_headers())
        kind = BY_STATUS.get(error.code or 500, "internal")
        response = Problem(kind, error.description or KINDS[kind][1]).response()
        for name, value in error.get_headers():
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def internal(error: Exception) -> Response:
        logging.getLogger(app.name).error("unhandled error", exc_info=error)
        return Problem("internal", "The service failed; its log has the cause under this request_id.").response()
