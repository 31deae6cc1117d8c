"""Bearer tokens: when one is configured, every request except a probe needs one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import Fleet

from .client import SERVICES, Item, log_lines, new_product, new_user, post, raw, refused, rows, send, served
from .conftest import Alone

TOKENS = ("first-secret", "second-secret")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The three services with two valid tokens."""
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
def test_accepts_each_configured_token(guarded: Fleet, name: str, token: str) -> None:
    for path in ("/", f"/{name}", "/metrics", "/openapi.json", "/docs"):
        assert send(served(guarded, name), "GET", path, **bearer(token)).status_code == 200


@SERVICES
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong-secret", "Bearer first-secret second-secret", "Bearer first", "Bearer first-secretx",
     "first-secret", "Basic first-secret", "Basic Zmlyc3Qtc2VjcmV0", "Bearer FIRST-SECRET", "Bearer \xff", "Bearer " + "x" * 5000],
)  # fmt: skip
def test_refuses_every_read_without_a_valid_token(guarded: Fleet, name: str, authorization: str | None) -> None:
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
def test_refuses_every_write_without_a_valid_token(guarded: Fleet, name: str) -> None:
    process = served(guarded, name)
    good = {"users": new_user(), "products": new_product(), "orders": {"user_id": 1, "product_id": 1, "quantity": 1}}
    before = rows(process)
    for body in ({}, b"{", b" " * 2_000_000, good[name]):
        refused(post(process, body), "unauthorized")
    for method in ("PATCH", "DELETE", "PUT", "OPTIONS", "HEAD"):
        assert send(process, method, f"/{name}/1").status_code == 401
    assert rows(process) == before


@SERVICES
def test_only_the_documented_probes_need_no_token(guarded: Fleet, name: str) -> None:
    process = served(guarded, name)
    documented = send(process, "GET", "/openapi.json", **bearer(TOKENS[0])).json()["paths"]
    asked = {(method.upper(), path) for path, methods in documented.items() for method in methods if path[0] == "/"}
    answers = {(method, path): send(process, method, path.replace("{id}", "1")) for method, path in asked}
    opened = {path for (_, path), answer in answers.items() if answer.status_code != 401}
    assert len(asked) > len(opened)
    assert opened == {"/livez", "/readyz"}


@SERVICES
def test_probes_need_no_token(guarded: Fleet, name: str) -> None:
    for given in ({}, bearer("wrong-secret")):
        for path in ("/livez", "/readyz"):
            assert send(served(guarded, name), "GET", path, **given).status_code == 200
        refused(send(served(guarded, name), "GET", "/livez?x=1", **given), "validation")


def test_orders_sends_its_own_token(guarded: Fleet) -> None:
    token = bearer(TOKENS[1])
    user = post(guarded.users, {"name": "Grace", "email": "grace@example.com"}, **token).json()
    product = post(guarded.products, new_product(), **token).json()
    body = {"user_id": user["id"], "product_id": product["id"], "quantity": 1}
    order = post(guarded.orders, body, **token)
    assert order.status_code == 201
    found = send(guarded.orders, "GET", f"/orders/{order.json()['id']}?expand=user", **token)
    assert found.json()["user"] == user


def test_refuses_a_token_sent_twice(guarded: Fleet) -> None:
    field = b"Authorization: Bearer first-secret\r\n"
    (answer,) = raw(guarded.users, b"GET /users HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + field * 2 + b"\r\n")
    refused(answer, "unauthorized")


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER ", "Bearer  "])
def test_the_scheme_ignores_case_and_spaces(guarded: Fleet, scheme: str) -> None:
    assert send(guarded.users, "GET", "/users", Authorization=scheme + TOKENS[0]).status_code == 200


def test_a_repeated_key_does_not_discard_the_token(guarded: Fleet) -> None:
    fields = b"Authorization: Bearer first-secret\r\nIdempotency-Key: a\r\nIdempotency-Key: a\r\n"
    head = b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    (answer,) = raw(guarded.users, head + fields + b"Connection: close\r\n\r\n{}")
    refused(answer, "idempotency-key-invalid")


def test_a_rejected_token_of_orders_is_dependency_unavailable(alone: Alone) -> None:
    users, products = alone("users", API_TOKEN="new"), alone("products", API_TOKEN="new")
    orders = alone("orders", API_TOKEN="old", USERS_URL=users.url, PRODUCTS_URL=products.url)
    answer = post(orders, {"user_id": 1, "product_id": 1, "quantity": 1}, **bearer("old"))
    assert "old" not in refused(answer, "dependency-unavailable")["detail"]


def test_reads_tokens_from_a_file(alone: Alone, tmp_path: Path) -> None:
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
def test_refuses_to_listen_publicly_without_a_token(alone: Alone, env: dict[str, str], reason: str) -> None:
    users = alone("users", wait=False, **env)
    assert users.process is not None
    assert users.process.wait(30) != 0
    (told,) = [line for line in log_lines(users) if line["level"] == "critical"]
    assert reason in told["message"]


def test_asks_for_no_token_when_none_is_configured(fleet: Fleet) -> None:
    assert send(fleet.users, "GET", "/users").status_code == 200
    assert send(fleet.users, "GET", "/users", **bearer("anything")).status_code == 200
