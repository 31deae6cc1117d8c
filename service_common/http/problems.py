"""Errors as problem details (RFC 9457). Their one shape is made here and nowhere else."""

import json
import logging
from typing import Any

from flask import Flask, Response
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from ..server.errors import (
    BodyTooLarge,
    BrokenBody,
    Refusal,
    RefusalAnswer,
    ServerError,
    TooManyLargeRequests,
)
from ..storage.errors import OutcomeUnknown, Overloaded, StorageError, Unavailable
from ..telemetry.current_span import current_span
from ..telemetry.measures import Counter
from ..telemetry.request_id import request_id
from . import problem_kinds as kinds
from .problem_kinds import ProblemKind

MEDIA_TYPE = "application/problem+json"
ERRORS_SHOWN = 20  # of one request: enough to correct it, too few to make a large answer of a small request

BY_STATUS = {  # of Werkzeug's errors
    kind.status: kind
    for kind in (
        kinds.MALFORMED_BODY, kinds.NOT_FOUND, kinds.METHOD_NOT_ALLOWED, kinds.BODY_TOO_LARGE,
        kinds.UNSUPPORTED_MEDIA_TYPE, kinds.RANGE_NOT_SATISFIABLE, kinds.INTERNAL,
    )
}  # fmt: skip
UNKNOWN_FIELD = "is not a known field"
SENTENCES = {  # by pydantic's type of error; its own sentences name classes and show regular expressions
    "missing": "is missing",
    "extra_forbidden": UNKNOWN_FIELD,
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be an array",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "bool_type": "must be true or false",
    "string_too_short": "must have a length of at least {min_length}",
    "string_too_long": "must have a length of at most {max_length}",
    "too_short": "must have a length of at least {min_length}",
    "too_long": "must have a length of at most {max_length}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be more than {gt}",
    "less_than": "must be less than {lt}",
    "value_error": "{error}",  # raised by a validator of ours, with a sentence for the client
}
OTHER_ERROR = "is not accepted"
STORAGE_KINDS = {
    Overloaded: kinds.OVERLOADED,
    Unavailable: kinds.STORAGE_UNAVAILABLE,
    OutcomeUnknown: kinds.OUTCOME_UNKNOWN,
}
SERVER_KINDS = {
    BodyTooLarge: kinds.BODY_TOO_LARGE,
    BrokenBody: kinds.MALFORMED_BODY,
    TooManyLargeRequests: kinds.OVERLOADED,
}
REFUSAL_KINDS = {  # of requests that the server refuses, by the status that it chose
    kind.status: kind
    for kind in (kinds.URI_TOO_LONG, kinds.EXPECTATION_FAILED, kinds.HEADER_FIELDS_TOO_LARGE, kinds.INTERNAL)
}


answered = Counter("problems", "Answers that were problems; items of a batch are not counted.", None, ("kind",))


class Problem(Exception):
    """An error that is answered to the client as problem details."""

    def __init__(self, kind: ProblemKind, detail: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(f"{kind.slug}: {detail}")
        self.kind = kind
        self.detail = detail
        self.errors = errors

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the problem as a JSON object."""
        problem: dict[str, Any] = {
            "type": f"/problems/{self.kind.slug}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.errors is not None:
            problem["errors"] = self.errors[:ERRORS_SHOWN]
        return problem

    def response(self) -> Response:
        """Return the problem as the answer to the current request."""
        answered.add(self.kind.slug)
        body = json.dumps(self.body(request_id.get()), separators=(",", ":")) + "\n"
        response = Response(body, self.kind.status, mimetype=MEDIA_TYPE)
        if (seconds := self.kind.retry_after) is not None:
            response.headers["Retry-After"] = str(seconds)
        if (span := current_span.get()) is not None:
            span.event("problem", **{"problem.type": self.kind.slug, "problem.detail": self.detail})
            if self.kind.status >= 500:
                span.attributes["error.type"] = self.kind.slug
        return response


def pointer(location: tuple[int | str, ...]) -> str:
    """Return the JSON pointer (RFC 6901) of a place in a body."""
    return "".join("/" + str(step)[:200].replace("~", "~0").replace("/", "~1") for step in location)


def from_validation(error: ValidationError) -> Problem:
    """Return what pydantic found wrong with a body, as one problem."""
    found = error.errors(include_url=False, include_input=False)
    errors = [
        {"pointer": pointer(e["loc"]), "detail": SENTENCES.get(e["type"], OTHER_ERROR).format_map(e.get("ctx", {}))}
        for e in found[:ERRORS_SHOWN]
    ]
    return wrong_body(len(found), errors)


def wrong_body(count: int, errors: list[dict[str, str]]) -> Problem:
    """Return the problem of a body with `count` errors, of which `errors` are shown."""
    return Problem(kinds.VALIDATION, f"The body has {count} error{'s' if count > 1 else ''}.", errors)


def from_storage(error: StorageError) -> Problem:
    """Return the problem that an error of storage is answered with."""
    return Problem(STORAGE_KINDS[type(error)], str(error))


def from_server(error: ServerError) -> Problem:
    """Return the problem that an error of the server is answered with."""
    return Problem(SERVER_KINDS[type(error)], str(error))


def refuse(refusal: Refusal) -> RefusalAnswer:
    """Return the answer to a request that the server refused before Flask saw it."""
    kind = REFUSAL_KINDS.get(refusal.status, kinds.MALFORMED_BODY)  # 501, an unknown transfer coding, is one of these
    detail = refusal.detail
    if refusal.field == "IDEMPOTENCY-KEY":
        kind = kinds.IDEMPOTENCY_KEY_INVALID
        detail = "Send one key of 1 to 255 visible ASCII characters. This one holds a control character."
    answer = Problem(kind, detail).response()
    return RefusalAnswer(answer.status, list(answer.headers.items()), answer.get_data())


def init_app(app: Flask) -> None:
    """Answer every error of `app` as a problem."""

    @app.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        return error.response()

    @app.errorhandler(StorageError)
    def storage(error: StorageError) -> Response:
        return from_storage(error).response()

    @app.errorhandler(ServerError)
    def server(error: ServerError) -> Response:
        return from_server(error).response()

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        if error.code is not None and error.code < 400:
            return Response(error.get_body(), error.code, error.get_headers())
        kind = BY_STATUS.get(error.code or 500, kinds.INTERNAL)
        response = Problem(kind, kind.meaning).response()
        for name, value in error.get_headers():
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def internal(error: Exception) -> Response:
        logging.getLogger(app.name).error("unhandled error", exc_info=error)
        return Problem(kinds.INTERNAL, "The service failed; its log has the cause under this request_id.").response()
