"""gunicorn's parser of requests, within bounds: of a head, of the pieces of a body, of what is read in vain."""

from typing import Any

from gunicorn.http.body import Body, ChunkedReader
from gunicorn.http.errors import InvalidChunkSize, ParseException
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser

LARGEST_HEAD = 16 << 10  # bytes of header fields; also of trailers
MOST_CHUNKS = 4096  # of one body; a byte in each would cost a thousand times what the bytes do
DISCARD_STEP = 8 << 10  # bytes; less than this is kept while the next ones are waited for
MOST_DISCARDED = 2 << 20  # bytes of a refused body that are read, so that its client can still read the answer


class Chunks(ChunkedReader):  # type: ignore[misc]
    """A body in chunks, not too many of them."""

    left = MOST_CHUNKS

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> Any:
        self.left -= 1
        if self.left < 0:
            raise InvalidChunkSize(b"more than %d chunks" % MOST_CHUNKS)
        return super().parse_chunk_size(unreader, data)


class BoundedRequest(Request):  # type: ignore[misc]
    """A request whose head is not too large."""

    body: Any

    def parse(self, unreader: Any) -> Any:
        self.max_buffer_headers = LARGEST_HEAD
        return super().parse(unreader)

    def set_body_reader(self) -> None:
        super().set_body_reader()
        reader = self.body.reader
        if type(reader) is ChunkedReader:
            self.body = Body(Chunks(self, self.unreader))
        elif reader.length > MOST_DISCARDED:
            self.force_close()  # whether it is taken or refused: in time for the answer to say so


class BoundedParser(RequestParser):  # type: ignore[misc]
    """The requests of one connection."""

    mesg_class = BoundedRequest

    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> bool:
        """Discard what was not read of a body; False where it is too much or broken: then the connection must close."""
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


def close_after(body: Any) -> None:
    """Have the connection closed after the answer, which says so, since the rest of this chunked body is not read."""
    if isinstance(reader := getattr(body, "reader", None), ChunkedReader):
        reader.req.force_close()
