"""/openapi.json says what the service does; /docs shows it without any other host."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import flask_swagger_ui
import jsonschema_rs
import pytest
from schemathesis import openapi

from ..fleet import Fleet
from .client import SERVICES, created, get, new_item, post, raw, send, served


def document(fleet: Fleet, name: str) -> dict[str, Any]:
    answer = send(served(fleet, name), "GET", "/openapi.json")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    described: dict[str, Any] = answer.json()
    return described


def resolved(root: dict[str, Any], node: Any) -> Any:
    """A part of the document, or what its $ref points to."""
    while isinstance(node, dict) and "$ref" in node:
        place: Any = root
        for step in node["$ref"].removeprefix("#/").split("/"):
            place = place[step]
        node = place
    return node


def nodes(node: Any) -> Any:
    """Every object within a part of the document."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


def fits(root: dict[str, Any], schema: Any, value: Any) -> bool:
    """Whether a value is valid by a schema of the document."""
    return bool(jsonschema_rs.is_valid(schema | {"components": root["components"]}, value))


@SERVICES
def test_the_document_is_openapi_and_its_schemas_are_json_schema(fleet: Fleet, name: str) -> None:
    root = document(fleet, name)
    openapi.from_dict(root).validate()
    schemas = list(root["components"]["schemas"].values())
    schemas += [node["schema"] for node in nodes(root["paths"]) if isinstance(node.get("schema"), dict)]
    assert len(schemas) > 20
    for schema in schemas:
        jsonschema_rs.meta.validate(schema)


@SERVICES
def test_every_link_leads_to_an_operation_and_names_its_parameters(fleet: Fleet, name: str) -> None:
    root = document(fleet, name)
    operations = {one["operationId"]: one for methods in root["paths"].values() for one in methods.values()}
    answers = [answer for one in operations.values() for answer in one["responses"].values()]
    found = [link for answer in answers for link in answer.get("links", {}).values()]
    assert len(found) == (2 if name == "orders" else 9)  # from one that was made, read, changed
    for link in found:
        named = {parameter["name"] for parameter in operations[link["operationId"]]["parameters"]}
        assert set(link["parameters"]) <= named


@SERVICES
def test_ids_of_operations_are_unique(fleet: Fleet, name: str) -> None:
    paths = document(fleet, name)["paths"].values()
    ids = [one["operationId"] for methods in paths for one in methods.values()]
    assert len(ids) == len(set(ids)) == (8 if name == "orders" else 10)


@SERVICES
def test_every_reference_in_the_document_leads_somewhere(fleet: Fleet, name: str) -> None:
    root = document(fleet, name)
    assert root["openapi"].startswith("3.1")
    assert root["info"]["version"] == send(served(fleet, name), "GET", "/").json()["version"]
    references = [node for node in nodes(root) if "$ref" in node]
    assert len(references) > 10
    for reference in references:
        assert isinstance(resolved(root, reference), dict)


@SERVICES
def test_the_document_has_every_route_of_the_contract_and_its_methods(fleet: Fleet, name: str) -> None:
    paths = document(fleet, name)["paths"]
    one = {"get"} if name == "orders" else {"get", "patch", "delete"}
    routes = {
        f"/{name}": {"get", "post"},
        f"/{name}/batch": {"post"},
        f"/{name}/{{id}}": one,
        "/livez": {"get"},
        "/readyz": {"get"},
    }
    assert routes.items() <= {path: set(methods) for path, methods in paths.items()}.items()


@SERVICES
def test_every_path_parameter_is_described(fleet: Fleet, name: str) -> None:
    for path, methods in document(fleet, name)["paths"].items():
        for operation in methods.values():
            described = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert described == set(re.findall(r"{(\w+)}", path))


@SERVICES
def test_every_query_parameter_that_is_taken_is_described(fleet: Fleet, name: str) -> None:
    listed = document(fleet, name)["paths"][f"/{name}"]["get"]["parameters"]
    described = {one["name"] for one in listed if one["in"] == "query"}
    expected = {"limit", "after", "ids"} | ({"user_id", "product_id", "expand"} if name == "orders" else set())
    assert described == expected


@SERVICES
def test_what_is_answered_fits_the_document(fleet: Fleet, name: str) -> None:
    process, root, body = served(fleet, name), document(fleet, name), new_item(fleet, name)
    made = post(process, body)
    id = made.json()["id"]
    many = post(process, {"items": [new_item(fleet, name), {}]}, "/batch")
    cases = [
        (f"/{name}", "post", made), (f"/{name}", "post", post(process, {})), (f"/{name}", "post", post(process, b"{")),
        (f"/{name}/batch", "post", many), (f"/{name}", "get", get(process)), (f"/{name}", "get", get(process, "?limit=0")),
        (f"/{name}/{{id}}", "get", get(process, f"/{id}")), (f"/{name}/{{id}}", "get", get(process, "/0")),
        ("/livez", "get", send(process, "GET", "/livez")), ("/readyz", "get", send(process, "GET", "/readyz")),
    ]  # fmt: skip
    for path, method, answer in cases:
        described = resolved(root, root["paths"][path][method]["responses"][str(answer.status_code)])
        schema = described["content"][answer.headers["Content-Type"]]["schema"]
        assert fits(root, schema, answer.json()), (path, method, answer.text)


@SERVICES
def test_what_is_sent_fits_the_document_and_what_is_refused_does_not(fleet: Fleet, name: str) -> None:
    root, body = document(fleet, name), new_item(fleet, name)
    schema = root["paths"][f"/{name}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert fits(root, schema, body)
    assert not fits(root, schema, body | {"unknown": 1})
    assert not fits(root, schema, {})


@SERVICES
def test_no_default_breaks_its_own_schema(fleet: Fleet, name: str) -> None:
    """A PATCH leaves out what stays: how the service marks that inside is none of the document's business."""
    for node in nodes(document(fleet, name)):
        if "default" in node:
            assert fits(document(fleet, name), {key: node[key] for key in node if key != "default"}, node["default"])


@SERVICES
def test_no_number_is_a_multiple_of_a_fraction(fleet: Fleet, name: str) -> None:
    """Validators count in binary: to them 19.99 is no multiple of 0.01."""
    assert all(isinstance(node.get("multipleOf", 1), int) for node in nodes(document(fleet, name)))


def test_what_expand_adds_is_described(fleet: Fleet) -> None:
    order = created(fleet.orders, new_item(fleet, "orders"))
    root = document(fleet, "orders")
    expanded = get(fleet.orders, f"/{order['id']}?expand=user,product").json()
    content = root["paths"]["/orders/{id}"]["get"]["responses"]["200"]["content"]
    members: set[str] = set()
    for node in nodes(resolved(root, content["application/json"]["schema"])):
        members |= set(resolved(root, node).get("properties", {}))
    assert set(expanded) <= members


class Assets(HTMLParser):
    """The addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            value for name, value in attrs if name in ("src", "href") and value and not value.startswith("data:")
        ]


@SERVICES
@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_the_docs_need_no_other_host(fleet: Fleet, name: str, path: str) -> None:
    process = served(fleet, name)
    page = send(process, "GET", path)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "://" not in page.text.replace(process.url, "")
    assets = Assets()
    assets.feed(page.text)
    assert any(asset.endswith(".js") for asset in assets.found) and any(
        asset.endswith(".css") for asset in assets.found
    )
    for asset in assets.found:
        answer = send(process, "GET", urljoin(path, asset))
        assert answer.status_code == 200 and answer.content
        if asset.endswith(".css"):
            for address in re.findall(r"url\(([^)]*)\)", answer.text):
                assert address.strip("'\"").startswith("data:")
    assert '"/openapi.json"' in page.text


def test_a_range_that_is_not_there_is_a_problem(fleet: Fleet) -> None:
    answer = send(fleet.users, "GET", "/docs/index.css", Range="bytes=99999999-")
    assert (answer.status_code, answer.headers["Content-Type"]) == (416, "application/problem+json")
    problem = answer.json()
    assert problem["type"] == "/problems/requested-range-not-satisfiable"
    assert problem["detail"]
    assert answer.headers["Content-Range"].startswith("bytes */")


@SERVICES
def test_the_docs_serve_no_other_file(fleet: Fleet, name: str) -> None:
    beside = Path(flask_swagger_ui.__file__)
    assert (beside.parent / "dist/index.css").exists()  # so one step up there is a file to be found
    for path in (
        "..%2f__init__.py",
        "%2e%2e/__init__.py",
        "../__init__.py",
        "..%5c__init__.py",
        "%2e%2e%2f__init__.py",
        str(beside),
    ):
        line = f"GET /docs/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert raw(served(fleet, name), line.encode())[0].status_code == 404
