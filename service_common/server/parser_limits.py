"""gunicorn's request parser, with limits on headers, chunks and discarded bytes, and the reading of a body.

Written against gunicorn 27.0.1 and its parser in Python.
"""

import re
from collections.abc import Mapping
from typing import Any

from gunicorn.http import errors
from gunicorn.http.body import Body, ChunkedReader
from gunicorn.http.errors import ExpectationFailed, InvalidChunkSize, InvalidHeader, ParseException
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser

from .connections import EvictedBody
from .errors import BodyTooLarge, BrokenBody, TooManyLargeRequests

LARGEST_HEADERS = 16 << 10  # bytes of header fields; also of trailers
MOST_CHUNKS = 4096  # of one body; a chunk for each byte costs a thousand times what the bytes do
DISCARD_STEP = 8 << 10  # bytes; fewer are kept while the next ones are waited for
MOST_DISCARDED = 2 << 20  # bytes of a refused body that are read, so that its client can still read the answer
LONG_BODY = 8 << 10  # bytes; a longer one counts towards the bytes that all connections may hold
NO_ROOM = "Too many requests are being sent at once. Send this one again later."
SINGLE = frozenset({"AUTHORIZATION", "IDEMPOTENCY-KEY"})  # fields that must not be sent twice
SENT_ID = re.compile(rb"\r\nX-Request-ID:[ \t]*([^\r\n]*)", re.IGNORECASE)


# The sentence for the client, by the error of gunicorn. Its own sentences quote the request.
DETAILS = {
    errors.InvalidRequestLine: "The request line is not a method, a path and HTTP/1.1, with one space between them.",
    errors.InvalidRequestMethod: "The method is not one that HTTP allows: write it in capitals.",
    errors.InvalidHTTPVersion: "Use HTTP/1.1 or HTTP/1.0.",
    errors.InvalidHeaderName: "The name of a header field holds characters that HTTP does not allow.",
    errors.InvalidHeader: "A header field is malformed, was sent twice, or contradicts another one.",
    errors.ObsoleteFolding: "A header field goes on in the next line, which HTTP no longer allows.",
    errors.LimitRequestLine: "The request line is longer than 8190 bytes.",
    errors.LimitRequestHeaders: "More than 100 header fields, one over 8190 bytes, or more than 16 KiB of them.",
    errors.ExpectationFailed: "The only expectation that this service knows is 100-continue.",
    errors.UnsupportedTransferCoding: "The only transfer coding that this service knows is chunked.",
}
OTHER_DETAIL = "The request breaks the rules of HTTP/1.1."


def detail_of(error: BaseException) -> str:
    """Return the sentence with which a request is refused for `error`."""
    field = getattr(error, "hdr", None)
    if type(error) is InvalidHeader and field == "HOST":
        return "Send one Host header field."
    return DETAILS.get(type(error), OTHER_DETAIL)


def members(fields: list[tuple[str, str]], name: str) -> set[str]:
    """Return the members of a list-valued header field, of all its lines, in lower case: RFC 9110, section 5.6.1."""
    found = {member.strip(" \t").lower() for field, value in fields if field == name for member in value.split(",")}
    return found - {""}


class LimitedChunks(ChunkedReader):  # type: ignore[misc]
    """A chunked body with a limit on the number of chunks."""

    left = MOST_CHUNKS

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> Any:
        self.left -= 1
        if self.left < 0:
            raise InvalidChunkSize(b"more than %d chunks" % MOST_CHUNKS)
        return super().parse_chunk_size(unreader, data)


class LimitedRequest(Request):  # type: ignore[misc]
    """A request with a limit on its headers, whose list-valued header fields are read as lists."""

    body: Any
    headers: list[tuple[str, str]]
    received = b""  # its headers as far as they have come

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except ParseException as error:
            error.unparsed = self  # its answer depends on what can be read of it
            raise
        self._require_host()
        self._empty_repeated()
        self.received = b""

    def parse(self, unreader: Any) -> Any:
        self.max_buffer_headers = LARGEST_HEADERS
        return super().parse(unreader)

    def read_into(self, unreader: Any, buf: Any, stop: bool = False) -> None:
        super().read_into(unreader, buf, stop)
        self.received = buf

    def parse_headers(self, data: bytes, from_trailer: bool = False) -> Any:
        """Accept an Expect whose members are all `100-continue`. gunicorn knows it as a single value only."""
        try:
            return super().parse_headers(data, from_trailer)
        except ExpectationFailed:
            self._policy_expect_continue = False
            headers = super().parse_headers(data, from_trailer)
            expected = members(headers, "EXPECT")
            if expected - {"100-continue"}:
                raise
            self._expected_100_continue = bool(expected) and self.version >= (1, 1)
            return headers

    def set_body_reader(self) -> None:
        super().set_body_reader()
        reader = self.body.reader
        if type(reader) is ChunkedReader:
            self.body = Body(LimitedChunks(self, self.unreader))
        elif reader.length > MOST_DISCARDED:
            self.force_close()  # now, so that the answer says so, whether the body is accepted or not

    def should_close(self) -> bool:
        """Return True where the client or the server wants the connection closed: RFC 9112, section 9.3.

        gunicorn reads the first Connection line only, as a single value.
        """
        if self.must_close or self.method == "CONNECT":
            return True
        for name, _ in self.headers:
            if name == "CONNECTION":
                options = members(self.headers, name)
                return "close" in options or (self.version < (1, 1) and "keep-alive" not in options)
        return bool(self.version < (1, 1))

    def _require_host(self) -> None:
        """Refuse a request of HTTP/1.1 without Host: RFC 9112, section 3.2. gunicorn refuses two.

        Raises:
            InvalidHeader: gunicorn answers it with 400.
        """
        if self.version >= (1, 1) and not any(name == "HOST" for name, _ in self.headers):
            error = InvalidHeader("HOST")
            error.unparsed = self
            raise error

    def _empty_repeated(self) -> None:
        """Empty a header field that has one value only and was sent more than once.

        The application sees repeated fields joined by commas, which a single value may contain too. It refuses an
        empty one.
        """
        found = [name for name, _ in self.headers if name in SINGLE]
        if len(found) > 1 and (repeated := {name for name in found if found.count(name) > 1}):
            self.headers = [field for field in self.headers if field[0] not in repeated]
            self.headers += [(name, "") for name in repeated]

    def sent_request_id(self) -> str:
        """Return the X-Request-ID of a request that may not be parsed to its end; empty without exactly one."""
        found = [value for name, value in self.headers if name == "X-REQUEST-ID"]
        if not self.headers:
            headers = bytes(self.received).partition(b"\r\n\r\n")[0]
            found = [value.strip(b" \t").decode("latin-1") for value in SENT_ID.findall(b"\r\n" + headers)]
        return found[0] if len(found) == 1 else ""

    def is_head(self) -> bool:
        """Return True for the method HEAD, also where the request line could not be read to its end."""
        return self.method == "HEAD" or (self.method is None and self.received[:5] == b"HEAD ")


class LimitedParser(RequestParser):  # type: ignore[misc]
    """The requests of one connection."""

    mesg_class = LimitedRequest

    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> bool:
        """Discard the unread rest of a body. Return False where it is too long or broken: the connection must close."""
        if self.mesg is None:
            return True
        body = self.mesg.body
        left = MOST_DISCARDED
        while left > 0 and not body.failed:
            try:
                piece = body.read(DISCARD_STEP)
            except (OSError, ParseException):  # its request has been answered: there is no second answer
                return False
            if not piece:
                return True
            left -= len(piece)
        return False


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """Return the body of a request, at most `limit` bytes.

    Raises:
        BodyTooLarge, BrokenBody
        TooManyLargeRequests: all connections hold too much already.
    """
    length = int(environ.get("CONTENT_LENGTH") or -1)  # the parser has refused what is not a number; -1: chunked
    if length > limit:
        raise BodyTooLarge(f"A body may have at most {limit} bytes.")
    source = environ["wsgi.input"]
    try:
        if length < 0:
            body: bytes = source.read(min(LONG_BODY, limit + 1))
            if len(body) == LONG_BODY <= limit:
                _hold(environ, limit)
                body += source.read(limit + 1 - LONG_BODY)
        else:
            if length > LONG_BODY:
                _hold(environ, length)
            body = source.read(length)
    except EvictedBody:
        _close_after_answer(environ)
        raise TooManyLargeRequests(NO_ROOM) from None
    except OSError:
        _close_after_answer(environ)
        raise BrokenBody("The body ended early or did not arrive in time.") from None
    except ParseException:
        _close_after_answer(environ)
        raise BrokenBody("The chunks of the body, or their number, break the rules of HTTP/1.1.") from None
    if len(body) > limit:  # a chunked body: nobody knows how much more there is
        _close_after_answer(environ)
        raise BodyTooLarge(f"A body may have at most {limit} bytes.")
    if length >= 0 and len(body) != length:
        _close_after_answer(environ)
        raise BrokenBody(f"The body ended after {len(body)} of {length} bytes.")
    return body


def _hold(environ: Mapping[str, Any], count: int) -> None:
    connection = environ.get("gunicorn.socket")
    if connection is not None and not connection.hold(count):  # None: another server than ours
        raise TooManyLargeRequests(NO_ROOM)


def _close_after_answer(environ: Mapping[str, Any]) -> None:
    """Let the answer say that the connection closes: nobody knows where the next request would begin."""
    connection = environ.get("gunicorn.socket")
    if connection is not None:
        connection.must_close = True
