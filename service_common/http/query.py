"""Query parameters and ids in paths: read, parsed and checked."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Request

from ..ids import MAX_ID
from . import problem_kinds as kinds
from .problems import Problem

MOST_PARAMETERS = 64  # of one query; no route takes more than a handful


def query(request: Request, known: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """Return the query parameters that were sent, each parsed by its parser in `known`.

    Raises:
        Problem: `validation`: a parameter is unknown, was sent twice, or its parser raised ValueError.
    """
    if not request.query_string:
        return {}
    if (count := request.query_string.count(b"&") + 1) > MOST_PARAMETERS:
        refused = [{"parameter": "", "detail": f"{count} parameters were sent; at most {MOST_PARAMETERS} are read"}]
        raise Problem(kinds.VALIDATION, "The query has too many parameters.", refused)
    values: dict[str, Any] = {}
    errors = []
    for name, texts in request.args.lists():
        try:
            if name not in known:
                raise ValueError(f"is unknown; this request accepts {', '.join(known) or 'no parameters'}")
            if len(texts) > 1:
                raise ValueError("was sent more than once")
            values[name] = known[name](texts[0])
        except ValueError as error:
            errors.append({"parameter": name[:100], "detail": str(error)})
    if errors:
        raise Problem(kinds.VALIDATION, "The query parameters cannot be accepted.", errors)
    return values


def number(lowest: int, highest: int) -> Callable[[str], int]:
    """Return a parser of decimal integers from `lowest` to `highest`, in ASCII digits."""

    def parser(text: str) -> int:
        # Check the length first: int() of a very long text is slow.
        if text.isascii() and text.isdigit() and len(text) <= 19 and lowest <= (value := int(text)) <= highest:
            return value
        raise ValueError(f"must be an integer from {lowest} to {highest}")

    return parser


def numbers(most: int) -> Callable[[str], list[int]]:
    """Return a parser of 1 to `most` ids, separated by commas. Its result is sorted and has each id once."""
    each = number(1, MAX_ID)

    def parser(text: str) -> list[int]:
        parts = text.split(",")
        if len(parts) > most:
            raise ValueError(f"must be at most {most} ids")
        try:
            return sorted({each(part) for part in parts})
        except ValueError as error:
            raise ValueError(f"must be ids, separated by commas; each {error}") from None

    return parser


def choices(*known: str) -> Callable[[str], list[str]]:
    """Return a parser of one or more of the `known` words, separated by commas. Its result has each word once."""

    def parser(text: str) -> list[str]:
        words = text.split(",")
        if not set(words) <= set(known):
            raise ValueError(f"must be one or more of {', '.join(known)}, separated by commas")
        return list(dict.fromkeys(words))

    return parser


_path_id = number(1, MAX_ID)


def path_id(text: str) -> int:
    """Return the id in a path.

    Raises:
        Problem: `not-found`: the text cannot be an id.
    """
    try:
        return _path_id(text)
    except ValueError:
        raise Problem(kinds.NOT_FOUND, "Ids are positive integers; there is nothing under this one.") from None
