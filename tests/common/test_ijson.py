"""I-JSON: parsing, refusals, time limits, and the canonical form of a value."""

import json
import time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service_common.http import ijson

DIGITS = st.text("0123456789", min_size=1, max_size=40)
NONCHARACTERS = [chr(c) for c in range(0x110000) if c & 0xFFFE == 0xFFFE or 0xFDD0 <= c <= 0xFDEF]


@given(st.sampled_from(["", "-"]), st.integers(0, 10**40), DIGITS, st.integers(-400, 400))
def test_reads_a_number_to_its_last_digit(sign: str, whole: int, fraction: str, exponent: int) -> None:
    written = f"{sign}{whole}.{fraction}e{exponent}"
    assert ijson.loads(written.encode()) == Decimal(written)


@given(st.integers(-(10**60), 10**60))
def test_reads_an_integer_of_any_length_exactly(value: int) -> None:
    assert ijson.loads(str(value).encode()) == value


@given(st.text(), st.sampled_from(["\ud800", "\udbff", "\udc00", "\udfff", *NONCHARACTERS]), st.text(), st.booleans())
def test_rejects_one_forbidden_code_point_anywhere(before: str, forbidden: str, after: str, as_name: bool) -> None:
    text = f"{before}a{forbidden}a{after}"  # letters around it, so that a surrogate finds no partner
    body = json.dumps([{text: 1}] if as_name else [[text]]).encode()
    with pytest.raises(ValueError, match=r"U\+[0-9A-F]+ may not stand"):
        ijson.loads(body)


@pytest.mark.parametrize("forbidden", NONCHARACTERS)
def test_rejects_each_noncharacter_that_is_not_escaped(forbidden: str) -> None:
    with pytest.raises(ValueError, match="may not stand"):
        ijson.loads(f'["{forbidden}"]'.encode())


@given(st.dictionaries(st.text(st.characters(codec="ascii"), max_size=3), st.integers(0, 9), min_size=1), st.data())
def test_rejects_a_repeated_member_at_any_place(members: dict[str, int], data: Any) -> None:
    twice = data.draw(st.sampled_from(sorted(members)))
    escaped = "".join(f"\\u{ord(c):04x}" for c in twice)
    pairs = [f"{json.dumps(name)}:{value}" for name, value in members.items()]
    pairs.insert(data.draw(st.integers(0, len(pairs))), f'"{escaped}":0')
    with pytest.raises(ValueError, match="stands twice"):
        ijson.loads(f'{{"in": [{{{",".join(pairs)}}}]}}'.encode())


@pytest.mark.parametrize(
    "body",
    [b"1e999999999", b"1e-999999999", b"-1e999999999999999999999", b"9" * 1_000_000, b"0." + b"1" * 1_000_000, b"[" * 1_000_000,
     b'{"a":' * 200_000, b"[" + b"1," * 500_000 + b"1]", b'"' + b"\\u0041" * 170_000 + b'"',
     b"{" + b",".join(b'"%d":0' % number for number in range(80_000)) + b"}"],
    ids=lambda body: f"{body[:16].decode()} ({len(body)} bytes)",
)  # fmt: skip
def test_reads_or_rejects_a_mebibyte_of_anything_within_two_seconds(body: bytes) -> None:
    began = time.monotonic()
    try:
        ijson.loads(body)
    except ValueError as error:
        assert len(str(error)) < 200
    assert time.monotonic() - began < 2


def test_quotes_little_of_a_body_that_it_rejects() -> None:
    name = b"x" * 100_000
    with pytest.raises(ValueError, match="stands twice") as refused:
        ijson.loads(b'{"%s":1,"%s":2}' % (name, name))
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("body", [b"{", b'{"a" 1}', b"[1,]", b'"\x01"', b"1 2", b"nul", b'"\\x"', b"01"])
def test_names_the_place_of_a_syntax_error_in_its_own_words(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"it breaks the rules of JSON at line 1, column \d+\Z"):
        ijson.loads(body)


@pytest.mark.parametrize("body", [b"", b" \r\n\t"])
def test_says_that_a_body_is_empty(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\Ait is empty\Z"):
        ijson.loads(body)


@pytest.mark.parametrize(
    "written", ["2", "2.0", "2e0", "2E+0", "20e-1", "0.2e1", "2." + "0" * 1000, "2" + "0" * 99 + "e-99"]
)
def test_reads_a_whole_number_as_an_integer_however_it_is_written(written: str) -> None:
    value = ijson.loads(written.encode())
    assert (value, type(value)) == (2, int)


@pytest.mark.parametrize(
    "written", ["0", "-0", "0.0", "-0.0", "0e0", "-0e400", "0e99999999999999999999", "0e-99999999999999999999"]
)
def test_reads_every_zero_as_the_integer_0(written: str) -> None:
    value = ijson.loads(written.encode())
    assert (repr(value), type(value)) == ("0", int)


@pytest.mark.parametrize(
    "written",
    [
        "1e400",
        "-1e400",
        "1e999999999",
        "1e99999999999999999999",
        "1" + "0" * 5000,
        "1.5",
        "1e-400",
        "2.0000000000000000000000000001",
    ],
)
def test_makes_no_integer_of_a_huge_or_fractional_number(written: str) -> None:
    assert type(ijson.loads(written.encode())) is not int


def test_rejects_nesting_that_later_steps_could_not_follow() -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        deep = opening * ijson.DEEPEST + "1" + closing * ijson.DEEPEST
        ijson.canonical(ijson.loads(deep.encode()))
        with pytest.raises(ValueError, match="nested too deeply"):
            ijson.loads(f"[{deep}]".encode())
    flat = ("[" + "[]," * 5000 + "[]]").encode()
    assert len(ijson.loads(flat)) == 5001
    assert ijson.loads(b'"' + b"[" * 5000 + b'"') == "[" * 5000


# Values by the rules of JSON: two of them are equal exactly where their keys here are.
SCALARS = (
    st.sampled_from([None, True, False])
    | st.text(
        st.sampled_from(["1", ".", "5", "e", "\\", '"', "é", "\u2028", "\ufeff", "\U0001f600", "\x00"]), max_size=3
    )
    | st.builds(Fraction, st.integers(-30, 30), st.sampled_from([1, 2, 4, 10, 100]))
    | st.builds(lambda exponent: Fraction(10) ** exponent, st.integers(-30, 30))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("a1", max_size=2), inner, max_size=3),
    max_leaves=6,
)


def key(value: Any) -> Any:
    """Return what tells JSON values apart in Python, where 1 equals True."""
    if isinstance(value, dict):
        return "object", frozenset((name, key(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return "array", tuple(map(key, value))
    return "number" if isinstance(value, Fraction) else type(value).__name__, value


def written(value: Any, draw: Any) -> str:
    """Write a value in one of the ways that JSON has for it."""
    space = draw(st.sampled_from(["", " ", "\n\t"]))
    if isinstance(value, dict):
        members = [
            f"{written(name, draw)}{space}:{space}{written(value[name], draw)}"
            for name in draw(st.permutations(sorted(value)))
        ]
        return f"{{{space}{','.join(members)}{space}}}"
    if isinstance(value, list):
        return f"[{','.join(space + written(inner, draw) for inner in value)}{space}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=draw(st.booleans())).replace("1", draw(st.sampled_from(["1", "\\u0031"])))
    if not isinstance(value, Fraction):
        return json.dumps(value)
    shift = draw(st.integers(-3, 3))
    digits = Decimal((value / Fraction(10) ** shift).numerator) / Decimal((value / Fraction(10) ** shift).denominator)
    padding = draw(st.sampled_from(["", "0", "000"]))
    plain = f"{digits:f}"
    plain += (padding and "." if "." not in plain else "") + padding
    return f"{plain}{draw(st.sampled_from(['e', 'E']))}{shift}" if shift else plain


@settings(max_examples=10 * settings().max_examples)
@given(VALUES, VALUES, st.data())
def test_equal_values_and_no_others_have_the_same_canonical_form(one: Any, other: Any, data: st.DataObject) -> None:
    first, again = (ijson.canonical(ijson.loads(written(one, data.draw).encode())) for _ in range(2))
    assert first == again
    assert (first == ijson.canonical(ijson.loads(written(other, data.draw).encode()))) == (key(one) == key(other))


@pytest.mark.parametrize(
    "texts",
    [
        ('{"a":1,"b":2}', '{ "b" : 2.0,\n"\\u0061":1e0 }'), ("1.50", "1.5", "15e-1"), ("1e400", "10e399", "1.0E+400", "1" + "0" * 400),
        ("-0.0", "0", "0e-99999999999999999999"), ("99999999999999999999", "99999999999999999999.0", "9.9999999999999999999e19"),
        ("-99999999999999999999", "-999999999999999999990e-1"), ("100000000000000000000", "1e20"), ('"\\u00e9"', '"é"'), ('"/"', '"\\/"'),
        ("1e99999999999999999999", "10e99999999999999999998", "0.10e100000000000000000000"),
        ("-12e-99999999999999999999", "-1.20e-99999999999999999998"),
    ],
)  # fmt: skip
def test_ways_to_write_one_value_have_the_same_canonical_form(texts: tuple[str, ...]) -> None:
    assert len({ijson.canonical(ijson.loads(text.encode())) for text in texts}) == 1


def test_different_values_have_different_canonical_forms() -> None:
    texts = [
        "1", '"1"', "true", "null", "[]", "{}", '""', "[1]", "[[1]]", '{"1":1}', '{"1":"1"}', "1.5", '"1.5"', '["1.5"]', "[1,5]", "15", "-1.5",
        "1e400", "1e401", '"1E+400"', "1e99999999999999999999", "2e99999999999999999999", "-1e99999999999999999999", "1e-99999999999999999999",
        "1" * 60, "1" * 59 + "2", "0." + "1" * 60, "0." + "1" * 59 + "2", "99999999999999999999", "100000000000000000000", '"é"', '"e\u0301"',
        '{"a":{"b":1}}', '{"a":{},"b":1}', "[null]", "[false]", "[0]", '["0"]', '"\\\\uffff1.5"',
    ]  # fmt: skip
    assert len({ijson.canonical(ijson.loads(text.encode())) for text in texts}) == len(texts)
