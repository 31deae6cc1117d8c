"""Bodies that are not I-JSON, or of the wrong type or size: refused, and nothing is written."""

import json
from typing import Any

import pytest
import requests

from testbed import Fleet

from .client import (
    JSON,
    SERVICES,
    TIMEOUT_S,
    created,
    get,
    new_item,
    new_order,
    new_product,
    new_user,
    patch,
    pointers,
    post,
    raw,
    refused,
    send,
    served,
)
from .conftest import Alone

MIB = 1 << 20
USER = b'{"name": "A", "email": "a@b"}'
NOT_I_JSON = {
    "empty": b"", "white space": b" \n", "cut off": USER[:-1], "cut off in a string": USER[:10], "no JSON": b"nonsense",
    "two values": USER + USER, "trailing text": USER + b" x", "trailing comma": b'{"name": "A",}', "single quotes": b"{'name': 'A'}",
    "comment": b'{"name": "A" /* hello */}', "unquoted name": b'{name: "A"}', "form feed": b"\x0c" + USER, "null byte": USER + b"\x00",
    "NaN": b'{"name": NaN}', "Infinity": b'{"name": Infinity}', "-Infinity": b'{"name": -Infinity}', "leading zero": b'{"name": 01}',
    "plus": b'{"name": +1}', "bare point": b'{"name": .5}', "hexadecimal": b'{"name": 0x1}', "True": b'{"name": True}',
    "duplicate member": b'{"name": "A", "name": "B", "email": "a@b"}', "equal duplicate": b'{"name": "A", "name": "A", "email": "a@b"}',
    "escaped duplicate": b'{"name": "A", "\\u006eame": "A", "email": "a@b"}', "nested duplicate": b'{"name": {"a": 1, "a": 1}}',
    "lone high surrogate": b'{"name": "\\ud800", "email": "a@b"}', "lone low surrogate": b'{"name": "\\udc00", "email": "a@b"}',
    "swapped surrogates": b'{"name": "\\udc00\\ud800", "email": "a@b"}', "surrogate in a member name": b'{"\\ud800": 1}',
    "encoded surrogate": b'{"name": "\xed\xa0\x80", "email": "a@b"}', "noncharacter": b'{"name": "\\ufffe", "email": "a@b"}',
    "encoded noncharacter": b'{"name": "\xef\xbf\xbf", "email": "a@b"}', "noncharacter FDD0": b'{"name": "\\ufdd0", "email": "a@b"}',
    "noncharacter of plane 1": b'{"name": "\\ud83f\\udffe", "email": "a@b"}', "nested noncharacter": b'{"name": [[{"a": "\\uffff"}]]}',
    "not UTF-8": b'{"name": "\xff", "email": "a@b"}', "latin-1": '{"name": "é", "email": "a@b"}'.encode("latin-1"),
    "overlong": b'{"name": "\xc0\x80", "email": "a@b"}', "cut off character": b'{"name": "\xc3", "email": "a@b"}',
    "UTF-16": USER.decode().encode("utf-16"), "UTF-16 without mark": USER.decode().encode("utf-16-le"),
    "UTF-32": USER.decode().encode("utf-32"), "byte order mark": b"\xef\xbb\xbf" + USER, "raw line break": b'{"name": "A\nB", "email": "a@b"}',
    "raw tab": b'{"name": "A\tB", "email": "a@b"}', "bad escape": b'{"name": "\\x41", "email": "a@b"}',
    "arrays 100,000 deep": b"[" * 100_000 + b"]" * 100_000, "objects 100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "open arrays": b"[" * 1_000_000, "deep in a field": b'{"name": ' + b"[" * 200_000 + b"]" * 200_000 + b', "email": "a@b"}',
}  # fmt: skip


@SERVICES
@pytest.mark.parametrize("case", NOT_I_JSON)
def test_rejects_a_body_that_is_not_i_json(fleet: Fleet, name: str, case: str) -> None:
    refused(post(served(fleet, name), NOT_I_JSON[case]), "malformed-json")


@pytest.mark.parametrize(
    "case", ["empty", "NaN", "duplicate member", "lone high surrogate", "not UTF-8", "arrays 100,000 deep"]
)
def test_rejects_a_change_that_is_not_i_json(fleet: Fleet, case: str) -> None:
    user = created(fleet.users, new_user())
    refused(send(fleet.users, "PATCH", f"/users/{user['id']}", NOT_I_JSON[case]), "malformed-json")


def test_quotes_little_of_a_body_that_it_rejects(fleet: Fleet) -> None:
    for body in NOT_I_JSON.values():
        assert len(post(fleet.users, body).content) < 1000


@pytest.mark.parametrize(
    "name", ["\\ud83d\\ude00", "\\u0041", "\\u00e9", "\\u2028", "\\ufffd", "\\ue000", "\\ufdcf", "\\ufdf0"]
)
def test_keeps_characters_that_i_json_allows(fleet: Fleet, name: str) -> None:
    item = created(fleet.users, json.dumps(new_user(name="A$B")).replace("$", name).encode())
    assert item["name"] == json.loads(f'"A{name}B"')


@pytest.mark.parametrize("field", ["user_id", "product_id", "quantity"])
@pytest.mark.parametrize(
    "value",
    [b"0", b"-1", b"-0", b"-0.0", b"0e0", b"1.5", b"15e-1", b"1.0000000000000000000000000000001", b"1e400", b"-1.0", b'"1"', b'"1.0"', b"true", b"false", b"null", b"[]", b"[1]", b"{}", b'""', b"0.5",
     b"9223372036854775808", b"18446744073709551617", b"1" * 5_000, b"-" + b"9" * 5_000, b"1e999999999", b"1e-999999999"],
    ids=lambda value: value[:24].decode(),
)  # fmt: skip
def test_rejects_a_number_that_is_not_a_positive_integer(fleet: Fleet, field: str, value: bytes) -> None:
    order = json.dumps(new_order(fleet) | {field: "$"}).encode().replace(b'"$"', value)
    assert pointers(refused(post(fleet.orders, order), "validation")) == [f"/{field}"]


@pytest.mark.parametrize("field", ["user_id", "product_id", "quantity"])
@pytest.mark.parametrize(
    "suffix", [b".0", b"e0", b"." + b"0" * 1000, b"0e-1", b".0E+0", b"00" * 50 + b"e-100"], ids=lambda s: s[:8].decode()
)
def test_reads_a_number_with_a_whole_value_as_an_integer(fleet: Fleet, field: str, suffix: bytes) -> None:
    body = new_order(fleet)
    written = json.dumps(body | {field: "$"}).encode().replace(b'"$"', b"%d%b" % (body[field], suffix))
    order = created(fleet.orders, written)
    assert {name: order[name] for name in body} == body
    assert b'"%b":%d,' % (field.encode(), body[field]) in get(fleet.orders, f"/{order['id']}").content
    (result,) = post(fleet.orders, b'{"items": [%b]}' % written, "/batch").json()["results"]
    assert result["status"] == 201


@pytest.mark.parametrize("value", [b"2.0", b"19.990", b"1e0"])
def test_a_number_is_not_a_string_however_it_is_written(fleet: Fleet, value: bytes) -> None:
    body = json.dumps(new_user(name="$")).encode().replace(b'"$"', value)
    assert pointers(refused(post(fleet.users, body), "validation")) == ["/name"]


@pytest.mark.parametrize(("quantity", "status"), [(1, 201), (10_000, 201), (10_001, 422), (0, 422)])
def test_accepts_a_quantity_from_1_to_10000(fleet: Fleet, quantity: int, status: int) -> None:
    assert post(fleet.orders, new_order(fleet, quantity=quantity)).status_code == status


@pytest.mark.parametrize("field", ["name", "email"])
@pytest.mark.parametrize("value", [True, 1, 1.0, None, [], {}, ["a@b"], {"a": "b"}])
def test_converts_no_other_value_to_a_string(fleet: Fleet, field: str, value: Any) -> None:
    assert pointers(refused(post(fleet.users, new_user(**{field: value})), "validation")) == [f"/{field}"]


@pytest.mark.parametrize(
    "name",
    [
        "\u200b",
        "\u3164\u3164",
        " \u2800 ",
        "\u115f\u1160\uffa0",
        "\u00ad",
        "\u2060\ufeff",
        "\ue000",
        "\U000e0041",
        "\u0378",
        "\x07",
        "",
    ],
)
def test_rejects_a_name_without_a_visible_character(fleet: Fleet, name: str) -> None:
    user, product = created(fleet.users, new_user()), created(fleet.products, new_product())
    for answer in (
        post(fleet.users, new_user(name=name)), post(fleet.products, new_product(name=name)),
        patch(fleet.users, user["id"], {"name": name}), patch(fleet.products, product["id"], {"name": name}),
    ):  # fmt: skip
        assert pointers(refused(answer, "validation")) == ["/name"]


@pytest.mark.parametrize(
    "name", ["\u200b!", "a\u3164", "\u0301", "☃", "1", "\u2060é", "😀", "§", "中", "\u200d🏳\ufe0f"]
)
def test_accepts_a_name_with_one_visible_character(fleet: Fleet, name: str) -> None:
    assert created(fleet.users, new_user(name=name))["name"] == name


@SERVICES
@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "text/json", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/json; charset=utf-16", "application/json; charset=latin-1", "application/problem+json", "application/jsonx",
     "application/json, text/plain", "json", "*/*"],
)  # fmt: skip
def test_rejects_a_body_that_is_not_json_in_utf_8(fleet: Fleet, name: str, content_type: str | None) -> None:
    process, body = served(fleet, name), json.dumps(new_item(fleet, name)).encode()
    headers = {} if content_type is None else {"Content-Type": content_type}
    for path in (f"/{name}", f"/{name}/batch"):
        sent = requests.post(f"{process.url}{path}", data=body, headers=headers, timeout=TIMEOUT_S)
        refused(sent, "unsupported-media-type")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json;charset=utf-8", "application/json; charset=UTF-8",
     'application/json; charset="utf-8"', "application/json ; charset=utf-8", "application/json; profile=x"],
)  # fmt: skip
def test_accepts_each_way_to_declare_json(fleet: Fleet, content_type: str) -> None:
    created(fleet.users, new_user(), Content_Type=content_type)


@SERVICES
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, gzip"])
def test_rejects_a_compressed_body(fleet: Fleet, name: str, encoding: str) -> None:
    refused(post(served(fleet, name), new_item(fleet, name), Content_Encoding=encoding), "unsupported-media-type")


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_accepts_a_body_that_declares_no_compression(fleet: Fleet, encoding: str) -> None:
    created(fleet.users, new_user(), Content_Encoding=encoding)


@pytest.mark.parametrize("limit", [1, 1024, 8191, 8192, 8193])
def test_applies_a_small_limit_to_a_chunked_body(alone: Alone, limit: int) -> None:
    users = alone("users", MAX_BODY_BYTES=str(limit))
    head = b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    # No more than the service reads before it closes the connection: otherwise its answer could be lost.
    for size, kind in ((limit, "malformed-json"), (limit + 1, "body-too-large"), (60_000, "body-too-large")):
        answers = raw(users, head + b"%x\r\n" % size + b" " * size + b"\r\n0\r\n\r\n")
        refused(answers[0], kind)


@pytest.mark.parametrize("content_type", ["text/plain", "application/merge-patch+json"])
def test_rejects_a_change_that_is_not_declared_as_json(fleet: Fleet, content_type: str) -> None:
    user = created(fleet.users, new_user())
    answer = send(fleet.users, "PATCH", f"/users/{user['id']}", {"name": "B"}, Content_Type=content_type)
    refused(answer, "unsupported-media-type")


@SERVICES
def test_accepts_a_body_of_one_mebibyte_and_no_byte_more(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    body = json.dumps(new_item(fleet, name)).encode().ljust(MIB)
    refused(post(process, body + b" "), "body-too-large")
    refused(post(process, b" " * (3 * MIB)), "body-too-large")
    created(process, body)


@SERVICES
def test_accepts_a_chunked_body_of_one_mebibyte_and_no_byte_more(fleet: Fleet, name: str) -> None:
    url = f"{served(fleet, name).url}/{name}"
    body = json.dumps(new_item(fleet, name)).encode().ljust(MIB)

    def chunked(*pieces: bytes) -> requests.Response:
        return requests.post(url, data=iter(pieces), headers=JSON, timeout=TIMEOUT_S)

    refused(chunked(body, b" "), "body-too-large")
    refused(chunked(body, body), "body-too-large")
    assert chunked(body[:100], body[100:]).status_code == 201


def test_applies_the_same_limit_to_a_change(fleet: Fleet) -> None:
    user = created(fleet.users, new_user())
    body = b'{"name": "B"}'.ljust(MIB)
    refused(send(fleet.users, "PATCH", f"/users/{user['id']}", body + b" "), "body-too-large")
    assert send(fleet.users, "PATCH", f"/users/{user['id']}", body).status_code == 200


def test_hundreds_of_wrong_bodies_change_nothing(fleet: Fleet) -> None:
    first = created(fleet.users, new_user())["id"]
    for _ in range(5):
        for body in NOT_I_JSON.values():
            refused(post(fleet.users, body), "malformed-json")
    assert created(fleet.users, new_user())["id"] == first + 1
