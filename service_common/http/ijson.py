"""I-JSON (RFC 7493): JSON that every reader understands alike. Numbers count by their value."""

import gc
import json
import re
from collections import Counter
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation
from itertools import accumulate
from typing import Any

DEEPEST = 920  # levels of arrays and objects; `canonical`, too, must stay below the 1000 of Python's recursion
INTEGER_DIGITS = 20  # of a whole number that is read as int; no field takes a longer one

# Surrogates, and the code points that Unicode sets aside as noncharacters: RFC 7493, section 2.1.
_PLANE_ENDS = "".join(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
_FORBIDDEN = re.compile(f"[\ud800-\udfff\ufdd0-\ufdef{_PLANE_ENDS}]")
_SUSPECT = re.compile(r"\\u|[^\x00-\uf000]")  # without these there is no forbidden code point

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_LEVELS = [{"[": 1, "{": 1, "]": -1, "}": -1}.get(chr(byte), 0) for byte in range(256)]
_EXACT = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX)
_NUMBER = "\uffff"  # begins the text of a number; I-JSON forbids it in strings


class Extreme(Decimal):
    """A number whose exponent no Decimal can hold. Its value is infinity, which every field refuses."""

    text: str  # a mantissa of one digit before the point, and the exponent


def commas(body: bytes) -> int:
    """Return how many commas stand outside of strings: about as many values does the body hold."""
    return _STRING.sub(b"", body).count(b",")


def _integer(text: str) -> int | Decimal:
    """Read an integer of any length. int() refuses very long ones."""
    return int(text) if len(text) <= INTEGER_DIGITS else _whole(Decimal(text))


def _real(text: str) -> int | Decimal:
    """Read a number with a point or an exponent."""
    try:
        return _whole(Decimal(text))
    except InvalidOperation:
        return _extreme(text)


def _whole(number: Decimal) -> int | Decimal:
    """Return a number as int where its value is a whole one of at most `INTEGER_DIGITS` digits: 2.0 is 2."""
    if not number:
        return 0
    if 0 <= number.adjusted() < INTEGER_DIGITS and number == (whole := int(number)):
        return whole
    return number


def _extreme(text: str) -> int | Decimal:
    mantissa, _, exponent = text.lower().partition("e")
    digits = Decimal(mantissa)
    if not digits:
        return 0
    first = digits.adjusted()
    number = Extreme("Infinity" if digits > 0 else "-Infinity")
    number.text = f"{_EXACT.normalize(digits.scaleb(-first, _EXACT))}e{_EXACT.add(Decimal(exponent), first)}"
    return number


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the member {twice[:50]!r} stands twice in one object")
    return members


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_forbidden(value: Any) -> None:
    """Raise ValueError where a string or member name of `value` holds a forbidden code point."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if found := _FORBIDDEN.search(item):
                raise ValueError(f"U+{ord(found[0]):04X} may not stand in a string")
        elif isinstance(item, dict):
            waiting += item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _is_deep(body: bytes) -> bool:
    """Return whether arrays and objects are nested deeper than `DEEPEST` levels."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return False
    brackets = _STRING.sub(b"", body).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_LEVELS.__getitem__, brackets)), default=0) > DEEPEST


_decoder = json.JSONDecoder(object_pairs_hook=_members, parse_float=_real, parse_int=_integer, parse_constant=_constant)


def loads(body: bytes) -> Any:
    """Parse I-JSON. A whole number is an int, any other a Decimal, however it is written; none is a float.

    Raises:
        ValueError: `body` is not I-JSON; the message says why and where.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    if not text.strip(" \t\r\n"):
        raise ValueError("it is empty")
    gc.disable()  # it would search all the new objects, again and again
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it breaks the rules of JSON at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    finally:
        gc.enable()
    if _is_deep(body):
        raise ValueError(f"it is nested too deeply: more than {DEEPEST} levels")
    if _SUSPECT.search(text):
        _refuse_forbidden(value)
    return value


def _decimal(number: Any) -> str:
    if isinstance(number, Extreme):
        return _NUMBER + number.text
    return f"{_NUMBER}{_EXACT.normalize(number)}"


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_decimal).encode


def canonical(value: Any) -> bytes:
    """Return what stands for a value that `loads` has returned: the same bytes exactly for the same JSON value.

    The order of members, white space, escapes and the way in which a number is written make no difference.
    """
    return _encode(value).encode("ascii")
