"""What a request brings besides its body: ids, numbers, lists, and the body's length."""

import io
from typing import Annotated, Any

import pytest
from flask import Flask, Request
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, BeforeValidator
from werkzeug.test import EnvironBuilder

from service_common.inbound import MAX_ID, number, numbers, path_id, query, read_body, validate
from service_common.problems import Problem


def asked(query_string: str) -> Request:
    return Request(EnvironBuilder(path="/", query_string=query_string).get_environ())


def posted(body: bytes, **environ: Any) -> Request:
    """A request with this body, of any length it says."""
    base = {"CONTENT_TYPE": "application/json", "wsgi.input": io.BytesIO(body)}
    return Request(EnvironBuilder(method="POST").get_environ() | base | environ)


@given(st.integers(1, MAX_ID))
def test_every_id_that_can_exist_is_read(id: int) -> None:
    assert path_id(str(id)) == id
    assert numbers(1)(str(id)) == [id]


@given(st.text(max_size=25))
def test_a_text_is_an_id_or_not_found(text: str) -> None:
    try:
        assert 1 <= path_id(text) <= MAX_ID
        assert text.isascii() and text.isdigit()
    except Problem as problem:
        assert problem.kind == "not-found"


@given(st.text("0123456789+-_. ,e٣１", max_size=25), st.integers(0, 100), st.integers(100, MAX_ID))
def test_a_number_is_in_its_range_or_refused(text: str, lowest: int, highest: int) -> None:
    try:
        assert lowest <= number(lowest, highest)(text) <= highest
        assert set(text) <= set("0123456789")
    except ValueError as error:
        assert str(error) == f"must be an integer from {lowest} to {highest}"


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_ids_come_sorted_and_each_once(ids: list[int]) -> None:
    assert numbers(30)(",".join(map(str, ids))) == sorted(set(ids))


@pytest.mark.parametrize(("text", "fits"), [("1", True), ("1,1,1", True), ("1,1,1,1", False), ("2,3,1", True)])
def test_the_limit_counts_ids_as_sent(text: str, fits: bool) -> None:
    if fits:
        assert numbers(3)(text) == sorted({int(part) for part in text.split(",")})
    else:
        with pytest.raises(ValueError, match="at most 3 ids"):
            numbers(3)(text)


def test_parameters_are_read_each_by_its_parser() -> None:
    known = {"limit": number(1, 10), "ids": numbers(3)}
    assert query(asked(""), known) == {}
    assert query(asked("limit=5&ids=3,1"), known) == {"limit": 5, "ids": [1, 3]}


def test_every_wrong_parameter_is_named_once() -> None:
    with pytest.raises(Problem) as refused:
        query(asked("limit=0&x=1&limit=5&x=2&ids=1"), {"limit": number(1, 10), "ids": numbers(3)})
    assert refused.value.kind == "validation"
    assert [error["parameter"] for error in refused.value.errors or []] == ["limit", "x"]


def test_the_name_of_an_unknown_parameter_is_not_quoted_at_length() -> None:
    with pytest.raises(Problem) as refused:
        query(asked("x" * 5000 + "=1"), {})
    assert len(str(refused.value.errors)) < 300


@pytest.mark.parametrize("length", [0, 1, 9, 10])
def test_a_body_up_to_the_limit_is_read_whole(length: int) -> None:
    body = b"x" * length
    with Flask("test").app_context():
        assert read_body(posted(body, CONTENT_LENGTH=str(length)), 10) == body
        assert read_body(posted(body), 10) == body  # chunked: no length


def test_a_body_over_the_limit_is_refused_and_by_its_length_before_it_is_read() -> None:
    for request in (posted(b"x" * 11), posted(b"x" * 11, CONTENT_LENGTH="11"), posted(b"", CONTENT_LENGTH="9" * 30)):
        with pytest.raises(Problem) as refused:
            read_body(request, 10)
        assert refused.value.kind == "body-too-large"
    unread = posted(b"x" * 11, CONTENT_LENGTH="11")
    with pytest.raises(Problem):
        read_body(unread, 10)
    assert unread.environ["wsgi.input"].tell() == 0


def test_a_body_that_is_shorter_than_it_said_is_malformed() -> None:
    with pytest.raises(Problem) as refused:
        read_body(posted(b"x" * 5, CONTENT_LENGTH="6"), 10)
    assert refused.value.kind == "malformed-body"


def test_a_problem_does_not_keep_what_pydantic_said() -> None:
    """A cycle through one of pydantic's errors is never freed: the garbage collector cannot look into them."""

    def fails(value: object) -> int:
        raise ValueError("no")

    class Picky(BaseModel):
        number: Annotated[int, BeforeValidator(fails)]

    with pytest.raises(Problem) as caught:
        validate(Picky, {"number": 1})
    assert caught.value.__context__ is None


def test_of_very_many_unknown_members_some_are_named_and_all_are_counted() -> None:
    class Small(BaseModel):
        number: int

    for count in (101, 50_000):
        with pytest.raises(Problem) as refused:
            validate(Small, {"number": 1} | {f"{number:06}": 0 for number in range(count)})
        assert refused.value.detail.startswith(f"{count} of ")
        assert [error["pointer"] for error in refused.value.errors or []] == [f"/{number:06}" for number in range(20)]


@pytest.mark.parametrize("count", [64, 65, 4000])
def test_a_query_has_so_many_parameters_at_most(count: int) -> None:
    with pytest.raises(Problem) as refused:
        query(asked("&".join(f"x{number}=" for number in range(count))), {})
    assert len(refused.value.errors or []) == (count if count == 64 else 1)


@pytest.mark.parametrize(
    ("media_type", "json"),
    [("application/json", True), ("application/json;", True), ("application/json;charset=utf8", True), ('APPLICATION/JSON ; charset="UTF-8" ; a=b', True),
     ("application/json; charset=utf-8; charset=utf-16", False), ("application/json; charset", False), ("application/json; charset=", False), ("application/jsonp", False),
     ("application/json" + ";" * 184, True), ("application/json" + ";" * 185, False), ("application/json; a=b c", False)],
)  # fmt: skip
def test_a_media_type_is_json_in_utf_8_or_not(media_type: str, json: bool) -> None:
    request = posted(b"{}", CONTENT_LENGTH="2", CONTENT_TYPE=media_type)
    if json:
        assert read_body(request, 10) == b"{}"
    else:
        with pytest.raises(Problem) as refused:
            read_body(request, 10)
        assert refused.value.kind == "unsupported-media-type"
