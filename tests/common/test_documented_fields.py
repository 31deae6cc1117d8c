"""What /openapi.json says of a field is what its validation does: no looser, no stricter."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from products_service.models import Price
from service_common.fields import Name
from users_service.models import Email

EDGES = "a@b 0\t\n\r\x00\x1b\x1c\x1f\x7f\x85\x9f\xa0\u1680\u200b\u2028\u3000\ufeffé😀"
TEXTS = st.text(st.sampled_from(EDGES) | st.characters(exclude_categories=["Cs"]), max_size=30)
DIGITS = st.text(st.sampled_from("001.9٣ -+e\n"), max_size=12) | st.from_regex(r"\A0*1?0{4,6}\.?[0-9]{0,3}\Z")


def accepted(field: Any, value: Any) -> bool:
    try:
        TypeAdapter(field).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def documented(field: Any, value: str) -> bool:
    """Whether the schema of a field admits a text; `$` is the very end, as JSON Schema has it."""
    schema = TypeAdapter(field).json_schema()
    (text,) = [one for one in schema.get("anyOf", [schema]) if one["type"] == "string"]
    assert text.keys() <= {"type", "pattern", "maxLength", "description", "examples"}
    found = re.search(text["pattern"].removesuffix("$") + r"\Z", value)
    return found is not None and len(value) <= text.get("maxLength", len(value))


@given(TEXTS)
@example("")
@example(" " * 300 + "a" * 200 + "\x85\n")
@example("a" * 201)
@example("a" + " " * 198 + "b")
@example("a\tb")
@example("\x1fa")
def test_of_names(text: str) -> None:
    assert documented(Name, text) == accepted(Name, text)


@given(TEXTS | st.builds("{}@{}".format, TEXTS, TEXTS))
@example("a@b")
@example("a@b\n")
@example("a\ufeff@b")
@example("a@" + "b" * 252)
@example("a@" + "b" * 253)
def test_of_emails(text: str) -> None:
    assert documented(Email, text) == accepted(Email, text)


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
def test_of_prices(text: str) -> None:
    assert documented(Price, text) == accepted(Price, text)


@pytest.mark.parametrize(("number", "fits"), [(0, True), (1_000_000, True), (1_000_001, False), (-1, False)])
def test_of_prices_that_are_numbers(number: int, fits: bool) -> None:
    (schema,) = [one for one in TypeAdapter(Price).json_schema()["anyOf"] if one["type"] == "number"]
    assert (schema["minimum"] <= number <= schema["maximum"]) == accepted(Price, number) == fits
