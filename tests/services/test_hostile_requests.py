"""Requests that are valid HTTP and hostile otherwise: each is refused with its problem, and nothing is written."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from testbed import Fleet, wait_until

from .client import SERVICES, created, log_lines, new_key, new_user, post, raw, refused, rows, send, served

MIB = 1 << 20
SECOND = 1.0
JSON_TYPE = b"Content-Type: application/json"
USER = b'{"name":"A","email":"hostile@example.com"}'


@pytest.fixture(autouse=True)
def check_that_nothing_is_written(fleet: Fleet) -> Iterator[None]:
    """Check around every test: no row more or less, no answer of 500, and each service is ready."""
    before = [rows(process) for process in fleet.all]
    failures = [process.logged().count('"status":500') for process in fleet.all]
    yield
    for process in fleet.all:
        assert send(process, "GET", "/readyz").status_code == 200
    assert [rows(process) for process in fleet.all] == before
    assert [process.logged().count('"status":500') for process in fleet.all] == failures


def asked(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    """Return a request with this request line, after which the connection closes."""
    return b"\r\n".join([line + b" HTTP/1.1", b"Host: x", b"Connection: close", *fields, b"", body])


def sized(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


# The bodies that take longest to read, of the largest size, each with its problem.
LARGE = {
    "lists": (b"[" + b"[]," * (MIB // 3 - 1) + b"[]]", "validation"),
    "objects": (b"[" + b"{}," * (MIB // 3 - 1) + b"{}]", "validation"),
    "decimals": (b"[" + b"1.1," * (MIB // 4 - 1) + b"1]", "validation"),
    "exponents": (b"[" + b"1e999999999," * (MIB // 12 - 1) + b"1]", "validation"),
    "digits": (b"1" * MIB, "validation"),
    "negative digits": (b"-" + b"1" * (MIB - 1), "validation"),
    "a long fraction": (b"0." + b"1" * (MIB - 2), "validation"),
    "a long exponent": (b"1e" + b"9" * (MIB - 2), "validation"),
    "members": (b"{" + b",".join(b'"%x":0' % number for number in range(MIB // 10)) + b"}", "validation"),
    "one member again and again": (b"{" + b'"a":0,' * (MIB // 6 - 2) + b'"a":0}', "malformed-json"),
    "a string": (b'"' + b"a" * (MIB - 2) + b'"', "validation"),
    "escapes": (b'"' + b"\\u0041" * (MIB // 6 - 1) + b'"', "validation"),
    "lone surrogates": (b'"' + b"\\ud800" * (MIB // 6 - 1) + b'"', "malformed-json"),
    "quotes": (b'"' * MIB, "malformed-json"),
    "backslashes": (b'"' + b"\\" * (MIB - 1), "malformed-json"),
    "commas": (b"," * MIB, "malformed-json"),
    "commas in strings": (b"[" + b'",",' * (MIB // 4 - 1) + b"1]", "validation"),
    "an open string of commas": (b'["' + b"," * (MIB - 2), "malformed-json"),
    "white space": (b" " * MIB, "malformed-json"),
    "brackets": (b"[" * MIB, "malformed-json"),
    "lists, and the last is open": (b"[" + b"[]," * (MIB // 3 - 1) + b"[", "malformed-json"),
    "a name without end": (b'{"' + b"a" * (MIB - 2), "malformed-json"),
    "nested 900 deep": (b"[" * 900 + b"]" * 900, "validation"),
    "nested 100,000 deep": (b"[" * 100_000 + b"]" * 100_000, "malformed-json"),
    "nested objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "malformed-json"),
}


@pytest.mark.parametrize("case", LARGE)
def test_refuses_a_costly_body_and_answers_others_meanwhile(fleet: Fleet, case: str) -> None:
    body, kind = LARGE[case]
    slowest = 0.0
    with ThreadPoolExecutor(1) as pool:
        asked_ = pool.submit(post, fleet.users, body)
        while slowest == 0 or not asked_.done():
            began = time.monotonic()
            assert send(fleet.users, "GET", "/livez").status_code == 200
            slowest = max(slowest, time.monotonic() - began)
    answer = asked_.result()
    assert slowest < 2
    assert len(refused(answer, kind)["detail"]) < 500
    assert len(answer.content) < 5000


@pytest.mark.parametrize("case", ["lists", "members", "decimals", "one member again and again", "brackets"])
def test_refuses_a_costly_batch(fleet: Fleet, case: str) -> None:
    body, kind = LARGE[case]
    refused(post(fleet.users, body, "/batch"), kind)
    inside = b'{"items": [' + body[: MIB - 20] + b"]}"
    refused(post(fleet.users, inside, "/batch"), kind if len(body) <= MIB - 20 else "malformed-json")


def test_reports_at_most_twenty_unknown_members(fleet: Fleet) -> None:
    for count in (50, 100, 101, 5000):
        answer = post(fleet.users, dict.fromkeys(map(str, range(count)), 0))
        assert len(refused(answer, "validation")["errors"]) <= 20
        batch = post(fleet.users, {"items": [dict.fromkeys(map(str, range(count)), 0)] * 3}, "/batch").json()
        assert [result["status"] for result in batch["results"]] == [422] * 3


@pytest.mark.parametrize(
    "exponent",
    [
        "1e999999999",
        "1e-999999999",
        "-1e999999999",
        "1E+308",
        "1e400",
        "0e999999999",
        "1" + "0" * 100_000,
        "0." + "0" * 100_000 + "1",
    ],
)
def test_rejects_an_endless_price_quickly(fleet: Fleet, exponent: str) -> None:
    began = time.monotonic()
    answer = post(fleet.products, b'{"name": "Tea", "price": ' + exponent.encode() + b"}")
    if exponent != "0e999999999":  # which is 0.00, written at length
        refused(answer, "validation")
    else:
        assert answer.status_code == 201
        send(fleet.products, "DELETE", answer.headers["Location"])
    text = post(fleet.products, {"name": "Tea", "price": exponent})
    refused(text, "validation")
    assert time.monotonic() - began < SECOND + 2  # two requests, on a busy machine


METHODS = {
    "/": "GET", "/livez": "GET", "/readyz": "GET", "/metrics": "GET", "/openapi.json": "GET", "/docs": "GET", "/docs/swagger-ui.css": "GET",
}  # fmt: skip


@SERVICES
def test_a_wrong_method_is_answered_with_the_allowed_ones(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    changeable = name != "orders"
    known = METHODS | {f"/{name}": "GET POST", f"/{name}/1": "GET PATCH DELETE" if changeable else "GET"}
    for path, methods in known.items():
        allowed = {*methods.split(), "HEAD", "OPTIONS"}
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "BREW"):
            if method not in allowed:
                (answer,) = raw(process, asked(f"{method} {path}".encode()))
                refused(answer, "method-not-allowed")
                assert set(answer.headers["Allow"].split(", ")) == allowed
    (answer,) = raw(process, asked(f"PUT /{name}/batch".encode()))
    refused(answer, "method-not-allowed")


@SERVICES
def test_head_and_options_have_no_body_on_any_route(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    for path in (*METHODS, f"/{name}", f"/{name}/0", f"/{name}?limit=0", "/nothing"):
        whole = send(process, "GET", path)
        head = send(process, "HEAD", path)
        assert (head.status_code, head.content) == (whole.status_code, b"")
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]
        options = send(process, "OPTIONS", path)
        assert options.status_code == (404 if path == "/nothing" else 200)
        assert options.content == b"" or path == "/nothing"


PATHS = [
    "//{}/1", "/{}//1", "/{}/1/", "/{}/./1", "/{}/../{}/1", "/%2e/{}/1", "/%2e%2e/{}/1", "/{}/%2e%2e/{}/1", "/..;/{}/1", "/{};a=b/1", "/{}/1;a=b",
    "/{}%2F1", "/{}%2f1", "/%2f{}/1", "/{}/1%2F", "/{}%5c1", "/{}%00/1", "/{}/1%00", "/{}/%001", "/{}/1%20", "/{}/%091", "/{}/+1", "/{}/-1", "/{}/0", "/{}/1.0",
    "/{}/1e0", "/{}/0x1", "/{}/1_0", "/{}/%D9%A1", "/{}/%EF%BC%91", "/{}/%c0%b1", "/{}/%e0%80%b1", "/{}/%ff", "/{}/%", "/{}/%zz", "/{}/%u0031", "/{}/9223372036854775808",
    "/{}/" + "9" * 5000, "/{}/1'--", "/{}/1%20OR%201=1", "/{}/1)%3BDROP%20TABLE%20{}", "/{}/$%7Bjndi:x%7D", "/{}/null", "/{}/NaN", "/{}/*", "/{}.json", "/{}/1.json",
    "/.git/config", "/docs/../{}", "/docs/..%2f..%2fapp.py", "/docs/%2e%2e/%2e%2e/__init__.py", "/docs//etc/passwd", "/docs/%00", "/docs/.",
    "/docs/..%5c..%5capp.py", "/docs/" + "a" * 4000,
]  # fmt: skip


@SERVICES
def test_a_tricky_path_finds_nothing(fleet: Fleet, name: str) -> None:
    for path in [*(path.replace("{}", name) for path in PATHS), f"/{name.upper()}/1", f"/{name.title()}", "/LIVEZ"]:
        (answer,) = raw(served(fleet, name), asked(b"GET " + path.encode()))
        refused(answer, "not-found")


@SERVICES
@pytest.mark.parametrize(
    "query",
    ["limit=%c0%b1", "limit=%00", "limit=1;after=0", "limit[]=1", "limit=1&limit=1", "=", "=1", "limit", "limit=", "?limit=1", "Limit=1", "limit=%zz", "limit=1%00",
     "limit=+1", "limit=%2B1", "limit=-0", "limit=1e1", "limit=1_0", "limit=%D9%A1", "limit=" + "1" * 5000, "ids=", "ids=,", "ids=1,,2", "ids=1,%202", "ids=1&limit=1",
     "ids=1&ids=2", "ids=1;2", "ids=" + "1," * 501, "after=-1", "after=9223372036854775808", "after=1'--", "expand=", "expand=password", "expand=user,", "user_id=0", "user_id=x",
     "x" * 7000, "&".join(f"{number}=" for number in range(1200)), "&".join(["limit=1"] * 800), "%" * 7000, "a&" * 3500],
    ids=lambda query: query[:20],
)  # fmt: skip
def test_rejects_a_tricky_query(fleet: Fleet, name: str, query: str) -> None:
    answer, *_ = raw(served(fleet, name), asked(f"GET /{name}?{query}".encode()))
    assert len(refused(answer, "validation")["errors"]) <= 20
    assert len(answer.content) < 10_000


@SERVICES
def test_rejects_a_query_on_writes(fleet: Fleet, name: str) -> None:
    process, body = served(fleet, name), json.dumps(new_item_without_rows(name)).encode()
    for path in (f"/{name}?x=1", f"/{name}/batch?limit=1"):
        (answer,) = raw(process, asked(b"POST " + path.encode(), JSON_TYPE, sized(body), body=body))
        refused(answer, "validation")
    if name != "orders":
        refused(send(process, "DELETE", f"/{name}/1?x=1"), "validation")
        refused(send(process, "PATCH", f"/{name}/1?x=1", {"name": "B"}), "validation")


def new_item_without_rows(name: str) -> dict[str, object]:
    """Return a valid body that needs no other item."""
    return {
        "users": {"name": "A", "email": "query@example.com"},
        "products": {"name": "A", "price": "1"},
        "orders": {"user_id": 1, "product_id": 1, "quantity": 1},
    }[name]  # type: ignore[return-value]


CONDITIONS = [
    "",
    "1",
    "'1'",
    'W/"1"',
    'w/"1"',
    '"1',
    '1"',
    '""',
    "**",
    '"*"',
    "*,",
    ",",
    '"9",',
    '"9" "1"',
    '"1" "9"',
    '"1";',
    '"01"',
    '"1 "',
    '" 1"',
    "\xff",
    '"\xff"',
    "x" * 5000,
    '","' * 2000,
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition[:12])
def test_an_unmet_or_unreadable_condition_prevents_the_write(unchanged: int, fleet: Fleet, condition: str) -> None:
    field = b"If-Match: " + condition.encode("latin-1")
    body = b'{"name":"B"}'
    for sent in (
        asked(b"PATCH /users/%d" % unchanged, JSON_TYPE, field, sized(body), body=body),
        asked(b"DELETE /users/%d" % unchanged, field),
    ):
        refused(raw(fleet.users, sent)[0], "precondition-failed")


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition[:12])
def test_an_unreadable_condition_does_not_prevent_a_read(unchanged: int, fleet: Fleet, condition: str) -> None:
    sent = asked(b"GET /users/%d" % unchanged, b"If-None-Match: " + condition.encode("latin-1"))
    assert raw(fleet.users, sent)[0].status_code in (200, 304)


@pytest.fixture(scope="module")
def unchanged(fleet: Fleet) -> int:
    """A user whose version is 1."""
    id: int = created(fleet.users, new_user())["id"]
    return id


@pytest.mark.parametrize(
    "content_type",
    [b"", b";", b"application", b"application/", b"/json", b"application/json/x", b"application/json; charset=utf-7", b'application/json; charset="utf-16"',
     b"application/json; charset=utf-8; charset=utf-16", b"application/json; charset=", b"application/json; charset=\xff", b"application/json;" + b" a=b;" * 500,
     b"application/json" + b";" * 3000, b"application/json" + b" " * 3000 + b"x", b"application/ld+json", b"application/json+x", b"APPLICATION/JSONP",
     b"multipart/form-data; boundary=" + b"x" * 3000, b"text/json; charset=utf-8", b"application/json\xa0"],
    ids=lambda value: repr(value[:30]),
)  # fmt: skip
def test_rejects_a_tricky_media_type(fleet: Fleet, content_type: bytes) -> None:
    sent = asked(b"POST /users", b"Content-Type: " + content_type, sized(USER), body=USER)
    refused(raw(fleet.users, sent)[0], "unsupported-media-type")


@pytest.mark.parametrize(
    "fields",
    [[JSON_TYPE, JSON_TYPE], [JSON_TYPE, b"Content-Type: text/plain"], [JSON_TYPE, sized(USER), sized(USER)], [JSON_TYPE, b"Host: y"],
     [JSON_TYPE, b"Content-Length: 1e3"], [JSON_TYPE, b"Content-Length: 4 2"], [JSON_TYPE, b"Content-Length: " + b"9" * 5000], [JSON_TYPE, b"Content-Length: \xb2"],
     [JSON_TYPE, b"Content-Length : 42"], [JSON_TYPE, b"Content-Length: 42\x00"], [JSON_TYPE, b"X: a\x7fb"], [JSON_TYPE, b"X\x00: b"], [JSON_TYPE, b": b"],
     [JSON_TYPE, "X-É: b".encode()], [JSON_TYPE, b"Transfer-Encoding: gzip"], [JSON_TYPE, b"Transfer-Encoding: chunked, gzip"], [JSON_TYPE, b"Transfer-Encoding: chunked;q=1"],
     [JSON_TYPE, b"Transfer-Encoding: \x0bchunked"], [JSON_TYPE, b"Transfer-Encoding: chunked", sized(USER)]],
    ids=lambda fields: repr(fields[-1][:30]),
)  # fmt: skip
def test_rejects_tricky_header_fields(fleet: Fleet, fields: list[bytes]) -> None:
    answer, *_ = raw(fleet.users, asked(b"POST /users", *fields, body=USER))
    refused(answer, "malformed-body")


@pytest.mark.parametrize(
    "chunks",
    [b"f" * 5000 + b"\r\n", b"ffffffffffffffff\r\nabc", b"0" * 9000 + b"1\r\n", b"1;" + b"a" * 9000 + b"\r\n", b"1\nx\n0\n\n", b"1;\x00\r\nx\r\n0\r\n\r\n", b"1 \r\nx\r\n0\r\n\r\n" * 2,
     b"+1\r\nx\r\n0\r\n\r\n", b"\r\n1\r\nx\r\n0\r\n\r\n", b"1\r\nxy\r\n0\r\n\r\n", b"0\r\nX: " + b"a" * 30_000, b"0\r\nContent-Length: 5\r\n\r\n", b"0\r\nX : a\r\n\r\n", b"0\r\nX\r\n\r\n"],
    ids=lambda chunks: repr(chunks[:16]),
)  # fmt: skip
def test_rejects_tricky_chunks(fleet: Fleet, chunks: bytes) -> None:
    answer, *_ = raw(fleet.users, asked(b"POST /users", JSON_TYPE, b"Transfer-Encoding: chunked", body=chunks))
    refused(answer, "malformed-body")


@pytest.mark.parametrize(
    "line",
    [b"CONNECT /users HTTP/1.1", b"TRACE / HTTP/1.1", b"get /users HTTP/1.1", b"GET\t/users\tHTTP/1.1", b"GET  /users HTTP/1.1", b" GET /users HTTP/1.1", b"GET /users HTTP/1.1 ",
     b"GET /users HTTP/0.9", b"GET /users HTTP/2.0", b"GET /users HTTP/1.10", b"GET /users http/1.1", b"GET /users", b"GET * HTTP/1.1", b"GET x:80 HTTP/1.1", b"GET users HTTP/1.1",
     b"GET http://[x/users HTTP/1.1", b"A" * 100 + b" /users HTTP/1.1", b"GET /us\x00ers HTTP/1.1", b"GET /users?\xff HTTP/1.1", b"\x00\x01\x02", b"GET /users HTTP/1.1 HTTP/1.1"],
    ids=lambda line: repr(line[:30]),
)  # fmt: skip
def test_rejects_a_tricky_request_line_with_a_problem(fleet: Fleet, line: bytes) -> None:
    (answer,) = raw(fleet.users, line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.status_code in (400, 405)
    refused(answer, "method-not-allowed" if answer.status_code == 405 else "malformed-body")


@pytest.mark.parametrize(
    "target", [b"http://x/users", b"HTTP://X/users", b"http://user:secret@x/users", b"/users#x", b"/%75sers"]
)
def test_accepts_every_spelling_of_a_target_that_http_allows(fleet: Fleet, target: bytes) -> None:
    (answer,) = raw(fleet.users, asked(b"GET " + target))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


def test_a_too_large_body_is_refused_with_an_expectation_too(fleet: Fleet) -> None:
    answers = raw(fleet.users, asked(b"POST /users", JSON_TYPE, b"Expect: 100-continue", b"Content-Length: 99999999"))
    refused(answers[-1], "body-too-large")
    old = b"POST /users HTTP/1.0\r\n" + JSON_TYPE + b"\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"
    refused(raw(fleet.users, old)[0], "validation")


@pytest.mark.parametrize(
    "sent",
    [b"GET /livez HTTP/1.1\r\nHost: x\r\nAuthorization Bearer SECRET\r\n\r\n", b"GET /users?token=SECRET\x01 HTTP/1.1\r\nHost: x\r\n\r\n", b"SECRET\r\n\r\n",
     b"GET /users?token=SECRET HTTP/7.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nExpect: SECRET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nSECRET : y\r\n\r\n",
     b"SECRET /: x: y HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: SECRET\r\n\r\n", asked(b"GET /users?token=SECRET"),
     asked(b"GET /users", b"Authorization: Bearer SECRET", b"Cookie: SECRET", b"X-Api-Key: SECRET"), asked(b"POST /users?key=SECRET", JSON_TYPE, b"Content-Length: 2", body=b"{}"),
     asked(b"POST /users", JSON_TYPE, b"Transfer-Encoding: chunked", body=b"SECRET: x\r\n")],
    ids=lambda sent: repr(sent[:40]),
)  # fmt: skip
def test_logs_every_request_and_quotes_no_secret(fleet: Fleet, sent: bytes) -> None:
    secret = new_key().encode()
    before = len(log_lines(fleet.users))
    raw(fleet.users, sent.replace(b"SECRET", secret))
    lines = wait_until(lambda: (found := log_lines(fleet.users))[before:] and found, what="the line of it")
    assert len(lines) == before + 1
    assert secret.decode() not in fleet.users.logged()
    assert lines[-1]["request_id"]


FORGERIES = [
    "%0D%0A",
    "%0A",
    "%1B[2J",
    "%E2%80%A8",
    "%C2%85",
    "%22%7D",
    "%5C%22",
    "%00",
    "%7F",
    "%F4%8F%BF%BF",
    "%ED%A0%80",
    "%FF",
]


def test_no_text_of_a_client_breaks_a_log_line_or_reaches_a_terminal(fleet: Fleet) -> None:
    for forged in FORGERIES:
        raw(fleet.users, asked(f"GET /users/{forged}%7B%22level%22:%22forged%22".encode()))
        raw(fleet.users, asked(b"BREW /" + forged.encode()))
    for value in (b'"}{"level":"forged"', b"\xe2\x80\xa8", b"\x85", "\U0010ffff".encode()):
        raw(
            fleet.users,
            asked(
                b"GET /users",
                *(name + b": " + value for name in (b"User-Agent", b"X-Request-ID", b"Referer", b"Accept")),
            ),
        )
    lines = log_lines(fleet.users)
    assert all(line["level"] != "forged" for line in lines)
    assert fleet.users.logged().isascii()
    assert all(character.isprintable() or character == "\n" for character in fleet.users.logged())


def test_requests_cannot_add_metric_labels(fleet: Fleet) -> None:
    for number in range(50):
        for line in (b"GET /nothing-%d", b"BREW-%d /users", b"GET /users/%d000000", b"PUT /users/%d"):
            raw(fleet.users, asked(line % number))
    series = [
        line
        for line in send(fleet.users, "GET", "/metrics").text.splitlines()
        if line.startswith("http_requests_total")
    ]
    assert len(series) < 100
    assert not any("nothing-" in line or "BREW" in line for line in series)
