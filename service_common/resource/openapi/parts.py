"""The parts of an OpenAPI document that do not depend on a resource: schemas, parameters, answers, operations."""

from http import HTTPStatus
from typing import Any

from ...http.problems import MEDIA_TYPE
from ...ids import MAX_ID

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
ID: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_ID}
PROBLEM: Schema = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": STRING | {"description": "`GET` it to read what the problem means and what to do."},
        "title": STRING,
        "status": INTEGER,
        "detail": STRING,
        "request_id": STRING | {"description": "The id under which the service's log has this request."},
        "errors": {
            "type": "array",
            "description": "What is wrong, and where: a JSON pointer into the body, or the name of a query parameter.",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {"pointer": STRING, "parameter": STRING, "detail": STRING},
            },
        },
    },
    "examples": [
        {
            "type": "/problems/validation", "title": "The request is well-formed but wrong", "status": 422,
            "detail": "The body has 1 error.", "request_id": "0de9dbbcca9bc23eb6826d130f42e3da",
            "errors": [{"pointer": "/name", "detail": "is missing"}],
        }
    ],
}  # fmt: skip
PROBLEM_ANSWER: Schema = {
    "description": "The request was refused or failed; `type` leads to an explanation.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    "headers": {
        "Retry-After": {"schema": INTEGER, "description": "With 429 and most 503: seconds to wait."},
        "WWW-Authenticate": {"schema": STRING, "description": "With 401."},
        "Idempotency-Replayed": {
            "schema": STRING,
            "description": "`true` where a key was decided by an earlier request.",
        },
    },
}
REQUEST_ID: Schema = {
    "name": "X-Request-ID", "in": "header", "schema": STRING,
    "description": "Comes back in the answer. Where it is absent or malformed, the service makes one.",
}  # fmt: skip
KEY: Schema = {
    "name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "description": "The same key, path and JSON value within 24 hours get the first answer again.",
}  # fmt: skip
IF_MATCH: Schema = {
    "name": "If-Match", "in": "header", "schema": STRING, "description": "Proceed only if this is still the ETag.",
}  # fmt: skip
IF_NONE_MATCH: Schema = {
    "name": "If-None-Match", "in": "header", "schema": STRING,
    "description": "Proceed only if this is no longer the ETag. Otherwise GET answers 304, and a change 412.",
}  # fmt: skip
CONDITIONS = (IF_MATCH, IF_NONE_MATCH)
READS = (401, 422, 429, 500, 503)
WRITES = (401, 409, 413, 415, 422, 429, 500, 503)
UNREAD = (400, 414, 431)  # of every request: broken framing, a request line or header field that is too long
TOKEN: list[Schema] = [{}, {"bearer": []}]  # required where the service has been given a token
BEARER: Schema = {"type": "http", "scheme": "bearer"}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def parameter(name: str, schema: Schema, description: str, place: str = "query") -> Schema:
    described = {"name": name, "in": place, "schema": schema, "description": description, "required": place == "path"}
    return described | ({"style": "form", "explode": False} if schema["type"] == "array" else {})


def answer(
    status: int,
    schema: Schema | None = None,
    headers: tuple[str, ...] = (),
    links: Schema | None = None,
    media_type: str = "application/json",
) -> Schema:
    described: Schema = {"description": HTTPStatus(status).phrase}
    if schema:
        described["content"] = {media_type: {"schema": schema}}
    if headers:
        described["headers"] = {name: {"schema": STRING} for name in headers}
    if links:
        described["links"] = links
    return described


def operation(
    id: str,
    tag: str,
    summary: str,
    answers: dict[int, Schema],
    problems: tuple[int, ...],
    parameters: tuple[Schema, ...] = (),
    body: Schema | None = None,
) -> Schema:
    """Return an operation with its answers, and the statuses of the problems that it may answer."""
    refused = {
        str(status): {"$ref": "#/components/responses/Problem", "description": HTTPStatus(status).phrase}
        for status in sorted({*UNREAD, *problems})
    }
    described: Schema = {
        "operationId": id,
        "tags": [tag],
        "summary": summary,
        "parameters": [*parameters, REQUEST_ID],
        "responses": {str(status): given for status, given in answers.items()} | refused,
    }
    if body:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return described
