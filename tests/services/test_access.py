"""Bearer tokens: when any is configured, every request but the probes presents one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..fleet import Fleet
from .client import SERVICES, Item, log_lines, new_product, new_user, post, raw, refused, rows, send, served
from .conftest import Alone

TOKENS = ("first-secret", "second-secret")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The three services, where two tokens are valid."""
    running = Fleet(tmp_path_factory.mktemp("guarded"), env={"API_TOKEN": " ".join(TOKENS)})
    try:
        yield running.start()
    finally:
        running.stop()
        for process in running.all:
            assert not any(token in process.logged() for token in (*TOKENS, "wrong-secret"))


def bearer(token: str) -> Item:
    return {"Authorization": f"Bearer {token}"}


@SERVICES
@pytest.mark.parametrize("token", TOKENS)
def test_each_of_several_tokens_is_valid(guarded: Fleet, name: str, token: str) -> None:
    for path in ("/", f"/{name}", "/metrics", "/openapi.json", "/docs"):
        assert send(served(guarded, name), "GET", path, **bearer(token)).status_code == 200


@SERVICES
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong-secret", "Bearer first-secret second-secret", "Bearer first", "Bearer first-secretx",
     "first-secret", "Basic first-secret", "Basic Zmlyc3Qtc2VjcmV0", "Bearer FIRST-SECRET", "Bearer \xff", "Bearer " + "x" * 5000],
)  # fmt: skip
def test_without_a_valid_token_nothing_is_told(guarded: Fleet, name: str, authorization: str | None) -> None:
    given = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    for path in (
        f"/{name}",
        f"/{name}/1",
        "/",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/docs/swagger-ui.css",
        "/nothing",
        "/livez/",
    ):
        answer = send(served(guarded, name), "GET", path, **given)  # type: ignore[arg-type]
        refused(answer, "unauthorized")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@SERVICES
def test_without_a_valid_token_nothing_is_written_or_judged(guarded: Fleet, name: str) -> None:
    process = served(guarded, name)
    good = {"users": new_user(), "products": new_product(), "orders": {"user_id": 1, "product_id": 1, "quantity": 1}}
    before = rows(process)
    for body in ({}, b"{", b" " * 2_000_000, good[name]):
        refused(post(process, body), "unauthorized")
    for method in ("PATCH", "DELETE", "PUT", "OPTIONS", "HEAD"):
        assert send(process, method, f"/{name}/1").status_code == 401
    assert rows(process) == before


@SERVICES
def test_of_what_a_service_documents_only_the_probes_are_open(guarded: Fleet, name: str) -> None:
    process = served(guarded, name)
    documented = send(process, "GET", "/openapi.json", **bearer(TOKENS[0])).json()["paths"]
    asked = {(method.upper(), path) for path, methods in documented.items() for method in methods if path[0] == "/"}
    answers = {(method, path): send(process, method, path.replace("{id}", "1")) for method, path in asked}
    opened = {path for (_, path), answer in answers.items() if answer.status_code != 401}
    assert len(asked) > len(opened)
    assert opened == {"/livez", "/readyz"}


@SERVICES
def test_probes_are_open(guarded: Fleet, name: str) -> None:
    for path in ("/livez", "/readyz", "/livez?x=1"):
        for given in ({}, bearer("wrong-secret")):
            assert send(served(guarded, name), "GET", path, **given).status_code == 200


def test_orders_present_a_token_of_their_own(guarded: Fleet) -> None:
    token = bearer(TOKENS[1])
    user = post(guarded.users, {"name": "Grace", "email": "grace@example.com"}, **token).json()
    product = post(guarded.products, new_product(), **token).json()
    body = {"user_id": user["id"], "product_id": product["id"], "quantity": 1}
    order = post(guarded.orders, body, **token)
    assert order.status_code == 201
    found = send(guarded.orders, "GET", f"/orders/{order.json()['id']}?expand=user", **token)
    assert found.json()["user"] == user


def test_a_token_that_was_sent_twice_is_none(guarded: Fleet) -> None:
    field = b"Authorization: Bearer first-secret\r\n"
    (answer,) = raw(guarded.users, b"GET /users HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + field * 2 + b"\r\n")
    refused(answer, "unauthorized")


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER ", "Bearer  "])
def test_the_scheme_is_written_in_any_way_that_http_allows(guarded: Fleet, scheme: str) -> None:
    assert send(guarded.users, "GET", "/users", Authorization=scheme + TOKENS[0]).status_code == 200


def test_a_key_that_was_sent_twice_does_not_cost_the_token(guarded: Fleet) -> None:
    fields = b"Authorization: Bearer first-secret\r\nIdempotency-Key: a\r\nIdempotency-Key: a\r\n"
    head = b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    (answer,) = raw(guarded.users, head + fields + b"Connection: close\r\n\r\n{}")
    refused(answer, "idempotency-key-invalid")


def test_orders_whose_token_is_not_valid_are_refused_as_a_dependency(alone: Alone) -> None:
    users, products = alone("users", API_TOKEN="new"), alone("products", API_TOKEN="new")
    orders = alone("orders", API_TOKEN="old", USERS_URL=users.url, PRODUCTS_URL=products.url)
    answer = post(orders, {"user_id": 1, "product_id": 1, "quantity": 1}, **bearer("old"))
    assert "old" not in refused(answer, "dependency-unavailable")["detail"]


def test_tokens_come_from_a_file_too(alone: Alone, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("from-file\n  other\n\n")
    users = alone("users", API_TOKEN_FILE=str(tmp_path / "tokens"), API_TOKEN="not-this-one")
    refused(send(users, "GET", "/users"), "unauthorized")
    refused(send(users, "GET", "/users", **bearer("not-this-one")), "unauthorized")
    for token in ("from-file", "other"):
        assert send(users, "GET", "/users", **bearer(token)).status_code == 200
    assert "from-file" not in users.logged()


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({"BIND_ADDRESS": "0.0.0.0"}, "BIND_ADDRESS is '0.0.0.0', where others can reach the service"),
        ({"LISTEN_ADDRESS": "0.0.0.0", "BIND_ADDRESS": ""}, "BIND_ADDRESS is '0.0.0.0', where others can reach"),
        ({"API_TOKEN_FILE": "/nowhere/token"}, "API_TOKEN_FILE cannot be read"),
    ],
)
def test_a_service_that_would_stand_open_ends_and_says_why(alone: Alone, env: dict[str, str], reason: str) -> None:
    users = alone("users", wait=False, **env)
    assert users.process is not None
    assert users.process.wait(30) != 0
    (told,) = [line for line in log_lines(users) if line["level"] == "critical"]
    assert reason in told["message"]


def test_where_no_token_is_configured_none_is_asked_for(fleet: Fleet) -> None:
    assert send(fleet.users, "GET", "/users").status_code == 200
    assert send(fleet.users, "GET", "/users", **bearer("anything")).status_code == 200
