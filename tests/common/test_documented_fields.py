"""Fields in /openapi.json: each schema admits exactly what the validation accepts."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any
from unicodedata import category

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from orders_service.models import NewOrder
from products_service.models import Price
from service_common.http.ijson import loads
from service_common.resource.fields import Name
from users_service.models import Email

BLANK = "\u115f\u1160\u2800\u3164\uffa0"
INVISIBLE = "\u00ad\u200b\u200d\u2060\ue000\u0378\U000e0001\U0010ffff" + BLANK
EDGES = "a@b 0\t\n\r\x00\x1b\x1c\x1f\x7f\x85\x9f\xa0\u1680\u200b\u2028\u3000\ufeffé😀\u0301" + INVISIBLE
TEXTS = st.text(st.sampled_from(EDGES) | st.characters(exclude_categories=["Cs"]), max_size=30)
DIGITS = st.text(st.sampled_from("001.9٣ -+e\n"), max_size=12) | st.from_regex(r"\A0*1?0{4,6}\.?[0-9]{0,3}\Z")
EVERY_CHARACTER = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]


@cache
def checked(field: Any) -> Callable[[Any], bool]:
    """Return a function that says whether the validation of a field accepts a value."""
    validate = TypeAdapter(field).validate_python

    def accepted(value: Any) -> bool:
        try:
            validate(value, strict=True)
        except ValidationError:
            return False
        return True

    return accepted


@cache
def documented(field: Any) -> Callable[[str], bool]:
    """Return a function that says whether the schema of a field admits a text. `$` is the very end, as JSON Schema has it."""
    schema = TypeAdapter(field).json_schema()
    (text,) = [one for one in schema.get("anyOf", [schema]) if one["type"] == "string"]
    assert text.keys() <= {"type", "pattern", "maxLength", "description", "examples", "allOf"}
    also = text.get("allOf", [])
    assert all(part.keys() <= {"title", "description", "pattern"} for part in also)
    searches = [re.compile(re.sub(r"\$\Z", r"\\Z", part["pattern"])).search for part in (text, *also)]
    longest = text.get("maxLength", 10**9)
    return lambda value: len(value) <= longest and all(search(value) for search in searches)


@given(TEXTS)
@example("")
@example(" " * 300 + "a" * 200 + "\x85\n")
@example("a" * 201)
@example("a" + " " * 198 + "b")
@example("a\tb")
@example("\x1fa")
@example("\u200b\u200b")
@example("\u200ba")
@example(" \u3164 ")
@example("a\u3164")
def test_names_are_documented_as_they_are_checked(text: str) -> None:
    assert documented(Name)(text) == checked(Name)(text)


@given(TEXTS | st.builds("{}@{}".format, TEXTS, TEXTS))
@example("a@b")
@example("a@b\n")
@example("a\ufeff@b")
@example("a@" + "b" * 252)
@example("a@" + "b" * 253)
@example("ä@b@c")
def test_emails_are_documented_as_they_are_checked(text: str) -> None:
    assert documented(Email)(text) == checked(Email)(text)


def test_a_name_of_one_character_is_accepted_and_documented_where_unicode_says_that_it_is_visible() -> None:
    accepted, admitted = checked(Name), documented(Name)
    for character in EVERY_CHARACTER:
        visible = category(character)[0] in "LMNPS" and character not in BLANK
        assert accepted(character) is admitted(character) is visible, f"U+{ord(character):04X}"


def test_an_email_with_one_more_character_is_accepted_and_documented_unless_it_is_invisible() -> None:
    accepted, admitted = checked(Email), documented(Email)
    for character in EVERY_CHARACTER:
        hidden = category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp") or character in BLANK + "@"
        for text in (f"a{character}@b", f"a@{character}b"):
            assert accepted(text) is admitted(text) is not hidden, f"U+{ord(character):04X}"


@given(DIGITS)
@example("1000000.00")
@example("1000000.01")
@example(".")
@example("5.")
@example(".5")
@example("0" * 40)
@example("0" * 41)
@example("0" * 42)
@example("0" * 33 + "1000000.00")
@example("19.99\n")
def test_prices_are_documented_as_they_are_checked(text: str) -> None:
    assert documented(Price)(text) == checked(Price)(text)


@pytest.mark.parametrize(("number", "fits"), [(0, True), (1_000_000, True), (1_000_001, False), (-1, False)])
def test_prices_that_are_numbers_are_documented_as_they_are_checked(number: int, fits: bool) -> None:
    (schema,) = [one for one in TypeAdapter(Price).json_schema()["anyOf"] if one["type"] == "number"]
    assert (schema["minimum"] <= number <= schema["maximum"]) == checked(Price)(number) == fits


@pytest.mark.parametrize(("written", "fits"), [
    ("2", True), ("2.0", True), ("2e0", True), ("20e-1", True), ("1e4", True), ("10000.0", True), ("1e400", False), ("10001", False),
    ("2.5", False), ("-0.0", False), ("0", False), ('"2"', False), ("true", False), ("null", False), ("1e99999999999999999999", False),
])  # fmt: skip
def test_an_integer_is_any_number_with_a_whole_value_as_json_schema_says(written: str, fits: bool) -> None:
    field = NewOrder.model_json_schema()["properties"]["quantity"]
    assert field["type"] == "integer"
    assert checked(NewOrder)({"user_id": 1, "product_id": 1, "quantity": loads(written.encode())}) is fits
