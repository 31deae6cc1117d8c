"""The paths of a resource's collection in its OpenAPI document: one function a path."""

import re

from ...ids import MAX_ID
from ..declaration import Resource
from ..routes import LARGEST_BATCH, LARGEST_PAGE, MOST_IDS, PAGE
from .parts import CONDITIONS, ID, INTEGER, KEY, READS, WRITES, Schema, answer, operation, parameter, ref

IN_PATH = parameter("id", ID, "The id.", "path")
LINE_LIMIT = "The whole request line may have 8190 bytes."


def noun(resource: Resource) -> str:
    """Return the word for one item, by the name of its model: `line item` for LineItem."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", resource.item.__name__).lower()


def one(resource: Resource) -> str:
    """Return the word for one item with its article."""
    word = noun(resource)
    return f"an {word}" if word[0] in "aeio" else f"a {word}"


def shown(resource: Resource) -> Schema:
    """Return the schema of an item as it is read, with what `expand` adds."""
    item = ref(resource.item.__name__)
    embedded: Schema = {name: {"type": ["object", "null"]} for name in resource.embeds}
    return {"allOf": [item, {"type": "object", "properties": embedded}]} if embedded else item


def expand(resource: Resource) -> tuple[Schema, ...]:
    """Return the parameter `expand`, where the resource has any names for it."""
    if not resource.embeds:
        return ()
    names: Schema = {"type": "array", "items": {"enum": list(resource.embeds)}, "minItems": 1}
    return (parameter("expand", names, "Add these to each item, as they are now; null for one that was deleted."),)


def etag(resource: Resource) -> tuple[str, ...]:
    """Return the header with the version, where items have versions."""
    return ("ETag",) if resource.change else ()


def links(resource: Resource) -> Schema:
    """Return the operations that an answered item leads to. Its id and its version go into the next request."""
    name = resource.item.__name__
    id = {"id": "$response.body#/id"}
    found: Schema = {"get": {"operationId": f"get{name}", "parameters": id}}
    if resource.change:
        version = id | {"If-Match": "$response.header.ETag"}
        found |= {verb: {"operationId": f"{verb}{name}", "parameters": version} for verb in ("update", "delete")}
    return found


def collection(resource: Resource) -> Schema:
    """Describe the collection: create an item, list the items."""
    name, item = resource.name, ref(resource.item.__name__)
    created = answer(201, item, ("Location", "Idempotency-Replayed", *etag(resource)), links(resource))
    create_id, list_id = f"create{resource.item.__name__}", f"list{name.capitalize()}"
    page: Schema = {
        "type": "object", "required": ["items", "next"],
        "properties": {
            "items": {"type": "array", "items": shown(resource)},
            "next": {"type": ["string", "null"], "description": "The link to the next page, if there is one."},
        },
    }  # fmt: skip
    limit: Schema = {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE}
    after: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_ID, "default": 0}
    ids: Schema = {"type": "array", "items": ID, "minItems": 1, "maxItems": MOST_IDS}
    paging = (
        parameter("limit", limit, "The number of items on a page."),
        parameter("after", after, "Only items with a higher id."),
        parameter("ids", ids, f"Only the items with these ids, as far as they exist, without paging. {LINE_LIMIT}"),
        *(parameter(column, ID, f"Only items with this {column}.") for column in resource.filters),
        *expand(resource),
    )
    new = ref(resource.new.__name__)
    return {
        "post": operation(create_id, name, f"Create {one(resource)}", {201: created}, WRITES, (KEY,), new),
        "get": operation(list_id, name, f"List {name} by id", {200: answer(200, page)}, READS, paging),
    }


def batch(resource: Resource) -> Schema:
    """Describe the batch: create many items."""
    name = resource.name
    new = ref(resource.new.__name__)
    items: Schema = {
        "type": "object", "required": ["items"], "additionalProperties": False,
        "properties": {"items": {"type": "array", "items": new, "minItems": 1, "maxItems": LARGEST_BATCH}},
    }  # fmt: skip
    result: Schema = {
        "type": "object", "required": ["status"],
        "properties": {"status": INTEGER, "item": ref(resource.item.__name__), "problem": ref("Problem")},
    }  # fmt: skip
    results: Schema = {
        "type": "object", "required": ["results"],
        "properties": {
            "results": {"type": "array", "items": result, "description": "One result an item, in the sequence sent."}
        },
    }  # fmt: skip
    summary = f"Create many {name}: each succeeds or fails by itself"
    answers = {200: answer(200, results, ("Idempotency-Replayed",))}
    return {"post": operation(f"create{name.capitalize()}", name, summary, answers, WRITES, (KEY,), items)}


def item(resource: Resource) -> Schema:
    """Describe one item: read it and, where items can change, change and delete it."""
    name, verbs = resource.item.__name__, {}
    found = {200: answer(200, shown(resource), etag(resource), links(resource))}
    if resource.change is None:
        named: tuple[Schema, ...] = IN_PATH, *expand(resource)
        return {"get": operation(f"get{name}", resource.name, f"Read {one(resource)}", found, (*READS, 404), named)}
    found[304] = answer(304, headers=etag(resource))
    named = IN_PATH, *CONDITIONS
    verbs["get"] = operation(
        f"get{name}", resource.name, f"Read {one(resource)}", found, (*READS, 404, 412), (*named, *expand(resource))
    )
    changed = {200: answer(200, ref(name), etag(resource), links(resource))}
    verbs["patch"] = operation(
        f"update{name}", resource.name, f"Change any of the fields of {one(resource)}",
        changed, (*WRITES, 404, 412), named, ref(resource.change.__name__),
    )  # fmt: skip
    verbs["delete"] = operation(
        f"delete{name}", resource.name, f"Delete {one(resource)}",
        {204: answer(204)}, (401, 404, 412, 422, 429, 500, 503), named,
    )  # fmt: skip
    return verbs
