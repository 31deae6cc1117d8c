"""POST: what is accepted, how it is kept and answered."""

from typing import Any

import pytest

from testbed import Fleet

from .client import SERVICES, created, get, new_item, new_user, pointers, post, refused, send, served, well_formed


@SERVICES
def test_what_is_created_is_found_under_its_location(fleet: Fleet, name: str) -> None:
    process = served(fleet, name)
    answer = post(process, new_item(fleet, name))
    assert (answer.status_code, answer.headers["Content-Type"]) == (201, "application/json")
    assert answer.headers["Location"] == f"/{name}/{answer.json()['id']}"
    found = send(process, "GET", answer.headers["Location"])
    assert (found.status_code, found.content) == (200, answer.content)
    assert found.headers.get("ETag") == answer.headers.get("ETag")


@SERVICES
def test_an_item_has_the_fields_of_the_contract_and_what_was_sent(fleet: Fleet, name: str) -> None:
    body = new_item(fleet, name)
    item = created(served(fleet, name), body)
    assert well_formed(name, item)
    assert body.items() <= item.items()


@SERVICES
def test_ids_count_up(fleet: Fleet, name: str) -> None:
    ids = [created(served(fleet, name), new_item(fleet, name))["id"] for _ in range(3)]
    assert ids == list(range(ids[0], ids[0] + 3))


@SERVICES
def test_each_missing_field_is_named(fleet: Fleet, name: str) -> None:
    body = new_item(fleet, name)
    assert pointers(refused(post(served(fleet, name), {}), "validation")) == [f"/{field}" for field in body]
    for field in body:
        rest = {other: value for other, value in body.items() if other != field}
        assert pointers(refused(post(served(fleet, name), rest), "validation")) == [f"/{field}"]


@SERVICES
@pytest.mark.parametrize(
    ("field", "pointer"),
    [("id", "/id"), ("created_at", "/created_at"), ("total", "/total"), ("version", "/version"), ("", "/"),
     ("a/b~c", "/a~1b~0c"), ("Name", "/Name"), ("__proto__", "/__proto__"), ("'; DROP TABLE users; --", "/'; DROP TABLE users; --")],
)  # fmt: skip
def test_an_unknown_field_is_refused_and_not_ignored(fleet: Fleet, name: str, field: str, pointer: str) -> None:
    problem = refused(post(served(fleet, name), new_item(fleet, name) | {field: 1}), "validation")
    assert pointers(problem) == [pointer]


@SERVICES
def test_what_was_refused_is_not_written(fleet: Fleet, name: str) -> None:
    process, body = served(fleet, name), new_item(fleet, name)
    before = created(process, new_item(fleet, name))["id"]
    refused(post(process, body | {"id": before + 7}), "validation")
    assert created(process, body)["id"] == before + 1
    refused(get(process, f"/{before + 7}"), "not-found")


@pytest.mark.parametrize("name", ["users", "products"])
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  Ada  ", "Ada"), ("\tAda\r\n", "Ada"), ("\N{IDEOGRAPHIC SPACE}Ada\N{NO-BREAK SPACE}", "Ada"), ("A", "A"),
        ("Ada  Lovelace", "Ada  Lovelace"), ("x" * 200, "x" * 200), (" " + "x" * 200 + " ", "x" * 200),
        ("\N{GRINNING FACE}" * 200, "\N{GRINNING FACE}" * 200), ("O'Brien \"quoted\" \\ / <b>", "O'Brien \"quoted\" \\ / <b>"),
        ("e\u0301", "e\u0301"), ("مرحبا", "مرحبا"), ("Robert'); DROP TABLE users;--", "Robert'); DROP TABLE users;--"),
    ],
)  # fmt: skip
def test_a_name_is_trimmed_and_otherwise_kept_as_it_is(fleet: Fleet, name: str, given: str, kept: str) -> None:
    item = created(served(fleet, name), new_item(fleet, name) | {"name": given})
    assert item["name"] == kept
    assert get(served(fleet, name), f"/{item['id']}").json() == item


@pytest.mark.parametrize("name", ["users", "products"])
@pytest.mark.parametrize(
    "given",
    ["", " ", " \t\n", "\u3000", "x" * 201, "\N{GRINNING FACE}" * 201, "a\x00b", "\x00", "a\nb", "a\x1bb", "a\x7fb", "a\x9fb",
     1, 1.5, True, None, [], {}, ["Ada"]],
)  # fmt: skip
def test_what_is_no_name_is_refused(fleet: Fleet, name: str, given: Any) -> None:
    answer = post(served(fleet, name), new_item(fleet, name) | {"name": given})
    assert pointers(refused(answer, "validation")) == ["/name"]


def test_several_wrong_fields_are_named_in_one_answer(fleet: Fleet) -> None:
    problem = refused(post(fleet.users, new_user(name="", email="nobody", id=1, admin=True)), "validation")
    assert sorted(pointers(problem)) == ["/admin", "/email", "/id", "/name"]


@SERVICES
@pytest.mark.parametrize("body", [[], "text", 1, True, None, [{}]])
def test_a_body_that_is_no_object_is_refused(fleet: Fleet, name: str, body: Any) -> None:
    sent = b"null" if body is None else body
    assert pointers(refused(post(served(fleet, name), sent), "validation")) == [""]


@SERVICES
def test_order_and_white_space_of_a_body_do_not_matter(fleet: Fleet, name: str) -> None:
    body = new_item(fleet, name)
    spaced = (
        b" \r\n\t{" + b" , ".join(b'"%s" :\n%s' % (k.encode(), quoted(v)) for k, v in reversed(body.items())) + b"} \n"
    )
    assert body.items() <= created(served(fleet, name), spaced).items()


def quoted(value: Any) -> bytes:
    """A string with every character escaped, or a number."""
    return b'"%s"' % "".join(f"\\u{ord(c):04x}" for c in value).encode() if isinstance(value, str) else b"%d" % value
