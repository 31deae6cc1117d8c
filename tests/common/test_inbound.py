"""Reading a request: ids, query parameters, and the length and the media type of a body."""

import io
from typing import Annotated, Any

import pytest
from flask import Flask, Request
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, BeforeValidator
from werkzeug.test import EnvironBuilder

from service_common.http.body import read_body, validate
from service_common.http.problems import Problem
from service_common.http.query import number, numbers, path_id, query
from service_common.ids import MAX_ID


def asked(query_string: str) -> Request:
    return Request(EnvironBuilder(path="/", query_string=query_string).get_environ())


def posted(body: bytes, **environ: Any) -> Request:
    """Return a request with this body, whatever length it declares."""
    base = {"CONTENT_TYPE": "application/json", "wsgi.input": io.BytesIO(body)}
    return Request(EnvironBuilder(method="POST").get_environ() | base | environ)


@given(st.integers(1, MAX_ID))
def test_reads_every_id_that_can_exist(id: int) -> None:
    assert path_id(str(id)) == id
    assert numbers(1)(str(id)) == [id]


@given(st.text(max_size=25))
def test_reads_a_text_as_an_id_or_answers_not_found(text: str) -> None:
    try:
        assert 1 <= path_id(text) <= MAX_ID
        assert text.isascii() and text.isdigit()
    except Problem as problem:
        assert problem.kind.slug == "not-found"


@given(st.text("0123456789+-_. ,e٣１", max_size=25), st.integers(0, 100), st.integers(100, MAX_ID))
def test_rejects_a_number_outside_its_range(text: str, lowest: int, highest: int) -> None:
    try:
        assert lowest <= number(lowest, highest)(text) <= highest
        assert set(text) <= set("0123456789")
    except ValueError as error:
        assert str(error) == f"must be an integer from {lowest} to {highest}"


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_sorts_ids_and_removes_repeated_ones(ids: list[int]) -> None:
    assert numbers(30)(",".join(map(str, ids))) == sorted(set(ids))


@pytest.mark.parametrize(("text", "fits"), [("1", True), ("1,1,1", True), ("1,1,1,1", False), ("2,3,1", True)])
def test_counts_repeated_ids_towards_the_limit(text: str, fits: bool) -> None:
    if fits:
        assert numbers(3)(text) == sorted({int(part) for part in text.split(",")})
    else:
        with pytest.raises(ValueError, match="must be at most 3 ids"):
            numbers(3)(text)


def test_parses_each_parameter_by_its_parser() -> None:
    known = {"limit": number(1, 10), "ids": numbers(3)}
    assert query(asked(""), known) == {}
    assert query(asked("limit=5&ids=3,1"), known) == {"limit": 5, "ids": [1, 3]}


def test_names_every_wrong_parameter_once() -> None:
    with pytest.raises(Problem) as refused:
        query(asked("limit=0&x=1&limit=5&x=2&ids=1"), {"limit": number(1, 10), "ids": numbers(3)})
    assert refused.value.kind.slug == "validation"
    assert [error["parameter"] for error in refused.value.errors or []] == ["limit", "x"]


def test_shortens_the_name_of_an_unknown_parameter() -> None:
    with pytest.raises(Problem) as refused:
        query(asked("x" * 5000 + "=1"), {})
    assert len(str(refused.value.errors)) < 300


@pytest.mark.parametrize("length", [0, 1, 9, 10])
def test_reads_a_body_up_to_the_limit(length: int) -> None:
    body = b"x" * length
    with Flask("test").app_context():
        assert read_body(posted(body, CONTENT_LENGTH=str(length)), 10) == body
        assert read_body(posted(body), 10) == body  # chunked: no length


def test_rejects_a_body_over_the_limit_and_by_its_length_before_reading_it() -> None:
    for request in (posted(b"x" * 11), posted(b"x" * 11, CONTENT_LENGTH="11"), posted(b"", CONTENT_LENGTH="9" * 30)):
        with pytest.raises(Problem) as refused:
            read_body(request, 10)
        assert refused.value.kind.slug == "body-too-large"
    unread = posted(b"x" * 11, CONTENT_LENGTH="11")
    with pytest.raises(Problem):
        read_body(unread, 10)
    assert unread.environ["wsgi.input"].tell() == 0


def test_rejects_a_body_shorter_than_its_content_length() -> None:
    with pytest.raises(Problem) as refused:
        read_body(posted(b"x" * 5, CONTENT_LENGTH="6"), 10)
    assert refused.value.kind.slug == "malformed-body"


def test_a_problem_does_not_refer_to_the_error_of_pydantic() -> None:
    """The garbage collector cannot look into pydantic's errors: a cycle through one is never freed."""

    def fails(value: object) -> int:
        raise ValueError("no")

    class Picky(BaseModel):
        number: Annotated[int, BeforeValidator(fails)]

    with pytest.raises(Problem) as caught:
        validate(Picky, {"number": 1})
    assert caught.value.__context__ is None


def test_names_some_of_very_many_unknown_members_and_counts_all() -> None:
    class Small(BaseModel):
        number: int

    for count in (101, 50_000):
        with pytest.raises(Problem) as refused:
            validate(Small, {"number": 1} | {f"{number:06}": 0 for number in range(count)})
        assert f" {count} errors" in refused.value.detail
        assert [error["pointer"] for error in refused.value.errors or []] == [f"/{number:06}" for number in range(20)]


@pytest.mark.parametrize("count", [64, 65, 4000])
def test_rejects_a_query_with_more_than_64_parameters(count: int) -> None:
    with pytest.raises(Problem) as refused:
        query(asked("&".join(f"x{number}=" for number in range(count))), {})
    assert len(refused.value.errors or []) == (count if count == 64 else 1)


@pytest.mark.parametrize(
    ("media_type", "json"),
    [("application/json", True), ("application/json;", True), ("application/json;charset=utf8", True), ('APPLICATION/JSON ; charset="UTF-8" ; a=b', True),
     ("application/json; charset=utf-8; charset=utf-16", False), ("application/json; charset", False), ("application/json; charset=", False), ("application/jsonp", False),
     ("application/json" + ";" * 184, True), ("application/json" + ";" * 185, False), ("application/json; a=b c", False)],
)  # fmt: skip
def test_accepts_json_in_utf_8_and_no_other_media_type(media_type: str, json: bool) -> None:
    request = posted(b"{}", CONTENT_LENGTH="2", CONTENT_TYPE=media_type)
    if json:
        assert read_body(request, 10) == b"{}"
    else:
        with pytest.raises(Problem) as refused:
            read_body(request, 10)
        assert refused.value.kind.slug == "unsupported-media-type"
