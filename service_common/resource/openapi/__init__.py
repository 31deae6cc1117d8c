"""The OpenAPI 3.1 document of a service, made from its resource and the models that check its requests."""

from typing import Any

from pydantic.json_schema import models_json_schema

from ... import __version__
from ..declaration import Resource
from . import collection, service
from .parts import BEARER, PROBLEM, PROBLEM_ANSWER, TOKEN, Schema, ref

INTRODUCTION = """\
Everything is JSON in UTF-8. A request with a body needs `Content-Type: application/json`. Unknown fields are refused.

**Errors** are problem documents (RFC 9457). The `type` of each, such as `/problems/validation`, is a link: `GET` it
to read what the problem means and what to do. `errors` says which fields are wrong.

**Retries.** Send an `Idempotency-Key` with a POST. The same request with the same key is answered again, but it is
done only once.
{versions}
**Lists** come in pages by id. Follow `next` until it is null.

**Access.** Where the service has been given a token, send `Authorization: Bearer <token>`. Only the probes are open.
"""
VERSIONS = """
**Changes.** Send the `ETag` that you have read as `If-Match`, so that nobody's change is lost.
"""


def document(resource: Resource) -> Schema:
    """Return the OpenAPI document of the service that serves `resource`."""
    name = resource.name
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Threefold: {name}",
            "version": __version__,
            "description": INTRODUCTION.format(versions=VERSIONS if resource.change else ""),
        },
        "tags": [
            {"name": name, "description": f"Create, read{', change and delete' if resource.change else ''} {name}."},
            {"name": service.TAG, "description": "The service itself: probes, metrics, explanations of problems."},
        ],
        "security": TOKEN,
        "paths": {
            f"/{name}": collection.collection(resource),
            f"/{name}/batch": collection.batch(resource),
            f"/{name}/{{id}}": collection.item(resource),
            **resource.more_paths,
            "/": service.about(),
            "/problems/{slug}": service.problem(),
            "/metrics": service.metrics(),
            "/livez": service.livez(),
            "/readyz": service.readyz(),
        },
        "components": {
            "schemas": schemas(resource) | {"Problem": PROBLEM},
            "responses": {"Problem": PROBLEM_ANSWER},
            "securitySchemes": {"bearer": BEARER},
        },
    }


def schemas(resource: Resource) -> Schema:
    """Return the schemas of the resource's models, and of the parts that these share."""
    bodies = (resource.new, *resource.more_bodies)
    models = [(resource.item, "serialization"), *((body, "validation") for body in bodies)]
    if resource.change:
        models.append((resource.change, "validation"))
    _, defined = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    shared: Schema = {}
    return {name: _shared(schema, shared) for name, schema in defined["$defs"].items()} | shared


def _shared(node: Any, found: Schema) -> Any:
    """Return a part of a schema in which each titled part of `allOf` is a reference, and add these to `found`."""
    if isinstance(node, list):
        return [_shared(each, found) for each in node]
    if not isinstance(node, dict):
        return node
    described = {name: _shared(each, found) for name, each in node.items()}
    for place, part in enumerate(described.get("allOf", ())):
        found[part["title"]] = part
        described["allOf"][place] = ref(part["title"])
    return described
