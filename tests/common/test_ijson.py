"""I-JSON: what is read, what is refused, and how soon."""

import json
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service_common import ijson

DIGITS = st.text("0123456789", min_size=1, max_size=40)
NONCHARACTERS = [chr(c) for c in range(0x110000) if c & 0xFFFE == 0xFFFE or 0xFDD0 <= c <= 0xFDEF]


@given(st.sampled_from(["", "-"]), st.integers(0, 10**40), DIGITS, st.integers(-400, 400))
def test_a_number_is_read_to_its_last_digit(sign: str, whole: int, fraction: str, exponent: int) -> None:
    written = f"{sign}{whole}.{fraction}e{exponent}"
    assert ijson.loads(written.encode()) == Decimal(written)


@given(st.integers(-(10**60), 10**60))
def test_an_integer_of_any_length_is_exact(value: int) -> None:
    assert ijson.loads(str(value).encode()) == value


@given(st.text(), st.sampled_from(["\ud800", "\udbff", "\udc00", "\udfff", *NONCHARACTERS]), st.text(), st.booleans())
def test_one_forbidden_code_point_anywhere_is_refused(before: str, forbidden: str, after: str, as_name: bool) -> None:
    text = f"{before}a{forbidden}a{after}"  # letters around it: a surrogate must not find a partner
    body = json.dumps([{text: 1}] if as_name else [[text]]).encode()
    with pytest.raises(ValueError, match=r"U\+[0-9A-F]+ may not stand"):
        ijson.loads(body)


@pytest.mark.parametrize("forbidden", NONCHARACTERS)
def test_each_noncharacter_is_refused_unescaped_too(forbidden: str) -> None:
    with pytest.raises(ValueError, match="may not stand"):
        ijson.loads(f'["{forbidden}"]'.encode())


@given(st.dictionaries(st.text(st.characters(codec="ascii"), max_size=3), st.integers(0, 9), min_size=1), st.data())
def test_a_member_that_stands_twice_is_refused_wherever_it_stands(members: dict[str, int], data: Any) -> None:
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
def test_a_mebibyte_of_anything_is_read_or_refused_at_once(body: bytes) -> None:
    began = time.monotonic()
    try:
        ijson.loads(body)
    except ValueError as error:
        assert len(str(error)) < 200
    assert time.monotonic() - began < 2


def test_a_message_quotes_little_of_what_it_refuses() -> None:
    name = b"x" * 100_000
    with pytest.raises(ValueError, match="stands twice") as refused:
        ijson.loads(b'{"%s":1,"%s":2}' % (name, name))
    assert len(str(refused.value)) < 200
