"""The contract from outside: each service over real HTTP with its real database."""

import itertools
import json
import threading
from typing import Any

import pytest
import requests

from ..fleet import Fleet, Process

unique = itertools.count(1)
JSON = {"Content-Type": "application/json"}


def new_user(**fields: Any) -> dict[str, Any]:
    return {"name": "Ada Lovelace", "email": f"ada-{next(unique)}@example.com"} | fields


def new_product(**fields: Any) -> dict[str, Any]:
    return {"name": f"Tea {next(unique)}", "price": "19.99"} | fields


def new_item(fleet: Fleet, service: str) -> dict[str, Any]:
    """The body of an item that `service` accepts."""
    if service == "users":
        return new_user()
    if service == "products":
        return new_product()
    user = post(fleet.users, new_user()).json()
    product = post(fleet.products, new_product()).json()
    return {"user_id": user["id"], "product_id": product["id"], "quantity": 2}


def post(process: Process, body: Any, path: str = "", **headers: str) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(f"{process.url}/{process.service}{path}", data=data, headers=JSON | named, timeout=20)


def get(process: Process, path: str = "", **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(f"{process.url}/{process.service}{path}", headers=named, timeout=20)


def assert_problem(answer: requests.Response, kind: str, status: int) -> dict[str, Any]:
    """The answer is that problem, in the one shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == f"/problems/{kind}"
    assert problem["status"] == status
    assert problem["title"] and problem["detail"]
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    if status == 503 and kind != "outcome-unknown":
        assert int(answer.headers["Retry-After"]) >= 1
    return problem


def service(fleet: Fleet, name: str) -> Process:
    process: Process = getattr(fleet, name)
    return process


SERVICES = pytest.mark.parametrize("name", ["users", "products", "orders"])
CHANGEABLE = pytest.mark.parametrize("name", ["users", "products"])


@SERVICES
def test_what_is_created_is_found_under_its_location(fleet: Fleet, name: str) -> None:
    created = post(service(fleet, name), new_item(fleet, name))
    assert created.status_code == 201
    assert created.headers["Location"] == f"/{name}/{created.json()['id']}"
    found = requests.get(f"{service(fleet, name).url}{created.headers['Location']}", timeout=10)
    assert (found.status_code, found.json()) == (200, created.json())


def test_an_order_keeps_name_and_price_as_they_were(fleet: Fleet) -> None:
    product = post(fleet.products, new_product(price="0.29", name="Old")).json()
    user = post(fleet.users, new_user()).json()
    order = post(fleet.orders, {"user_id": user["id"], "product_id": product["id"], "quantity": 10000}).json()
    assert (order["product_name"], order["unit_price"], order["total"]) == ("Old", "0.29", "2900.00")
    requests.patch(f"{fleet.products.url}/products/{product['id']}", json={"name": "New", "price": 5}, timeout=10)
    requests.delete(f"{fleet.users.url}/users/{user['id']}", timeout=10)
    assert get(fleet.orders, f"/{order['id']}").json() == order
    expanded = get(fleet.orders, f"/{order['id']}?expand=user,product").json()
    assert expanded["user"] is None
    assert (expanded["product"]["name"], expanded["product"]["price"]) == ("New", "5.00")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("19.99", "19.99"), ("0", "0.00"), ("1000000.00", "1000000.00"), ("007.5", "7.50"), (".5", "0.50"),
        (19.99, "19.99"), (0.1, "0.10"), (1000000, "1000000.00"), (0, "0.00"),
    ],
)  # fmt: skip
def test_a_price_is_kept_to_the_cent(fleet: Fleet, given: Any, stored: str) -> None:
    assert post(fleet.products, new_product(price=given)).json()["price"] == stored


@pytest.mark.parametrize("number", [b"1e2", b"100.000", b"1E+2", b"100", b"0.01e4"])
def test_a_number_has_no_written_form(fleet: Fleet, number: bytes) -> None:
    assert post(fleet.products, b'{"name": "Tea", "price": ' + number + b"}").json()["price"] == "100.00"


@pytest.mark.parametrize(
    "price",
    ["19.999", "1000000.01", "-1", "+1", "1e2", "", ".", " 1", "1 ", "1,5", "1.2.3", "１９", "٣", "NaN", "0x10", "1_000",
     True, None, [], {}, -0.01, 0.001, 1000000.01, 10**400, "9" * 5000],
)  # fmt: skip
def test_what_is_not_a_price_is_refused(fleet: Fleet, price: Any) -> None:
    problem = assert_problem(post(fleet.products, new_product(price=price)), "validation", 422)
    assert [error["pointer"] for error in problem["errors"]] == ["/price"]


@pytest.mark.parametrize(
    "number", [b"1e999999999", b"1e-999999999", b"1e99999999999999999999", b"-1e-9", b"9" * 100_000]
)
def test_an_extreme_number_is_refused_at_once(fleet: Fleet, number: bytes) -> None:
    answer = post(fleet.products, b'{"name": "Tea", "price": ' + number + b"}")
    assert_problem(answer, "validation", 422)
    assert answer.elapsed.total_seconds() < 1


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"name": "A"', b"nonsense", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}', b"[" * 100_000,
     b'{"name": "A", "name": "B", "email": "a@b"}', b'{"name": "\\ud800", "email": "a@b"}', b'{"name": "\\ufffe", "email": "a@b"}',
     b'{"name": "\xff", "email": "a@b"}', '{"name": "A", "email": "a@b"}'.encode("utf-16"), b'\xef\xbb\xbf{"name": "A"}',
     b'{"name": "A\nB", "email": "a@b"}', b'{"name": "A", "email": "a@b"} trailing', b"{'name': 'A'}"],
)  # fmt: skip
def test_what_is_not_i_json_is_refused(fleet: Fleet, body: bytes) -> None:
    assert_problem(post(fleet.users, body), "malformed-json", 400)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": ""}, "/name"), ({"name": " \t "}, "/name"), ({"name": "x" * 201}, "/name"), ({"name": 1}, "/name"),
        ({"name": None}, "/name"), ({"name": "a\x00b"}, "/name"), ({"name": "a\nb"}, "/name"), ({"name": True}, "/name"),
        ({"email": "nobody"}, "/email"), ({"email": "a@b@c"}, "/email"), ({"email": "@"}, "/email"),
        ({"email": "a b@c"}, "/email"), ({"email": "x" * 249 + "@b.com"}, "/email"), ({"id": 7}, "/id"),
        ({"admin": True}, "/admin"), ({"a/b~c": 1}, "/a~1b~0c"),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_user_is_named(fleet: Fleet, fields: dict[str, Any], pointer: str) -> None:
    problem = assert_problem(post(fleet.users, new_user(**fields)), "validation", 422)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


@pytest.mark.parametrize(
    "fields",
    [{"quantity": 0}, {"quantity": 10001}, {"quantity": 1.0}, {"quantity": "1"}, {"quantity": True}, {"user_id": 0},
     {"user_id": -1}, {"user_id": "1"}, {"user_id": 2**63}, {"product_id": 10**5000 // 3}, {"total": "0.00"}],
)  # fmt: skip
def test_a_wrong_field_of_an_order_is_named(fleet: Fleet, fields: dict[str, Any]) -> None:
    order = new_item(fleet, "orders")
    body = (
        json.dumps(order | fields)
        if 10**5000 // 3 not in fields.values()
        else (json.dumps(order | {"product_id": 0}).replace('"product_id": 0', '"product_id": ' + "3" * 5000))
    )
    problem = assert_problem(post(fleet.orders, body.encode()), "validation", 422)
    assert [error["pointer"] for error in problem["errors"]] == [f"/{next(iter(fields))}"]


def test_names_are_trimmed_and_may_have_200_characters(fleet: Fleet) -> None:
    assert post(fleet.users, new_user(name="  Ada  ")).json()["name"] == "Ada"
    longest = "\N{GRINNING FACE}" * 200
    assert post(fleet.users, new_user(name=f" {longest} ")).json()["name"] == longest


def test_an_email_belongs_to_one_user_whatever_its_case_and_form(fleet: Fleet) -> None:
    number = next(unique)
    first = post(fleet.users, new_user(email=f"stra\u00dfe-\u00e9{number}@example.com"))
    assert first.status_code == 201
    same = post(fleet.users, new_user(email=f"STRASSE-E\u0301{number}@EXAMPLE.COM"))
    assert_problem(same, "duplicate-email", 409)
    other = post(fleet.users, new_user()).json()
    taken = requests.patch(f"{fleet.users.url}/users/{other['id']}", json={"email": first.json()["email"]}, timeout=10)
    assert_problem(taken, "duplicate-email", 409)
    own = requests.patch(f"{fleet.users.url}/users/{other['id']}", json={"email": other["email"].upper()}, timeout=10)
    assert own.json()["email"] == other["email"].upper()


def test_an_order_for_unknowns_names_each_and_writes_nothing(fleet: Fleet) -> None:
    before = get(fleet.orders, "?limit=1000").json()["items"]
    problem = assert_problem(
        post(fleet.orders, {"user_id": 10**12, "product_id": 10**12, "quantity": 1}), "unknown-reference", 422
    )
    assert [error["pointer"] for error in problem["errors"]] == ["/user_id", "/product_id"]
    assert get(fleet.orders, "?limit=1000").json()["items"] == before


@SERVICES
@pytest.mark.parametrize(
    "id", ["0", "-1", "9223372036854775808", "9" * 30, "abc", "1.0", "%D9%A1", "1%20", "999999999", "1;--"]
)
def test_an_id_that_cannot_exist_is_not_found(fleet: Fleet, name: str, id: str) -> None:
    assert_problem(get(service(fleet, name), f"/{id}"), "not-found", 404)


@SERVICES
@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=-1", "limit=ten", "limit=", "limit=1&limit=2", "after=-1", "after=1.5", "unknown=1",
     "ids=", "ids=a", "ids=1,,2", "ids=0", "ids=1&limit=5", "limit=٣", "after=9223372036854775808"],
)  # fmt: skip
def test_a_wrong_query_parameter_is_named(fleet: Fleet, name: str, query: str) -> None:
    problem = assert_problem(get(service(fleet, name), f"?{query}"), "validation", 422)
    assert problem["errors"][0]["parameter"] in query


@SERVICES
def test_a_list_is_walked_to_its_end_exactly_once(fleet: Fleet, name: str) -> None:
    body = new_item(fleet, name)
    items = [body if name == "orders" else new_item(fleet, name) for _ in range(25)]
    created = post(service(fleet, name), {"items": items}, "/batch").json()["results"]
    path, seen = "?limit=7", []
    while path:
        page = get(service(fleet, name), path).json()
        seen += [item["id"] for item in page["items"]]
        path = (page["next"] or "").removeprefix(f"/{name}")
    assert seen == sorted(set(seen))
    assert {result["item"]["id"] for result in created} <= set(seen)


def test_orders_are_filtered_and_the_next_page_too(fleet: Fleet) -> None:
    order = new_item(fleet, "orders")
    post(fleet.orders, {"items": [order] * 3}, "/batch")
    first = get(fleet.orders, f"?user_id={order['user_id']}&limit=2&expand=user").json()
    assert len(first["items"]) == 2
    second = requests.get(fleet.orders.url + first["next"], timeout=10).json()
    assert len(second["items"]) == 1 and second["next"] is None
    assert second["items"][0]["user"]["id"] == order["user_id"]


def test_look_up_by_ids_gives_those_that_exist(fleet: Fleet) -> None:
    ids = [post(fleet.users, new_user()).json()["id"] for _ in range(3)]
    asked = ",".join(map(str, [*ids, ids[0], 10**15]))
    assert [user["id"] for user in get(fleet.users, f"?ids={asked}").json()["items"]] == sorted(ids)
    assert get(fleet.users, "?ids=" + ",".join(map(str, range(1, 501)))).status_code == 200
    assert_problem(get(fleet.users, "?ids=" + ",".join(map(str, range(1, 502)))), "validation", 422)


@CHANGEABLE
def test_only_the_named_version_is_changed(fleet: Fleet, name: str) -> None:
    process = service(fleet, name)
    created = post(process, new_item(fleet, name))
    url, etag = f"{process.url}{created.headers['Location']}", created.headers["ETag"]
    assert requests.get(url, headers={"If-None-Match": etag}, timeout=10).status_code == 304
    changed = requests.patch(url, json={"name": "Changed"}, headers={"If-Match": etag}, timeout=10)
    assert (changed.status_code, changed.json()["name"]) == (200, "Changed")
    assert changed.headers["ETag"] != etag
    assert requests.get(url, headers={"If-None-Match": etag}, timeout=10).status_code == 200
    stale = requests.patch(url, json={"name": "Stale"}, headers={"If-Match": etag}, timeout=10)
    assert_problem(stale, "precondition-failed", 412)
    assert_problem(requests.delete(url, headers={"If-Match": etag}, timeout=10), "precondition-failed", 412)
    assert requests.get(url, timeout=10).json() == changed.json()
    assert requests.patch(url, json={"name": "Any"}, headers={"If-Match": "*"}, timeout=10).status_code == 200
    assert requests.delete(url, timeout=10).status_code == 204
    assert_problem(requests.get(url, timeout=10), "not-found", 404)
    assert_problem(requests.patch(url, json={"name": "Gone"}, timeout=10), "not-found", 404)


@CHANGEABLE
def test_a_patch_takes_any_of_the_fields_and_no_others(fleet: Fleet, name: str) -> None:
    process = service(fleet, name)
    created = post(process, new_item(fleet, name)).json()
    url = f"{process.url}/{name}/{created['id']}"
    for body in ({}, {"id": 1}, {"name": None}, {"name": ""}, []):
        assert_problem(requests.patch(url, json=body, timeout=10), "validation", 422)
    assert requests.get(url, timeout=10).json() == created


def test_ids_are_never_given_again(own_fleet: Fleet) -> None:
    last = [post(own_fleet.users, new_user()).json()["id"] for _ in range(3)][-1]
    requests.delete(f"{own_fleet.users.url}/users/{last}", timeout=10)
    own_fleet.users.stop()
    own_fleet.users.start()
    assert post(own_fleet.users, new_user()).json()["id"] == last + 1


def test_orders_cannot_be_changed(fleet: Fleet) -> None:
    for method in ("PATCH", "DELETE", "PUT"):
        answer = requests.request(method, f"{fleet.orders.url}/orders/1", json={}, timeout=10)
        assert_problem(answer, "method-not-allowed", 405)
        assert "GET" in answer.headers["Allow"]


@SERVICES
def test_a_retry_with_its_key_is_answered_and_not_done_again(fleet: Fleet, name: str) -> None:
    process, body, key = service(fleet, name), new_item(fleet, name), f"key, with comma-{next(unique)}".replace(" ", "")
    first, second = (post(process, body, Idempotency_Key=key) for _ in range(2))
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    other = post(process, new_item(fleet, name), Idempotency_Key=key)
    assert_problem(other, "idempotency-key-reused", 422)


def test_a_key_is_remembered_over_a_restart_and_without_the_other_services(own_fleet: Fleet) -> None:
    body = new_item(own_fleet, "orders")
    first = post(own_fleet.orders, body, Idempotency_Key="k")
    own_fleet.orders.kill()
    own_fleet.users.stop()
    own_fleet.orders.start()
    assert post(own_fleet.orders, body, Idempotency_Key="k").content == first.content
    assert_problem(post(own_fleet.orders, body), "dependency-unavailable", 503)


@SERVICES
def test_one_key_sent_at_once_by_many_makes_one_row(fleet: Fleet, name: str) -> None:
    process, body, answers = service(fleet, name), new_item(fleet, name), []
    start = threading.Barrier(20)

    def send() -> None:
        start.wait()
        answers.append(post(process, body, Idempotency_Key=f"race-{name}"))

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1


def test_what_was_refused_is_judged_anew(fleet: Fleet) -> None:
    taken = post(fleet.users, new_user()).json()
    body = new_user(email=taken["email"])
    assert_problem(post(fleet.users, body, Idempotency_Key="again"), "duplicate-email", 409)
    requests.delete(f"{fleet.users.url}/users/{taken['id']}", timeout=10)
    assert post(fleet.users, body, Idempotency_Key="again").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "caf\u00e9", "tab\there"])
def test_a_key_that_cannot_be_used_is_refused(fleet: Fleet, key: str) -> None:
    sent = post(fleet.users, new_user(), Idempotency_Key=key.encode("latin-1"))  # type: ignore[arg-type]
    assert_problem(sent, "idempotency-key-invalid", 400)


def test_the_items_of_a_batch_stand_or_fall_alone(fleet: Fleet) -> None:
    good, twin = new_user(), new_user()
    items = [good, {"name": "No e-mail"}, twin, twin | {"email": twin["email"].upper()}, "nonsense", new_user()]
    results = post(fleet.users, {"items": items}, "/batch").json()["results"]
    assert [result["status"] for result in results] == [201, 422, 201, 409, 422, 201]
    assert results[3]["problem"]["type"] == "/problems/duplicate-email"
    assert results[1]["problem"]["errors"][0]["pointer"] == "/email"
    ids = [result["item"]["id"] for result in results if result["status"] == 201]
    assert ids == list(range(ids[0], ids[0] + 3))


@SERVICES
def test_a_batch_has_1_to_1000_items_and_a_key_for_all(fleet: Fleet, name: str) -> None:
    process, item = service(fleet, name), new_item(fleet, name)
    for items in ([], [item] * 1001, None, {}):
        assert_problem(post(process, {"items": items}, "/batch"), "validation", 422)
    full = {"items": [item] * 1000}
    first, second = (post(process, full, "/batch", Idempotency_Key="full") for _ in range(2))
    assert (first.status_code, len(first.json()["results"])) == (200, 1000)
    assert first.content == second.content
    assert second.headers["Idempotency-Replayed"] == "true"


def test_orders_of_a_batch_are_checked_each_for_itself(fleet: Fleet) -> None:
    order = new_item(fleet, "orders")
    items = [order, order | {"user_id": 10**12}, order | {"quantity": 0}, order]
    results = post(fleet.orders, {"items": items}, "/batch").json()["results"]
    assert [result["status"] for result in results] == [201, 422, 422, 201]
    assert results[1]["problem"]["type"] == "/problems/unknown-reference"


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/xml", "application/json; charset=utf-16"])
def test_only_json_in_utf_8_is_taken(fleet: Fleet, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    sent = requests.post(f"{fleet.users.url}/users", data=json.dumps(new_user()), headers=headers, timeout=10)
    assert_problem(sent, "unsupported-media-type", 415)
    assert post(fleet.users, new_user(), Content_Type="application/json; charset=UTF-8").status_code == 201


def test_a_body_may_have_a_mebibyte(fleet: Fleet) -> None:
    body = json.dumps(new_user()).encode()
    padded = body + b" " * ((1 << 20) - len(body))
    assert post(fleet.users, padded).status_code == 201
    assert_problem(post(fleet.users, padded + b" "), "body-too-large", 413)
    chunked = requests.post(f"{fleet.users.url}/users", data=iter([padded, b" "]), headers=JSON, timeout=10)
    assert_problem(chunked, "body-too-large", 413)


@SERVICES
def test_a_service_tells_what_it_is(fleet: Fleet, name: str) -> None:
    url = service(fleet, name).url
    index = requests.get(url, timeout=10).json()
    assert index["service"] == name and index["version"] and f"/{name}" in index["links"].values()
    document = requests.get(f"{url}/openapi.json", timeout=10).json()
    assert document["openapi"].startswith("3.") and f"/{name}/batch" in document["paths"]
    counted = f'http_requests_total{{method="GET",route="/{name}/<id>",status="404"}}'
    get(service(fleet, name), "/0")
    assert counted in requests.get(f"{url}/metrics", timeout=10).text
    page = requests.get(f"{url}/docs", timeout=10)
    assert page.status_code == 200
    assert "://" not in page.text.replace(url, "")  # nothing from another host
    assert requests.get(f"{url}/docs/swagger-ui-bundle.js", timeout=10).status_code == 200
    assert requests.get(f"{url}/livez", timeout=10).status_code == 200


def test_a_request_id_goes_through_the_services_and_their_logs(fleet: Fleet) -> None:
    order = new_item(fleet, "orders")
    answer = post(fleet.orders, order, X_Request_ID="trace-me-7")
    assert answer.headers["X-Request-ID"] == "trace-me-7"
    for process in fleet.all:
        assert '"trace-me-7"' in process.logged()
    made = post(fleet.orders, order, X_Request_ID="not an id!").headers["X-Request-ID"]
    assert made != "not an id!" and made.isalnum()


def test_every_line_of_the_log_is_json(fleet: Fleet) -> None:
    get(fleet.users, '/%0A{"level":"forged"}%1b[31m', User_Agent="x")
    requests.get(f"{fleet.users.url}/{'a' * 3000}", timeout=10)
    lines = fleet.users.logged().splitlines()
    assert all(isinstance(json.loads(line), dict) and len(line) < 20_000 for line in lines)
    assert not any(json.loads(line)["level"] == "forged" for line in lines)
