"""The body of a request: read, parsed and validated."""

import re
from collections.abc import Collection
from hashlib import sha256
from heapq import nsmallest
from typing import Any, TypeVar

from flask import Request
from pydantic import BaseModel, ValidationError

from ..server import parser_limits
from ..server.errors import ServerError
from ..server.heavy_requests import LARGE_BODY, heavy_request
from ..storage.database import Key
from . import ijson
from . import problem_kinds as kinds
from .problems import ERRORS_SHOWN, UNKNOWN_FIELD, Problem, from_server, from_validation, pointer, wrong_body
from .query import query

KEY_LENGTH = 255  # characters of an Idempotency-Key
KEY = re.compile(f"[!-~]{{1,{KEY_LENGTH}}}")
MOST_MEMBERS = 100  # of an object that pydantic checks; in a larger one the unknown members are found faster
MOST_VALUES = 20_000  # of a body; the largest batch has 4,000
LONGEST_MEDIA_TYPE = 200  # characters
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = rf'charset=(?:utf-?8|"utf-?8")|(?!charset=){_WORD}=(?:{_WORD}|"[^"\\]*")'
JSON_IN_UTF_8 = re.compile(  # RFC 9110, section 8.3.1; every charset parameter must be UTF-8
    rf"application/json(?:[ \t]*;[ \t]*(?:{_PARAMETER})?)*[ \t]*", re.IGNORECASE
)
Body = TypeVar("Body", bound=BaseModel)


def read_body(request: Request, limit: int) -> bytes:
    """Return the body of a JSON request, at most `limit` bytes. Such a request takes no query parameters.

    Raises:
        Problem: `unsupported-media-type`, `malformed-body`, `body-too-large`, `validation`, `overloaded`.
    """
    environ = request.environ
    if environ["QUERY_STRING"]:
        query(request, {})
    if environ.get("CONTENT_TYPE") != "application/json" or "HTTP_CONTENT_ENCODING" in environ:
        _check_media_type(request)
    if environ.get("HTTP_TRANSFER_ENCODING", "chunked").lower() != "chunked":
        raise unsupported()
    try:
        return parser_limits.read_body(environ, limit)
    except ServerError as error:
        raise from_server(error) from None


def _check_media_type(request: Request) -> None:
    given = request.environ.get("CONTENT_TYPE", "")
    coding = request.environ.get("HTTP_CONTENT_ENCODING", "").lower()
    if len(given) > LONGEST_MEDIA_TYPE or not JSON_IN_UTF_8.fullmatch(given) or coding not in ("", "identity"):
        raise unsupported()


def unsupported() -> Problem:
    return Problem(kinds.UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json in UTF-8, not compressed.")


def read(request: Request, model: type[Body], limit: int) -> tuple[Body, Key | None]:
    """Read a request with a JSON body of at most `limit` bytes. Return the body as a `model`, and the Idempotency-Key.

    Raises:
        Problem: as `read_body` and `validate`, and `malformed-json`, `idempotency-key-invalid`.
    """
    body = read_body(request, limit)
    name = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if name is not None and not KEY.fullmatch(name):  # the server empties a key that was sent twice
        raise Problem(
            kinds.IDEMPOTENCY_KEY_INVALID, f"Send one key of 1 to {KEY_LENGTH} visible ASCII characters, or none."
        )
    try:
        value, canonical = _parse(request, body, name is not None)
    except ValueError as error:
        raise Problem(kinds.MALFORMED_JSON, f"The body is not I-JSON (RFC 7493): {error}.") from None
    key = Key(name, sha256(request.path.encode() + b"\n" + canonical).digest()) if name is not None else None
    return validate(model, value), key


def _parse(request: Request, body: bytes, keyed: bool) -> tuple[Any, bytes]:
    """Parse a body, a large one in its turn. Return its value and, for a keyed request, its canonical form."""
    if len(body) <= LARGE_BODY:
        value = ijson.loads(body)
        return value, ijson.canonical(value) if keyed else b""
    with heavy_request(request.environ):
        value = ijson.loads(body)
        if body.count(b",") > MOST_VALUES and ijson.commas(body) > MOST_VALUES:
            refused = [{"pointer": "", "detail": f"holds more than {MOST_VALUES} values"}]
            raise Problem(kinds.VALIDATION, "The body holds too many values.", refused)
        return value, ijson.canonical(value) if keyed else b""


def validate(model: type[Body], value: Any) -> Body:
    """Return parsed JSON as an instance of `model`.

    Raises:
        Problem: `validation`, naming each field.
    """
    if isinstance(value, dict) and len(value) > MOST_MEMBERS:
        raise crowded(value.keys() - model.model_fields.keys())
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problem = from_validation(error)
    # Raise outside the handler, so that the problem does not keep `error`. pydantic's errors hold frames, and the
    # garbage collector cannot look into them: a batch, which keeps its problems, would never be freed.
    try:
        raise problem
    finally:
        del problem  # its traceback refers to this frame: the two would keep each other, and the body


def crowded(unknown: Collection[str]) -> Problem:
    """Return the problem of an object with very many unknown members. pydantic would describe each of them."""
    errors = [{"pointer": pointer((name,)), "detail": UNKNOWN_FIELD} for name in nsmallest(ERRORS_SHOWN, unknown)]
    return wrong_body(len(unknown), errors)
