"""I-JSON (RFC 7493): JSON of which two readers cannot disagree."""

import gc
import json
import re
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Any

# Surrogates, and the code points that Unicode sets aside as noncharacters: RFC 7493, section 2.1.
_PLANE_ENDS = "".join(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
_FORBIDDEN = re.compile(f"[\ud800-\udfff\ufdd0-\ufdef{_PLANE_ENDS}]")
_SUSPECT = re.compile(r"\\u|[^\x00-\uf000]")  # only then can a forbidden code point be there

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)


def commas(body: bytes) -> int:
    """The commas outside of strings: how many values a body holds, near enough, known before they are made."""
    return _STRING.sub(b"", body).count(b",")


def _integer(text: str) -> int | Decimal:
    """An integer of any length: int() refuses long ones, and no field needs them exactly."""
    return int(text) if len(text) <= 20 else Decimal(text)


def _real(text: str) -> Decimal:
    """A number with a point or an exponent. One beyond what Decimal holds is beyond every field too."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("Infinity")


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


_decoder = json.JSONDecoder(object_pairs_hook=_members, parse_float=_real, parse_int=_integer, parse_constant=_constant)


def loads(body: bytes) -> Any:
    """Parse I-JSON. Numbers with a point or an exponent come back as Decimal, never as float.

    Raises:
        ValueError: `body` is not I-JSON; the message says why and where.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    gc.disable()  # it would look through all that is being made, again and again
    try:
        value = _decoder.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    finally:
        gc.enable()
    if _SUSPECT.search(text):
        _refuse_forbidden(value)
    return value
