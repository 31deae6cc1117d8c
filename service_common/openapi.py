"""The OpenAPI 3.1 document of a service, made from its resource and the models that check its requests."""

from http import HTTPStatus
from typing import Any

from pydantic.json_schema import models_json_schema

from . import __version__
from .collection import Resource
from .inbound import MAX_ID
from .problems import MEDIA_TYPE
from .routes import LARGEST_BATCH, LARGEST_PAGE, MOST_IDS, PAGE

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
ID: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_ID}
PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457 problem details",
    "required": ["type", "title", "status", "request_id"],
    "properties": {
        "type": STRING,
        "title": STRING,
        "status": {"type": "integer"},
        "detail": STRING,
        "request_id": STRING,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {"pointer": STRING, "parameter": STRING, "detail": STRING},
            },
        },
    },
}
REQUEST_ID: Schema = {
    "name": "X-Request-ID", "in": "header", "schema": STRING,
    "description": "Comes back in the answer; made where absent or malformed.",
}  # fmt: skip
KEY: Schema = {
    "name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "description": "Sent again within 24 hours with the same body, the first answer comes again.",
}  # fmt: skip
IF_MATCH: Schema = {
    "name": "If-Match",
    "in": "header",
    "schema": STRING,
    "description": "Only if this is still the ETag.",
}
IF_NONE_MATCH: Schema = {
    "name": "If-None-Match",
    "in": "header",
    "schema": STRING,
    "description": "304 if this is still the ETag.",
}
READS = (401, 404, 422, 429, 500, 503)
WRITES = (400, 401, 404, 409, 413, 415, 422, 429, 500, 503)


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def parameter(name: str, schema: Schema, description: str, place: str = "query") -> Schema:
    return {
        "name": name, "in": place, "schema": schema, "description": description, "required": place == "path",
        **({"style": "form", "explode": False} if schema["type"] == "array" else {}),
    }  # fmt: skip


def answer(status: int, schema: Schema | None = None, headers: tuple[str, ...] = ()) -> Schema:
    described: Schema = {"description": HTTPStatus(status).phrase}
    if schema:
        described["content"] = {"application/json": {"schema": schema}}
    if headers:
        described["headers"] = {name: {"schema": STRING} for name in headers}
    return described


def operation(
    summary: str, answers: dict[int, Schema], problems: tuple[int, ...], parameters: tuple[Schema, ...] = (),
    body: Schema | None = None,
) -> Schema:  # fmt: skip
    wrong = {str(status): {"$ref": f"#/components/responses/{status}"} for status in problems}
    described: Schema = {
        "summary": summary,
        "parameters": [*parameters, REQUEST_ID],
        "responses": {str(status): given for status, given in answers.items()} | wrong,
    }
    if body:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return described


def document(resource: Resource) -> Schema:
    """The OpenAPI document of the service that serves `resource`."""
    models = [(resource.new, "validation"), (resource.item, "serialization")]
    if resource.change:
        models.append((resource.change, "validation"))
    _, defined = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    item, new, name = ref(resource.item.__name__), ref(resource.new.__name__), resource.name
    embedded: Schema = {name: {"type": ["object", "null"]} for name in resource.embeds}
    shown = {"allOf": [item, {"type": "object", "properties": embedded}]} if embedded else item
    versioned = resource.change is not None
    tag = ("ETag",) if versioned else ()

    ids: Schema = {"type": "array", "items": ID, "minItems": 1, "maxItems": MOST_IDS}
    expand = (
        parameter("expand", {"type": "array", "items": {"enum": list(resource.embeds)}, "minItems": 1},
                  "Add these as they are now."),
    ) if resource.embeds else ()  # fmt: skip
    paging = (
        parameter(
            "limit", {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE}, "Items a page."
        ),
        parameter("after", {"type": "integer", "minimum": 0, "maximum": MAX_ID, "default": 0}, "Ids above this one."),
        parameter("ids", ids, "Those of these ids that exist; stands alone."),
        *(parameter(column, ID, "Only items with this id.") for column in resource.filters),
        *expand,
    )
    in_path = parameter("id", ID, "The id.", "path")
    page = {
        "type": "object", "required": ["items", "next"],
        "properties": {"items": {"type": "array", "items": shown}, "next": {"type": ["string", "null"]}},
    }  # fmt: skip
    batch = {
        "type": "object", "required": ["items"], "additionalProperties": False,
        "properties": {"items": {"type": "array", "items": new, "minItems": 1, "maxItems": LARGEST_BATCH}},
    }  # fmt: skip
    results = {
        "type": "object", "required": ["results"],
        "properties": {"results": {"type": "array", "items": {
            "type": "object", "required": ["status"],
            "properties": {"status": {"type": "integer"}, "item": item, "problem": ref("Problem")},
        }}},
    }  # fmt: skip

    create = operation(
        f"Create one of {name}",
        {201: answer(201, item, ("Location", "Idempotency-Replayed", *tag))},
        WRITES,
        (KEY,),
        new,
    )
    create_many = operation(
        f"Create many of {name}: each stands or falls alone",
        {200: answer(200, results, ("Idempotency-Replayed",))}, WRITES, (KEY,), batch,
    )  # fmt: skip
    get = operation(
        "Read one", {200: answer(200, shown, tag)} | ({304: answer(304, headers=tag)} if versioned else {}), READS,
        (in_path, *((IF_NONE_MATCH,) if versioned else ()), *expand),
    )  # fmt: skip
    one: dict[str, Schema] = {"get": get}
    if resource.change:
        body = ref(resource.change.__name__)
        changed = {200: answer(200, item, tag)}
        one["patch"] = operation("Change any of the fields", changed, (*WRITES, 412), (in_path, IF_MATCH), body)
        one["delete"] = operation("Delete", {204: answer(204)}, (401, 404, 412, 500, 503), (in_path, IF_MATCH))

    failures = {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": ref("Problem")}},
            **({"headers": {"Retry-After": {"schema": {"type": "integer"}}}} if status == 503 else {}),
        }
        for status in sorted({*READS, *WRITES, 412})
    }
    status = {"type": "object", "properties": {"status": STRING}}
    probe = {200: answer(200, status)}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Threefold: {name}", "version": __version__},
        "paths": {
            f"/{name}": {
                "post": create,
                "get": operation("List, by id", {200: answer(200, page)}, READS, paging),
            },
            f"/{name}/batch": {"post": create_many},
            f"/{name}/{{id}}": one,
            "/livez": {"get": operation("Whether the process and its writer are alive", probe, (500,))},
            "/readyz": {"get": operation("Whether its own database can be written", probe, (503,))},
        },
        "components": {
            "schemas": defined["$defs"] | {"Problem": PROBLEM},
            "responses": failures,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }
