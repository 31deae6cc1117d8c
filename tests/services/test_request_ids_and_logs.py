"""Request ids, made or taken from X-Request-ID, in every answer, log line and called service; and the log lines."""

import re

import pytest

from testbed import Fleet

from .client import (
    SERVICES,
    created,
    get,
    log_lines,
    new_item,
    new_key,
    new_order,
    new_user,
    post,
    raw,
    refused,
    requests_logged,
    send,
    served,
)
from .conftest import Alone

MADE = re.compile(r"[0-9a-f]{32}")


@SERVICES
@pytest.mark.parametrize("id", ["a", "trace-me_7.b:c", "0" * 128, "6b3f1a52-3b84-4d1c-9d2e-000000000000"])
def test_returns_the_request_id_that_was_sent(fleet: Fleet, name: str, id: str) -> None:
    process, body = served(fleet, name), new_item(fleet, name)
    for answer in (
        post(process, body, X_Request_ID=id),
        get(process, "/0", X_Request_ID=id),
        post(process, b"{", X_Request_ID=id),
    ):
        assert answer.headers["X-Request-ID"] == id
    assert send(process, "OPTIONS", "/", X_Request_ID=id).headers["X-Request-ID"] == id


@SERVICES
@pytest.mark.parametrize(
    "id", [None, "", "not an id", "x" * 129, "caf\xe9", 'a"b', "a{b}", "a\tb", "<script>", "a,b", "a/b"]
)
def test_makes_a_request_id_when_none_is_usable(fleet: Fleet, name: str, id: str | None) -> None:
    given = {} if id is None else {"X_Request_ID": id.encode("latin-1")}
    ids = [get(served(fleet, name), "/0", **given).headers["X-Request-ID"] for _ in range(2)]  # type: ignore[arg-type]
    assert all(MADE.fullmatch(made) for made in ids)
    assert ids[0] != ids[1]


@SERVICES
def test_every_answer_has_a_request_id(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    tag = {"If_None_Match": "*"}
    id = created(process, new_item(fleet, name))["id"]
    for path in (
        "/",
        "/livez",
        "/readyz",
        "/metrics",
        "/docs",
        "/docs/swagger-ui.css",
        "/openapi.json",
        f"/{name}",
        "/nothing",
    ):
        assert MADE.fullmatch(send(process, "GET", path).headers["X-Request-ID"])
    assert MADE.fullmatch(get(process, f"/{id}", **tag).headers["X-Request-ID"])


def test_passes_the_request_id_on_to_users_and_products(fleet: Fleet) -> None:
    id, body = new_key(), new_order(fleet)
    order = created(fleet.orders, body, X_Request_ID=id)
    get(fleet.orders, f"/{order['id']}?expand=user,product", X_Request_ID=f"{id}-expand")
    for process in (fleet.users, fleet.products):
        for sent in (id, f"{id}-expand"):
            (line,) = requests_logged(process, sent)
            assert (line["method"], line["route"], line["status"]) == ("GET", f"/{process.service}", 200)


def test_passes_a_made_request_id_on(fleet: Fleet) -> None:
    id = post(fleet.orders, new_order(fleet)).headers["X-Request-ID"]
    assert len(requests_logged(fleet.users, id)) == len(requests_logged(fleet.products, id)) == 1


def test_logs_each_request_in_one_line(fleet: Fleet) -> None:
    id = new_key()
    user = created(fleet.users, new_user(), X_Request_ID=id)
    refused(get(fleet.users, f"/{user['id']}?secret=1", X_Request_ID=f"{id}-b"), "validation")
    (made,), (asked,) = requests_logged(fleet.users, id), requests_logged(fleet.users, f"{id}-b")
    assert {
        "level": "info",
        "service": "users",
        "message": "request",
        "method": "POST",
        "route": "/users",
        "status": 201,
    }.items() <= made.items()
    assert (asked["path"], asked["route"], asked["status"]) == (f"/users/{user['id']}", "/users/<id>", 422)
    assert made["ms"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made["time"])


@pytest.mark.parametrize(
    "path",
    ["/%0A%7B%22level%22:%22forged%22%7D", "/%1b[31m", "/%00", "/%22,%22level%22:%22forged%22", "/" + "a" * 8000, "/%F0%9F%98%80" * 300,
     "/%ED%A0%80", "/%FF" * 100, "/%E2%80%A8", "/${jndi:ldap://x}", "/%5C%22"],
    ids=lambda path: path[:30],
)  # fmt: skip
@SERVICES
def test_no_path_breaks_a_log_line(fleet: Fleet, name: str, path: str) -> None:
    process, id = served(fleet, name), new_key()
    send(process, "GET", path, X_Request_ID=id, User_Agent='x\t"}{"level":"forged"')
    (line,) = requests_logged(process, id)
    assert line["level"] == "info" and len(line["path"]) <= 1000
    assert not any(line.get("level") == "forged" for line in log_lines(process))


@pytest.mark.parametrize(
    "sent",
    [b'GET /\x1b[31m" HTTP/1.1\r\n\r\n', b"\xff" * 5000 + b"\r\n\r\n", b'{"level":"forged"}\r\n\r\n', b"GET / HTTP/1.1\r\n\"}: \n\r\n\r\n",
     b"GET /livez HTTP/1.1\r\nAuthorization : Bearer secret-in-a-bad-header\r\n\r\n",
     b"GET /livez HTTP/1.1\r\nAuthorization: Bearer secret-in-a-bad-header\x01\r\n\r\n"],
)  # fmt: skip
def test_no_broken_request_breaks_a_log_line_or_shows_a_secret(fleet: Fleet, sent: bytes) -> None:
    raw(fleet.users, sent)
    assert not any(line.get("level") == "forged" for line in log_lines(fleet.users))
    assert "secret-in-a-bad-header" not in fleet.users.logged()


def test_logs_a_refusal_before_flask_under_its_request_id(fleet: Fleet) -> None:
    (answer,) = raw(fleet.users, b"NONSENSE\r\n\r\n")
    id = refused(answer, "malformed-body")["request_id"]
    assert [line["level"] for line in log_lines(fleet.users) if line.get("request_id") == id] == ["warning"]


def test_server_lines_have_the_shape_of_all_lines(alone: Alone) -> None:
    users = alone("users")
    raw(users, b"NONSENSE\r\n\r\n")
    users.stop()
    lines = [line for line in log_lines(users) if line["message"] != "request"]
    told = " ".join(line["message"] for line in lines)
    for message in ("Starting gunicorn", "Listening at", "Booting worker", "Invalid request", "Shutting down"):
        assert message in told
    assert {(line["service"], line["logger"]) for line in lines} == {("users", "server")}
    assert all({"time", "level"} <= line.keys() for line in lines)


def test_does_not_log_successful_probes(alone: Alone) -> None:
    users = alone("users")
    for path in ("/livez", "/readyz"):
        send(users, "GET", path, X_Request_ID="probe")
    send(users, "POST", "/livez", X_Request_ID="wrong")
    assert [line["status"] for line in requests_logged(users, "wrong")] == [405]
    assert not any(line.get("request_id") == "probe" for line in log_lines(users))


def test_logs_no_body_key_or_query(fleet: Fleet) -> None:
    secret = new_key()
    created(fleet.users, new_user(name=secret), Idempotency_Key=f"{secret}-key")
    post(fleet.users, new_user(name=secret, email="no address"))
    get(fleet.users, f"?name={secret}")
    assert secret not in fleet.users.logged()
