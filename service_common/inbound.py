"""What a request brings: its body, its query, its id in the path. Each is checked here, once."""

import re
from collections.abc import Callable, Collection, Mapping
from heapq import nsmallest
from typing import Any, TypeVar

from flask import Request
from gunicorn.http.errors import ParseException
from pydantic import BaseModel, ValidationError

from . import ijson
from .bounds import close_after
from .clients import LARGE_BODY, LONG_BODY, turn
from .problems import ERRORS_SHOWN, Problem, from_validation, pointer

MAX_ID = 2**63 - 1  # SQLite's largest row id
MOST_PARAMETERS = 64  # of a query; none takes more than a handful
MOST_MEMBERS = 100  # of an object that pydantic sees; the unknown ones of a larger one are found in less time
MOST_VALUES = 20_000  # of a body; the largest batch has 4,000
LONGEST_MEDIA_TYPE = 200  # characters
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = rf'charset=(?:utf-?8|"utf-?8")|(?!charset=){_WORD}=(?:{_WORD}|"[^"\\]*")'
JSON_IN_UTF_8 = re.compile(  # RFC 9110, section 8.3.1; of two charsets neither may be another
    rf"application/json(?:[ \t]*;[ \t]*(?:{_PARAMETER})?)*[ \t]*", re.IGNORECASE
)
Body = TypeVar("Body", bound=BaseModel)


def read_body(request: Request, limit: int) -> bytes:
    """The bytes of a JSON request, at most `limit`; one with a body takes no query parameters.

    Raises:
        Problem: `unsupported-media-type`, `malformed-body`, `body-too-large`, `validation`, `overloaded`.
    """
    environ = request.environ
    if environ["QUERY_STRING"]:
        query(request, {})
    if environ.get("CONTENT_TYPE") != "application/json" or "HTTP_CONTENT_ENCODING" in environ:
        _check_media_type(request)
    if environ.get("HTTP_TRANSFER_ENCODING", "chunked").lower() != "chunked":
        raise Problem("unsupported-media-type", "Send the body as application/json in UTF-8, not compressed.")
    length = int(environ.get("CONTENT_LENGTH") or -1)  # the server has refused what is not a number; -1: chunked
    if length > limit:
        raise too_large(limit)
    connection = environ.get("gunicorn.socket")
    source = environ["wsgi.input"]
    try:
        if length < 0:
            body: bytes = source.read(min(LONG_BODY, limit + 1))
            if len(body) == LONG_BODY <= limit:
                hold(connection, limit)
                body += source.read(limit + 1 - LONG_BODY)
        else:
            if length > LONG_BODY:
                hold(connection, length)
            body = source.read(length)
    except (OSError, ParseException) as error:
        raise Problem("malformed-body", f"The body broke off or its framing is wrong: {error}") from None
    if len(body) > limit:
        close_after(source)  # nobody knows how much more there is
        raise too_large(limit)
    if length >= 0 and len(body) != length:
        raise Problem("malformed-body", f"The body broke off after {len(body)} of {length} bytes.")
    return body


def hold(connection: Any, count: int) -> None:
    """Count `count` bytes as held by this connection until its next request; of no other server than ours.

    Raises:
        Problem: `overloaded`: all clients hold too much already.
    """
    if connection is not None and not connection.hold(count):
        raise Problem("overloaded", "Too many long bodies are on their way. Send it again later.")


def too_large(limit: int) -> Problem:
    return Problem("body-too-large", f"A body may have at most {limit} bytes.")


def _check_media_type(request: Request) -> None:
    given = request.environ.get("CONTENT_TYPE", "")
    coding = request.environ.get("HTTP_CONTENT_ENCODING", "").lower()
    if len(given) > LONGEST_MEDIA_TYPE or not JSON_IN_UTF_8.fullmatch(given) or coding not in ("", "identity"):
        raise Problem("unsupported-media-type", "Send the body as application/json in UTF-8, not compressed.")


def parse(model: type[Body], body: bytes) -> Body:
    """A body as an instance of `model`.

    Raises:
        Problem: `malformed-json`, `validation`; of a large body also `overloaded`.
    """
    if len(body) <= LARGE_BODY:
        return validate(model, _loads(body))
    with turn():
        value = _loads(body)
        if body.count(b",") > MOST_VALUES and ijson.commas(body) > MOST_VALUES:
            refused = [{"pointer": "", "detail": f"holds more than {MOST_VALUES} values"}]
            raise Problem("validation", "The body holds too many values.", refused)
        return validate(model, value)


def _loads(body: bytes) -> Any:
    try:
        return ijson.loads(body)
    except ValueError as error:
        raise Problem("malformed-json", f"The body is not I-JSON (RFC 7493): {error}.") from None


def validate(model: type[Body], value: Any) -> Body:
    """Parsed JSON as an instance of `model`.

    Raises:
        Problem: `validation`, naming each field.
    """
    if isinstance(value, dict) and len(value) > MOST_MEMBERS:
        raise crowded(value.keys() - model.model_fields.keys())
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problem = from_validation(error)
    # Raised here, so that it does not keep `error`: pydantic's errors hold the validators' own, which hold frames, and
    # the garbage collector cannot look into them. A batch, which keeps its problems, would never be freed.
    try:
        raise problem
    finally:
        del problem  # its traceback leads here: the two would keep each other, and the body


def crowded(unknown: Collection[str]) -> Problem:
    """What is wrong with a body of very many members; pydantic would describe each of them."""
    errors = [
        {"pointer": pointer((name,)), "detail": "Extra inputs are not permitted"}
        for name in nsmallest(ERRORS_SHOWN, unknown)
    ]
    return Problem("validation", f"{len(unknown)} of the body's fields cannot be accepted.", errors)


def query(request: Request, known: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """The query parameters that were given, each through its parser in `known`.

    Raises:
        Problem: `validation`: a parameter is unknown, given twice, or its parser raised ValueError.
    """
    if not request.query_string:
        return {}
    if (count := request.query_string.count(b"&") + 1) > MOST_PARAMETERS:
        refused = [{"parameter": "", "detail": f"{count} parameters; at most {MOST_PARAMETERS} are read"}]
        raise Problem("validation", "The query has too many parameters.", refused)
    values: dict[str, Any] = {}
    errors = []
    for name, texts in request.args.lists():
        try:
            if name not in known:
                raise ValueError(f"unknown here; known: {', '.join(known) or 'none'}")
            if len(texts) > 1:
                raise ValueError("given more than once")
            values[name] = known[name](texts[0])
        except ValueError as error:
            errors.append({"parameter": name[:100], "detail": str(error)})
    if errors:
        raise Problem("validation", "The query parameters cannot be accepted.", errors)
    return values


def number(lowest: int, highest: int) -> Callable[[str], int]:
    """A parser of decimal ASCII integers from `lowest` to `highest`."""

    def parser(text: str) -> int:
        # The length first: int() of a text of any length is slow, and then refused.
        if text.isascii() and text.isdigit() and len(text) <= 19 and lowest <= (value := int(text)) <= highest:
            return value
        raise ValueError(f"must be an integer from {lowest} to {highest}")

    return parser


def numbers(most: int) -> Callable[[str], list[int]]:
    """A parser of 1 to `most` ids with commas between them; sorted, each once."""
    each = number(1, MAX_ID)

    def parser(text: str) -> list[int]:
        parts = text.split(",")
        if len(parts) > most:
            raise ValueError(f"at most {most} ids")
        try:
            return sorted({each(part) for part in parts})
        except ValueError as error:
            raise ValueError(f"ids with commas between them; each {error}") from None

    return parser


def choices(*known: str) -> Callable[[str], list[str]]:
    """A parser of one or more of the `known` words, with commas between them."""

    def parser(text: str) -> list[str]:
        words = text.split(",")
        if not set(words) <= set(known):
            raise ValueError(f"one or more of {', '.join(known)}, with commas between them")
        return words

    return parser


_path_id = number(1, MAX_ID)


def path_id(text: str) -> int:
    """The id in a path.

    Raises:
        Problem: `not-found`: no id looks like this.
    """
    try:
        return _path_id(text)
    except ValueError:
        raise Problem("not-found", "Ids are positive integers; there is nothing under this one.") from None
