"""The OpenAPI 3.1 document of a service, made from its resource and the models that check its requests."""

from http import HTTPStatus
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
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
    "required": ["type", "title", "status", "detail", "request_id"],
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
    "description": "Only if this is no longer the ETag. If it is, GET is answered with 304, a change with 412.",
}
CONDITIONS = (IF_MATCH, IF_NONE_MATCH)
READS = (401, 404, 422, 429, 500, 503)
WRITES = (401, 404, 409, 413, 415, 422, 429, 500, 503)
UNREAD = (400, 414, 431)  # of every request: broken framing, a line or a header field that is too long
LINE_LIMIT = "The whole request line may have 8190 bytes."
TOKEN: list[Schema] = [{}, {"bearer": []}]  # needed where the service has been given one


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def parameter(name: str, schema: Schema, description: str, place: str = "query") -> Schema:
    return {
        "name": name, "in": place, "schema": schema, "description": description, "required": place == "path",
        **({"style": "form", "explode": False} if schema["type"] == "array" else {}),
    }  # fmt: skip


def answer(
    status: int, schema: Schema | None = None, headers: tuple[str, ...] = (), links: Schema | None = None,
    media_type: str = "application/json",
) -> Schema:  # fmt: skip
    described: Schema = {"description": HTTPStatus(status).phrase}
    if schema:
        described["content"] = {media_type: {"schema": schema}}
    if headers:
        described["headers"] = {name: {"schema": STRING} for name in headers}
    if links:
        described["links"] = links
    return described


def links(item: str, versioned: bool) -> Schema:
    """What can be done with an item that was answered: its id and its version go into the next request."""
    id = {"id": "$response.body#/id"}
    found: Schema = {"get": {"operationId": f"get{item}", "parameters": id}}
    if versioned:
        this_version = id | {"If-Match": "$response.header.ETag"}
        found |= {verb: {"operationId": f"{verb}{item}", "parameters": this_version} for verb in ("update", "delete")}
    return found


def operation(
    id: str, summary: str, answers: dict[int, Schema], problems: tuple[int, ...], parameters: tuple[Schema, ...] = (),
    body: Schema | None = None,
) -> Schema:  # fmt: skip
    wrong = {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted({*UNREAD, *problems})}
    described: Schema = {
        "operationId": id,
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
    one_of, many = resource.item.__name__, name.capitalize()  # as they stand in the ids of operations
    embedded: Schema = {name: {"type": ["object", "null"]} for name in resource.embeds}
    shown = {"allOf": [item, {"type": "object", "properties": embedded}]} if embedded else item
    versioned = resource.change is not None
    tag = ("ETag",) if versioned else ()
    onward = links(one_of, versioned)

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
        parameter("ids", ids, f"Those of these ids that exist; stands alone. {LINE_LIMIT}"),
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
        f"create{one_of}",
        f"Create one of {name}",
        {201: answer(201, item, ("Location", "Idempotency-Replayed", *tag), onward)},
        WRITES,
        (KEY,),
        new,
    )
    create_many = operation(
        f"create{many}",
        f"Create many of {name}: each stands or falls alone",
        {200: answer(200, results, ("Idempotency-Replayed",))}, WRITES, (KEY,), batch,
    )  # fmt: skip
    get = operation(
        f"get{one_of}", "Read one",
        {200: answer(200, shown, tag, onward)} | ({304: answer(304, headers=tag)} if versioned else {}),
        (*READS, *((412,) if versioned else ())), (in_path, *(CONDITIONS if versioned else ()), *expand),
    )  # fmt: skip
    one: dict[str, Schema] = {"get": get}
    if resource.change:
        body = ref(resource.change.__name__)
        changed, gone = {200: answer(200, item, tag, onward)}, {204: answer(204)}
        named = in_path, *CONDITIONS
        one["patch"] = operation(f"update{one_of}", "Change any of the fields", changed, (*WRITES, 412), named, body)
        one["delete"] = operation(f"delete{one_of}", "Delete", gone, (401, 404, 412, 422, 429, 500, 503), named)

    failures = {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": ref("Problem")}},
            **({"headers": {"Retry-After": {"schema": {"type": "integer"}}}} if status in (429, 503) else {}),
            **({"headers": {"WWW-Authenticate": {"schema": STRING}}} if status == 401 else {}),
        }
        for status in sorted({*UNREAD, *READS, *WRITES, 412})
    }
    status = {"type": "object", "properties": {"status": STRING}}
    probe = {200: answer(200, status)}
    alive = operation("livez", "Whether the process and its writer are alive", probe, (500,))
    ready = operation("readyz", "Whether its own database can be written", probe, (500, 503))
    about = {
        "type": "object", "required": ["service", "version", "links"],
        "properties": {"service": STRING, "version": STRING, "links": {"type": "object"}},
    }  # fmt: skip
    metrics = {200: answer(200, STRING, media_type=CONTENT_TYPE_LATEST)}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Threefold: {name}", "version": __version__},
        "security": TOKEN,
        "paths": {
            f"/{name}": {
                "post": create,
                "get": operation(f"list{many}", "List, by id", {200: answer(200, page)}, READS, paging),
            },
            f"/{name}/batch": {"post": create_many},
            f"/{name}/{{id}}": one,
            "/": {"get": operation("about", "Name, version, links", {200: answer(200, about)}, (401, 429, 500))},
            "/metrics": {"get": operation("metrics", "Prometheus", metrics, (401, 429, 500))},
            "/livez": {"get": alive | {"security": []}},
            "/readyz": {"get": ready | {"security": []}},
        },
        "components": {
            "schemas": defined["$defs"] | {"Problem": PROBLEM},
            "responses": failures,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }
