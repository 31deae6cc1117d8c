"""/openapi.json describes what the service does; /docs shows it without any other host."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import flask_swagger_ui
import jsonschema_rs
import pytest
from schemathesis import openapi

from testbed import Fleet

from .client import SERVICES, created, get, new_item, post, raw, send, served


def document(fleet: Fleet, name: str) -> dict[str, Any]:
    answer = send(served(fleet, name), "GET", "/openapi.json")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    described: dict[str, Any] = answer.json()
    return described


def resolved(root: dict[str, Any], node: Any) -> Any:
    """Return a part of the document, with its $ref followed."""
    while isinstance(node, dict) and "$ref" in node:
        place: Any = root
        for step in node["$ref"].removeprefix("#/").split("/"):
            place = place[step]
        node = place
    return node


def nodes(node: Any) -> Any:
    """Yield every object within a part of the document."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


def fits(root: dict[str, Any], schema: Any, value: Any) -> bool:
    """Return whether a value is valid by a schema of the document."""
    return bool(jsonschema_rs.is_valid(schema | {"components": root["components"]}, value))


@SERVICES
def test_the_document_is_valid_openapi_and_its_schemas_are_json_schema(fleet: Fleet, name: str) -> None:
    root = document(fleet, name)
    openapi.from_dict(root).validate()
    schemas = list(root["components"]["schemas"].values())
    schemas += [node["schema"] for node in nodes(root["paths"]) if isinstance(node.get("schema"), dict)]
    assert len(schemas) > 20
    for schema in schemas:
        jsonschema_rs.meta.validate(schema)


@SERVICES
def test_every_link_names_an_operation_and_its_parameters(fleet: Fleet, name: str) -> None:
    root = document(fleet, name)
    operations = {one["operationId"]: one for methods in root["paths"].values() for one in methods.values()}
    answers = [answer for one in operations.values() for answer in one["responses"].values()]
    found = [link for answer in answers for link in answer.get("links", {}).values()]
    assert len(found) == (2 if name == "orders" else 9)  # from one that was made, read, changed
    for link in found:
        named = {parameter["name"] for parameter in operations[link["operationId"]]["parameters"]}
        assert set(link["parameters"]) <= named


@SERVICES
def test_operation_ids_are_unique(fleet: Fleet, name: str) -> None:
    paths = document(fleet, name)["paths"].values()
    ids = [one["operationId"] for methods in paths for one in methods.values()]
    assert len(ids) == len(set(ids)) == {"users": 11, "products": 15, "orders": 9}[name]


@SERVICES
def test_every_reference_resolves(fleet: Fleet, name: str) -> None:
    root = document(fleet, name)
    assert root["openapi"].startswith("3.1")
    assert root["info"]["version"] == send(served(fleet, name), "GET", "/").json()["version"]
    references = [node for node in nodes(root) if "$ref" in node]
    assert len(references) > 10
    for reference in references:
        assert isinstance(resolved(root, reference), dict)


@SERVICES
def test_every_route_of_the_contract_is_described_with_its_methods(fleet: Fleet, name: str) -> None:
    paths = document(fleet, name)["paths"]
    one = {"get"} if name == "orders" else {"get", "patch", "delete"}
    routes = {
        f"/{name}": {"get", "post"},
        f"/{name}/batch": {"post"},
        f"/{name}/{{id}}": one,
        "/": {"get"},
        "/problems/{slug}": {"get"},
        "/metrics": {"get"},
        "/livez": {"get"},
        "/readyz": {"get"},
    }
    assert routes.items() <= {path: set(methods) for path, methods in paths.items()}.items()


@SERVICES
def test_the_document_introduces_the_service_and_groups_its_operations(fleet: Fleet, name: str) -> None:
    root = document(fleet, name)
    assert all(
        word in root["info"]["description"] for word in ("Idempotency-Key", "/problems/", "Authorization: Bearer")
    )
    assert ("If-Match" in root["info"]["description"]) == (name != "orders")
    tags = {tag["name"] for tag in root["tags"] if tag["description"]}
    operations = [one for methods in root["paths"].values() for one in methods.values()]
    assert tags == {name, "service"} == {tag for one in operations for tag in one["tags"]}


@pytest.mark.parametrize(
    ("name", "summaries"),
    [
        ("users", {"Create a user", "List users by id", "Read a user", "Change any of the fields of a user", "Delete a user"}),
        ("products", {
            "Create a product", "List products by id", "Read a product", "Change any of the fields of a product", "Delete a product",
            "Add units to a limited product, or take some away", "List open reservations or sales by token",
            "Settle and reserve units for orders: confirm, release, reserve", "Read the stock of a product, and how often it was changed by hand",
        }),
        ("orders", {"Create an order", "List orders by id", "Read an order"}),
    ],
)  # fmt: skip
def test_summaries_are_english(fleet: Fleet, name: str, summaries: set[str]) -> None:
    operations = [one for methods in document(fleet, name)["paths"].values() for one in methods.values()]
    many = f"Create many {name}: each succeeds or fails by itself"
    assert {one["summary"] for one in operations if one["tags"] == [name]} == summaries | {many}
    assert all(re.match(r"[A-Z][a-z]+ ", one["summary"]) for one in operations)


@SERVICES
def test_problems_are_described_once(fleet: Fleet, name: str) -> None:
    root = document(fleet, name)
    assert list(root["components"]["responses"]) == ["Problem"]
    for node in nodes(root["paths"]):
        for status, answer in node.get("responses", {}).items():
            assert (answer.get("$ref") == "#/components/responses/Problem") == (status >= "400"), status
            assert answer["description"]


@SERVICES
def test_only_paths_with_an_id_or_a_slug_can_be_not_found(fleet: Fleet, name: str) -> None:
    for path, methods in document(fleet, name)["paths"].items():
        assert {"404" in one["responses"] for one in methods.values()} <= {"{" in path}


@SERVICES
def test_every_path_parameter_is_described(fleet: Fleet, name: str) -> None:
    for path, methods in document(fleet, name)["paths"].items():
        for operation in methods.values():
            described = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert described == set(re.findall(r"{(\w+)}", path))


@SERVICES
def test_every_accepted_query_parameter_is_described(fleet: Fleet, name: str) -> None:
    listed = document(fleet, name)["paths"][f"/{name}"]["get"]["parameters"]
    described = {one["name"] for one in listed if one["in"] == "query"}
    expected = {"limit", "after", "ids"} | ({"user_id", "product_id", "expand"} if name == "orders" else set())
    assert described == expected


@SERVICES
def test_answers_match_the_document(fleet: Fleet, name: str) -> None:
    process, root, body = served(fleet, name), document(fleet, name), new_item(fleet, name)
    made = post(process, body)
    id = made.json()["id"]
    many = post(process, {"items": [new_item(fleet, name), {}]}, "/batch")
    cases = [
        (f"/{name}", "post", made), (f"/{name}", "post", post(process, {})), (f"/{name}", "post", post(process, b"{")),
        (f"/{name}/batch", "post", many), (f"/{name}", "get", get(process)), (f"/{name}", "get", get(process, "?limit=0")),
        (f"/{name}/{{id}}", "get", get(process, f"/{id}")), (f"/{name}/{{id}}", "get", get(process, "/0")),
        ("/livez", "get", send(process, "GET", "/livez")), ("/readyz", "get", send(process, "GET", "/readyz")),
        ("/", "get", send(process, "GET", "/")), ("/livez", "get", send(process, "GET", "/livez?x=1")),
        ("/problems/{slug}", "get", send(process, "GET", "/problems/validation")),
        ("/problems/{slug}", "get", send(process, "GET", "/problems/nothing")),
    ]  # fmt: skip
    for path, method, answer in cases:
        described = resolved(root, root["paths"][path][method]["responses"][str(answer.status_code)])
        schema = described["content"][answer.headers["Content-Type"]]["schema"]
        assert fits(root, schema, answer.json()), (path, method, answer.text)


@SERVICES
def test_an_accepted_body_matches_the_document_and_a_refused_one_does_not(fleet: Fleet, name: str) -> None:
    root, body = document(fleet, name), new_item(fleet, name)
    schema = root["paths"][f"/{name}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert fits(root, schema, body)
    assert not fits(root, schema, body | {"unknown": 1})
    assert not fits(root, schema, {})


@SERVICES
def test_every_default_matches_its_own_schema(fleet: Fleet, name: str) -> None:
    """A PATCH leaves out what stays. The document does not show how the service marks that inside."""
    for node in nodes(document(fleet, name)):
        if "default" in node:
            assert fits(document(fleet, name), {key: node[key] for key in node if key != "default"}, node["default"])


@SERVICES
def test_no_number_is_a_multiple_of_a_fraction(fleet: Fleet, name: str) -> None:
    """Validators count in binary: for them 19.99 is not a multiple of 0.01."""
    assert all(isinstance(node.get("multipleOf", 1), int) for node in nodes(document(fleet, name)))


def test_fields_that_expand_adds_are_described(fleet: Fleet) -> None:
    order = created(fleet.orders, new_item(fleet, "orders"))
    root = document(fleet, "orders")
    expanded = get(fleet.orders, f"/{order['id']}?expand=user,product").json()
    content = root["paths"]["/orders/{id}"]["get"]["responses"]["200"]["content"]
    members: set[str] = set()
    for node in nodes(resolved(root, content["application/json"]["schema"])):
        members |= set(resolved(root, node).get("properties", {}))
    assert set(expanded) <= members


class Assets(HTMLParser):
    """A parser that collects the addresses that a page loads."""

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


def test_answers_an_unsatisfiable_range_with_a_problem(fleet: Fleet) -> None:
    answer = send(fleet.users, "GET", "/docs/index.css", Range="bytes=99999999-")
    assert (answer.status_code, answer.headers["Content-Type"]) == (416, "application/problem+json")
    problem = answer.json()
    assert problem["type"] == "/problems/requested-range-not-satisfiable"
    assert problem["detail"]
    assert answer.headers["Content-Range"].startswith("bytes */")


@SERVICES
def test_the_docs_serve_no_file_outside_their_folder(fleet: Fleet, name: str) -> None:
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
