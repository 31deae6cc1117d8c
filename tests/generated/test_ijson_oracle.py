"""I-JSON read in two ways: ijson returns the value that Python's json returns, and rejects what is not I-JSON."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from service_common.http import ijson

NUMBERS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?\Z")
STRINGS = st.lists(
    st.text(st.characters(exclude_characters='"\\', exclude_categories=["Cs"]), max_size=4)
    | st.sampled_from(["\\ud800", "\\udc00", "\\uD83D\\uDE00", "\\ufffe", "\\u0000", "\\n", "\\/", "\ufdd0", "\U0001ffff"]),
    max_size=4,
).map(lambda parts: f'"{"".join(parts)}"')  # fmt: skip
NAMES = st.sampled_from(['"a"', '"\\u0061"', '"b"', '""'])
SPACE = st.sampled_from(["", " ", "\n\t"])


def joined(opening: str, parts: list[str], closing: str) -> str:
    return opening + ",".join(parts) + closing


VALUES = st.recursive(
    NUMBERS | STRINGS | st.sampled_from(["true", "false", "null", "1"] * 3 + ["NaN"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: joined("[", parts, "]")),
        st.lists(st.builds("{}{}:{}{}".format, NAMES, SPACE, SPACE, inner), max_size=4).map(
            lambda parts: joined("{", parts, "}")
        ),
    ),
    max_leaves=12,
)
# A text that is cut, or has a byte or two replaced, is usually no JSON, but sometimes it still is.
CUT = st.builds(lambda text, end: text.encode("utf-8", "surrogatepass")[:end], VALUES, st.integers(0, 60))
SPOILED = st.builds(
    lambda text, place, byte: text[: (at := place % (len(text) + 1))] + byte + text[at + 1 :],
    VALUES.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.integers(0, 400),
    st.binary(max_size=2) | st.sampled_from([b'"', b"{", b"]", b",", b"\\", b"0", b".", b"e", b"\xef\xbb\xbf"]),
)
# Objects and strings with at most one flaw, which a careless reader would accept.
FLAWED = st.builds(
    '{{"a":1,{}:"{}","b":[{}]}}'.format,
    st.sampled_from(['"c"', '"a"', '"\\u0061"', '"b"', '"A"']),
    st.characters() | st.sampled_from(["\ufdd0", "\uffff", "\U0002fffe", "\\udfff", "\\ud83d\\ude00", "\uf8ff"]),
    st.sampled_from(["", "0", "-0", "01", "1.", "1e5", "NaN", "-Infinity", ".5", "+1"]),
)
WHOLE = (VALUES | FLAWED).map(lambda text: text.encode("utf-8", "surrogatepass"))
BODIES = WHOLE | WHOLE | CUT | SPOILED | st.binary(max_size=20)


def refuse(name: str) -> Any:
    raise ValueError(name)


def real(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond Decimal's
        return Decimal("Infinity")


def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for place, (name, _) in enumerate(pairs):
        if any(name == other for other, _ in pairs[:place]):
            raise ValueError(f"{name} twice")
    return dict(pairs)


def texts(value: Any) -> list[str]:
    """Return every string and member name within a value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [*value, *(text for inner in value.values() for text in texts(inner))]
    return [text for inner in value for text in texts(inner)] if isinstance(value, list) else []


def read(body: bytes) -> Any:
    """Return the value of a body by Python's json module and RFC 7493, section 2. Raises ValueError: it is not I-JSON."""
    text = body.decode("utf-8")
    value = json.loads(text, parse_float=real, parse_int=Decimal, parse_constant=refuse, object_pairs_hook=members)
    for code in (ord(character) for text in texts(value) for character in text):
        if 0xD800 <= code <= 0xDFFF or 0xFDD0 <= code <= 0xFDEF or code & 0xFFFF >= 0xFFFE:
            raise ValueError(f"U+{code:04X}")
    return value


def exact(value: Any) -> bool:
    """Return whether no number within a value is a float, and every whole one of up to 20 digits is an int."""
    if isinstance(value, dict):
        return all(map(exact, value.values()))
    return (
        all(map(exact, value))
        if isinstance(value, list)
        else not isinstance(value, float)
        and not (
            isinstance(value, Decimal)
            and value.is_finite()
            and value.adjusted() < 20
            and value == value.to_integral_value()
        )
    )


@settings(max_examples=4 * settings().max_examples)
@given(BODIES)
@example(b"\xef\xbb\xbf1")
@example(b'"\\ud83d\\ude00"')
@example(b'"\xed\xa0\x80"')
@example(b"-0")
@example(b"1e99999999999999999999")
def test_both_readers_return_the_same_value_or_reject_the_body(body: bytes) -> None:
    try:
        expected, refused = read(body), False
    except ValueError:
        expected, refused = None, True
    try:
        value = ijson.loads(body)
    except ValueError as error:
        assert refused, f"{body!r} is I-JSON: {error}"
        assert len(str(error)) < 200
    else:
        assert not refused, f"{body!r} is not I-JSON"
        assert value == expected
        assert exact(value)
