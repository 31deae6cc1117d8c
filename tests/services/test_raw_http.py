"""Bytes that no client library sends: each request gets one answer, and the service goes on."""

import json
import re
import socket
import time
from email.utils import parsedate_to_datetime

import pytest

from testbed import Fleet, Process

from .client import SERVICES, TIMEOUT_S, created, new_key, new_user, raw, refused, replies, rows, send, served

HEAD = b"Host: x\r\nContent-Type: application/json\r\n"
BODY = b'{"name":"A","email":"raw@example.com"}'
CHUNKED = b"POST /users HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /livez HTTP/1.1\r\nHost: smuggled\r\n\r\n"


def posted(*fields: bytes, body: bytes = BODY) -> bytes:
    """Return a POST with these header fields and this body."""
    return b"POST /users HTTP/1.1\r\n" + HEAD + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def asked(*fields: bytes, line: bytes = b"GET /livez HTTP/1.1") -> bytes:
    """Return a request with these header fields, and with a Host where they have none."""
    host = [] if any(field.lower().startswith(b"host") for field in fields) else [b"Host: x"]
    return b"\r\n".join([line, *host, *fields, b"", b""])


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


LENGTH = b"Content-Length: %d" % len(BODY)
MALFORMED = {
    "both lengths": posted(LENGTH, b"Transfer-Encoding: chunked", body=chunk(BODY) + b"0\r\n\r\n"),
    "two lengths": posted(LENGTH, b"Content-Length: 3"),
    "the same length twice": posted(LENGTH, LENGTH),
    "a list of lengths": posted(b"Content-Length: 3, 3"),
    "a negative length": posted(b"Content-Length: -1"),
    "a signed length": posted(b"Content-Length: +38"),
    "a length that is no number": posted(b"Content-Length: many"),
    "a length in other digits": posted("Content-Length: ٣".encode()),
    "a hexadecimal length": posted(b"Content-Length: 0x26"),
    "an empty length": posted(b"Content-Length: "),
    "chunked twice": posted(
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=chunk(BODY) + b"0\r\n\r\n"
    ),
    "identity": posted(b"Transfer-Encoding: identity"),
    "a body cut short": posted(b"Content-Length: 1000"),
    "no body where one was announced": posted(b"Content-Length: 38", body=b""),
    "a chunk size that is no number": CHUNKED + b"zz\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a negative chunk size": CHUNKED + b"-1\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk size with 0x": CHUNKED + b"0x26\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk size with _": CHUNKED + b"2_6\r\n" + BODY + b"\r\n0\r\n\r\n",
    "an empty chunk size": CHUNKED + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"3\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk cut short": CHUNKED + b"26\r\n" + BODY[:5],
    "chunks without an end": CHUNKED + chunk(BODY),
    "no chunks at all": CHUNKED,
    "no request line": b"NONSENSE\r\n\r\n",
    "no version": b"GET /livez\r\n\r\n",
    "another version": asked(line=b"GET /livez HTTP/9.9"),
    "no path": asked(line=b"GET  HTTP/1.1"),
    "a method in small letters": asked(line=b"get /livez HTTP/1.1"),
    "control characters in the path": asked(line=b"GET /users/\x01 HTTP/1.1"),
    "raw bytes in the path": asked(line=b"GET /users/\xff\xfe HTTP/1.1"),
    "a space before the colon": asked(b"X-A : b"),
    "no colon": asked(b"X-A"),
    "a folded header": asked(b"X-A: b\r\n c"),
    "a null byte in a header": asked(b"X-A: b\x00c"),
    "a bare CR in a header": asked(b"X-A: b\rX-Injected: 1"),
    "a bare LF in a header": asked(b"X-A: b\nX-Injected: 1"),
    "bare LF everywhere": b"GET /livez HTTP/1.1\nHost: x\n\n",
    "two hosts": asked(b"Host: x", b"Host: y"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\nX-A: b\r\n\r\n",
    "an unknown coding": posted(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "no coding": posted(b"Transfer-Encoding: ", body=chunk(BODY) + b"0\r\n\r\n"),
    "a proxy's line": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n" + asked(),
}


def alive(process: Process) -> bool:
    return send(process, "GET", "/readyz").status_code == 200


@pytest.mark.parametrize("case", MALFORMED)
def test_rejects_broken_framing(fleet: Fleet, case: str) -> None:
    before = rows(fleet.users)
    (answer,) = raw(fleet.users, MALFORMED[case])
    refused(answer, "malformed-body")
    assert rows(fleet.users) == before


@SERVICES
@pytest.mark.parametrize(
    "case", ["both lengths", "a chunk size that is no number", "a body cut short", "no request line"]
)
def test_every_service_rejects_broken_framing(fleet: Fleet, name: str, case: str) -> None:
    (answer,) = raw(served(fleet, name), MALFORMED[case].replace(b"/users", f"/{name}".encode()))
    refused(answer, "malformed-body")
    assert alive(served(fleet, name))


@pytest.mark.parametrize("case", [case for case in MALFORMED if "chunk" in case or "length" in case])
def test_reads_no_request_after_a_broken_body(fleet: Fleet, case: str) -> None:
    answers = raw(fleet.users, MALFORMED[case] + NEXT)
    assert [answer.status_code for answer in answers] == [400]
    assert answers[0].headers["Connection"] == "close"


@pytest.mark.parametrize("key", [b"a\x01b", b"a\x7fb"])
def test_rejects_a_key_with_a_control_character(fleet: Fleet, key: bytes) -> None:
    (answer,) = raw(fleet.users, posted(LENGTH, b"Idempotency-Key: " + key))
    assert "1 to 255 visible ASCII" in refused(answer, "idempotency-key-invalid")["detail"]
    assert alive(fleet.users)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (asked(line=b"GET /" + b"a" * 9_000 + b" HTTP/1.1"), 414), (asked(b"X-A: " + b"a" * 9_000), 431), (asked(*[b"X-A: b"] * 150), 431),
        (posted(b"Expect: nonsense", LENGTH), 417),
    ],
    ids=["a long path", "a long header", "many headers", "an unknown expectation"],
)  # fmt: skip
def test_answers_414_417_and_431_as_problems(fleet: Fleet, sent: bytes, status: int) -> None:
    (answer,) = raw(fleet.users, sent)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert abs(parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()) < 60
    problem = answer.json()
    assert (problem["status"], problem["request_id"]) == (status, answer.headers["X-Request-ID"])
    assert problem["type"] == "/problems/" + problem["title"].lower().replace(" ", "-")
    assert problem["detail"]
    assert alive(fleet.users)


REFUSED = {
    "the request line": b"HEAD /livez HTTP/9.9\r\n%sHost: x\r\n\r\n",
    "the path": b"HEAD /" + b"a" * 9_000 + b" HTTP/1.1\r\n%sHost: x\r\n\r\n",
    "a header field": b"HEAD /livez HTTP/1.1\r\n%sHost : x\r\n\r\n",
    "no host": b"HEAD /livez HTTP/1.1\r\n%s\r\n",
    "too many headers": b"HEAD /livez HTTP/1.1\r\n%sHost: x\r\n" + b"X-A: b\r\n" * 150 + b"\r\n",
    "too long headers": b"HEAD /livez HTTP/1.1\r\n%sHost: x\r\n" + (b"X-A: " + b"b" * 4000 + b"\r\n") * 5 + b"\r\n",
    "both lengths": b"HEAD /livez HTTP/1.1\r\n%sHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "an expectation": b"HEAD /livez HTTP/1.1\r\nHost: x\r\nExpect: more\r\n%s\r\n",
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_before_flask_echoes_the_request_id_and_has_no_body_for_head(fleet: Fleet, case: str) -> None:
    (answer,) = raw(fleet.users, REFUSED[case] % b"x-request-id:  sent-by.me:1 \r\n")
    assert 400 <= answer.status_code < 500
    assert (answer.headers["X-Request-ID"], answer.content) == ("sent-by.me:1", b"")
    (answer,) = raw(fleet.users, REFUSED[case].replace(b"HEAD", b"GET") % b"X-Request-ID: sent-by.me:1\r\n")
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"] == "sent-by.me:1"
    assert answer.content.endswith(b"}\n")
    assert not any(word in answer.json()["detail"] for word in ("Invalid", "'", "limit "))  # gunicorn's own words


@pytest.mark.parametrize("ids", [[b"a b"], [b"a" * 129], [b"one", b"two"], [b""], []])
def test_a_refusal_before_flask_makes_a_request_id_when_none_is_usable(fleet: Fleet, ids: list[bytes]) -> None:
    fields = b"".join(b"X-Request-ID: %s\r\n" % id for id in ids)
    for case in ("a header field", "no host"):
        (answer,) = raw(fleet.users, REFUSED[case] % fields)
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_a_refusal_does_not_use_the_request_id_of_the_next_request(fleet: Fleet) -> None:
    following = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: next\r\n\r\n"
    (answer,) = raw(fleet.users, asked(b"X-A : b") + following)
    assert answer.headers["X-Request-ID"] != "next"


CLOSING = [
    [b"Connection: close"], [b"Connection: Close"], [b"connection: CLOSE"], [b"Connection: keep-alive, close"],
    [b"Connection: close, keep-alive"], [b"Connection: x,close ,y"], [b"Connection: ,,\tclose"],
    [b"Connection: keep-alive", b"Connection: close"], [b"Connection: x", b"X: y", b"Connection: Close"],
]  # fmt: skip
KEEPING = [
    [],
    [b"Connection: "],
    [b"Connection: keep-alive"],
    [b"Connection: closed"],
    [b"Connection: x-close, Keep-Alive"],
]


@pytest.mark.parametrize("fields", CLOSING, ids=repr)
def test_closes_the_connection_when_any_connection_option_says_close(fleet: Fleet, fields: list[bytes]) -> None:
    (answer,) = raw(fleet.users, asked(*fields) + NEXT)
    assert (answer.status_code, answer.headers["Connection"]) == (200, "close")


@pytest.mark.parametrize("fields", KEEPING, ids=repr)
def test_keeps_the_connection_when_no_option_says_close(fleet: Fleet, fields: list[bytes]) -> None:
    answers = raw(fleet.users, asked(*fields) + NEXT)
    assert [(answer.status_code, answer.headers["Connection"]) for answer in answers] == [(200, "keep-alive")] * 2


def test_keeps_a_connection_of_http_1_0_only_when_asked_to(fleet: Fleet) -> None:
    line = b"GET /livez HTTP/1.0"
    for fields, count in (
        ([], 1), ([b"Connection: keep-alive"], 2), ([b"Connection: x, Keep-Alive"], 2), ([b"Connection: x"], 1),
        ([b"Connection: keep-alive", b"Connection: close"], 1),
    ):  # fmt: skip
        assert len(raw(fleet.users, asked(*fields, line=line) + NEXT)) == count


@pytest.mark.parametrize(
    ("fields", "statuses"),
    [
        ([b"Expect: 100-Continue"], [100, 201]), ([b"Expect: 100-continue, 100-continue"], [100, 201]),
        ([b"Expect: 100-continue", b"Expect: 100-CONTINUE"], [100, 201]), ([b"Expect: , 100-continue"], [100, 201]),
        ([b"Expect: "], [201]), ([b"Expect: 100-continue, more"], [417]), ([b"Expect: 100-continue", b"Expect: more"], [417]),
    ],
    ids=repr,
)  # fmt: skip
def test_reads_expect_as_a_list(fleet: Fleet, fields: list[bytes], statuses: list[int]) -> None:
    body = json.dumps(new_user()).encode()
    length = b"Content-Length: %d" % len(body)
    answers = raw(fleet.users, posted(*fields, length, b"Connection: close", body=body))
    assert [answer.status_code for answer in answers] == statuses


@pytest.mark.parametrize(
    "sent",
    [b"", b"\r\n", b"G", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), b"GET / HTTP/1.1\r\nHost"],
)
def test_survives_bytes_that_are_no_request(fleet: Fleet, sent: bytes) -> None:
    assert all(answer.status_code == 400 for answer in raw(fleet.users, sent))
    assert alive(fleet.users)


def test_rejects_two_keys(fleet: Fleet) -> None:
    for keys in ((b"a", b"a"), (b"a", b"b"), (b"", b"a")):
        fields = [b"Idempotency-Key: " + key for key in keys]
        refused(raw(fleet.users, posted(*fields, LENGTH, b"Connection: close"))[0], "idempotency-key-invalid")


def test_a_repeated_field_does_not_discard_another_one(fleet: Fleet) -> None:
    key = new_key().encode()
    fields = [b"Authorization: Bearer a", b"Idempotency-Key: " + key, b"Authorization: Bearer b", LENGTH]
    body = BODY.replace(b"raw@", b"once@")
    first, second = (raw(fleet.users, posted(*fields[:3], b"Content-Length: %d" % len(body), body=body))[0]
                     for _ in range(2))  # fmt: skip
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("line", [b"POST /nothing", b"PUT /users", b"GET /users", b"POST /users?x=1"])
@pytest.mark.parametrize("body", [b"zz\r\n", b"5\r\nabc", (chunk(b" ") * 5000) + b"0\r\n\r\n"])
def test_an_unread_broken_body_gets_no_second_answer(fleet: Fleet, line: bytes, body: bytes) -> None:
    head = b" HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    answers = raw(fleet.users, line + head + body + NEXT)
    assert len(answers) == 1
    assert answers[0].status_code in (200, 404, 405, 422)
    assert alive(fleet.users)


def test_field_names_ignore_case(fleet: Fleet) -> None:
    fields = [b"IDEMPOTENCY-key: a", b"idempotency-KEY: b", LENGTH, b"Connection: close"]
    refused(raw(fleet.users, posted(*fields))[0], "idempotency-key-invalid")


def test_rejects_a_post_without_a_body(fleet: Fleet) -> None:
    for version in (b"1.0", b"1.1"):
        sent = b"POST /users HTTP/" + version + b"\r\n" + HEAD + b"Connection: close\r\n\r\n"
        refused(raw(fleet.users, sent)[0], "malformed-json")


def test_joins_chunks_of_any_size(fleet: Fleet) -> None:
    body = b'{"name":"Chunks","email":"chunks@example.com"}'
    pieces = b"".join(chunk(body[place : place + 1]) for place in range(len(body)))
    answers = raw(fleet.users, CHUNKED + pieces + b"0;last=1\r\nX-Trailer: 1\r\n\r\n" + NEXT)
    assert [answer.status_code for answer in answers] == [201, 200]


def test_answers_100_continue(fleet: Fleet) -> None:
    body = b'{"name":"Expects","email":"expects@example.com"}'
    length = b"Content-Length: %d" % len(body)
    answers = raw(fleet.users, posted(b"Expect: 100-continue", length, b"Connection: close", body=body))
    assert [answer.status_code for answer in answers] == [100, 201]


def test_answers_pipelined_requests_in_order(fleet: Fleet) -> None:
    with_body = b"GET /users/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    refused_body = b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Length: 38\r\n\r\n" + BODY  # not JSON by its type
    answers = raw(fleet.users, NEXT + with_body + NEXT + refused_body + posted(b"Content-Length: 2", body=b"{}") + NEXT)
    assert [answer.status_code for answer in answers] == [200, 404, 200, 415, 422, 200]


def test_does_not_read_a_refused_body_as_the_next_request(fleet: Fleet) -> None:
    smuggled = (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 40_000)[: (1 << 20) + 1]
    answers = raw(fleet.users, posted(b"Content-Length: %d" % len(smuggled), body=smuggled) + NEXT)
    assert [answer.status_code for answer in answers] == [413, 200]


@SERVICES
@pytest.mark.parametrize(
    "path",
    ["//{}", "///{}", "http://x//{}", "/{}/", "/{}//", "/./{}", "/x/../{}", "/{};a=b", "/{}%00", "\\{}", "/%2f{}"],
)
def test_only_the_exact_path_reaches_a_collection(fleet: Fleet, name: str, path: str) -> None:
    process = served(fleet, name)
    before = rows(process)
    line = b" " + path.format(name).encode() + b" HTTP/1.1"
    for method in (b"GET", b"POST"):
        (answer,) = raw(process, asked(b"Connection: close", line=method + line))
        refused(answer, "malformed-body" if path.startswith("\\") else "not-found")
    assert rows(process) == before


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"deflate, chunked", b"compress, CHUNKED"])
def test_rejects_a_compressed_transfer_coding(fleet: Fleet, coding: bytes) -> None:
    sent = posted(b"Transfer-Encoding: " + coding, b"Connection: close", body=chunk(BODY) + b"0\r\n\r\n")
    refused(raw(fleet.users, sent)[0], "unsupported-media-type")


@pytest.mark.parametrize("path", [b"http://elsewhere/users?limit=1", b"http://users/users?limit=1"])
def test_accepts_an_absolute_target(fleet: Fleet, path: bytes) -> None:
    (answer,) = raw(fleet.users, asked(b"Host: x", b"Connection: close", line=b"GET " + path + b" HTTP/1.1"))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "field",
    [b"SCRIPT_NAME: /elsewhere", b"SCRIPT_NAME: /users", b"PATH_INFO: /livez", b"X-Forwarded-Prefix: /users", b"X-HTTP-Method-Override: DELETE",
     b"X-Original-URL: /livez", b"Idempotency_Key: \x80", b"X-Forwarded-Proto: https", b"X-Forwarded-For: 1.2.3.4", b"Host: evil\"<>",
     b"Range: bytes=0-3", b"If-Modified-Since: Mon, 23 Nov 2099 00:00:00 GMT", b"Upgrade: h2c", b"TE: gzip", b"Cookie: session=\xff"],
)  # fmt: skip
def test_no_header_changes_the_meaning_of_a_path(fleet: Fleet, field: bytes) -> None:
    user = created(fleet.users, new_user())
    line = b"GET /users/%d HTTP/1.1" % user["id"]
    (answer,) = raw(fleet.users, asked(field, b"Connection: close", line=line))
    assert (answer.status_code, answer.json()) == (200, user)


@pytest.mark.parametrize("injected", ["%0d%0aX-Injected:%201", "%0aSet-Cookie:%20a=b", "%00", "%E2%80%A8"])
def test_a_path_cannot_inject_response_headers(fleet: Fleet, injected: str) -> None:
    answer = send(fleet.users, "GET", f"/users/1{injected}")
    refused(answer, "not-found")
    assert not {"X-Injected", "Set-Cookie"} & set(answer.headers)


def test_a_request_id_cannot_inject_response_headers(fleet: Fleet) -> None:
    for value in (b"a\rX-Injected: 1", b"a\x00", b"a b", b"\xff", b"a" * 129):
        (answer,) = raw(fleet.users, asked(b"X-Request-ID: " + value, b"Connection: close"))
        assert answer.headers["X-Request-ID"].encode() != value
        assert "X-Injected" not in answer.headers


def test_a_hundred_silent_clients_delay_nobody(fleet: Fleet) -> None:
    silent = [socket.create_connection(("127.0.0.1", fleet.users.port), TIMEOUT_S) for _ in range(100)]
    for connection in silent:
        connection.sendall(posted(b"Content-Length: 1000", b"X-Request-ID: " + new_key().encode(), body=b"{"))
    began = time.monotonic()
    assert created(fleet.users, new_user())
    assert time.monotonic() - began < 2
    for connection in silent:
        connection.shutdown(socket.SHUT_WR)
    for connection in silent:
        with connection, connection.makefile("rb") as answer:
            refused(replies(answer.read())[0], "malformed-body")
