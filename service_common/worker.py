"""gunicorn's gevent worker, with four things of our own: errors as problem details, bounds on what clients
hold, a stop that waits for requests but not for idle connections, and less work for each request."""

import json
import sys
import time
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import gevent
from gunicorn import http, util
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.http import wsgi
from gunicorn.http.errors import InvalidHeader
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.ggevent import GeventWorker

from .bounds import BoundedParser
from .logs import new_request_id, request_id

if TYPE_CHECKING:  # gunicorn's first process imports this module, and has no use for Flask and pydantic
    from .clients import Between, Connection

SINGLE = frozenset({"AUTHORIZATION", "IDEMPOTENCY-KEY"})  # fields that must not be sent twice
KINDS = {  # as in problems.py, which would bring Flask into gunicorn's first process
    400: ("malformed-body", "The request is not framed correctly"),
    500: ("internal", "The service failed"),
}
INVALID_KEY = ("idempotency-key-invalid", "The Idempotency-Key cannot be used")  # a control character in it
GRACE_S = 12  # that requests in flight have when the service stops; then the writer drains
POLL_S = 0.2  # how soon a signal to stop is seen, and that a client has used up its time


def write_problem(sock: Any, status: int, reason: str, message: str) -> None:
    """Answer what never became a request as a problem; in the place of gunicorn's page of HTML."""
    if status == 501:  # an unknown transfer coding: the framing is the client's fault
        status, reason = 400, "Bad Request"
    kind, title = KINDS.get(status) or (reason.lower().replace(" ", "-"), reason)
    if message == str(InvalidHeader("IDEMPOTENCY-KEY")):
        kind, title = INVALID_KEY
        message = "Send one key of 1 to 255 visible ASCII characters; this one holds a control character."
    id = request_id.get()
    problem = {"type": f"/problems/{kind}", "title": title, "status": status, "detail": message[:500], "request_id": id}
    body = json.dumps(problem).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nDate: {http_date()}\r\nConnection: close\r\n"
        f"Content-Type: application/problem+json\r\nX-Request-ID: {id}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(sock, head.encode() + body)


class Reply(wsgi.Response):  # type: ignore[misc]
    """gunicorn's response, whose head waits for the first piece of the body: one system call sends both."""

    head = b""
    headers_sent: bool

    def send_headers(self) -> None:
        """Make the head ready; it leaves with what comes next."""
        if not self.headers_sent:
            self.headers_sent = True
            lines = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers), "\r\n"]
            self.head = "".join(lines).encode("latin-1")

    def can_sendfile(self) -> bool:
        """It would leave before its head."""
        return False

    def _emit_body(self, data: bytes) -> None:
        head, self.head = self.head, b""
        if self.chunked:
            data = b"%X\r\n%s\r\n" % (len(data), data)
        self.sock.sendall(head + data)

    def close(self) -> None:
        """Send what waits still: the head of a response without a body, or the last chunk."""
        self.send_headers()
        if self.head or self.chunked:
            self.sock.sendall(self.head + (b"0\r\n\r\n" if self.chunked else b""))


@lru_cache(maxsize=1)
def _http_date(second: int) -> str:
    date: str = _format_date(second)
    return date


def http_date(timestamp: float | None = None) -> str:
    """gunicorn's function, which formats a date for each response; here one a second."""
    return _http_date(int(time.time() if timestamp is None else timestamp))


_format_date = util.http_date
_base_environ = lru_cache(maxsize=1)(wsgi.base_environ)  # always the same, and made for each request

util.write_error = write_problem
util.http_date = http_date
wsgi.Response = Reply
wsgi.base_environ = lambda cfg: dict(_base_environ(cfg))
http.RequestParser = BoundedParser


def refuse_repeated(request: Any) -> None:
    """Empty a header field that was sent more than once but has one value only.

    The application sees repeated fields joined by commas, which a single value may hold as well; an
    empty one it refuses.
    """
    found = [name for name, _ in request.headers if name in SINGLE]
    if len(found) > 1 and (repeated := {name for name in found if found.count(name) > 1}):
        request.headers = [field for field in request.headers if field[0] not in repeated]
        request.headers += [(name, "") for name in repeated]


def require_host(request: Any) -> None:
    """Refuse a request of HTTP/1.1 without Host: RFC 9112, section 3.2. Of two, gunicorn has refused it.

    Raises:
        InvalidHeader: gunicorn answers it with 400.
    """
    if request.version >= (1, 1) and not any(name == "HOST" for name, _ in request.headers):
        raise InvalidHeader("HOST")


class Log(Logger):  # type: ignore[misc]
    """gunicorn's log without its lines for requests: each service writes its own. Nor does it quote what was sent."""

    def access(self, *_args: Any) -> None:
        return None

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        if msg.startswith("Invalid request from"):
            msg = ": ".join(msg.split(": ")[:2])  # who, and what is wrong; the rest quotes it, and may be a secret
        super().warning(msg, *args, **kwargs)

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        super().exception(msg, *(str(arg).partition("?")[0] for arg in args), **kwargs)


class Worker(GeventWorker):  # type: ignore[misc]
    """One process, one event loop, a greenlet for each connection."""

    def load_wsgi(self) -> None:
        """Build the application. One that cannot start says why, and is not tried again and again."""
        try:
            super().load_wsgi()
        except SystemExit as refusal:
            self.log.critical("%s", refusal)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def handle_error(self, *args: Any) -> None:
        """Log and answer what cannot be served, both under one id."""
        request_id.set(new_request_id())
        super().handle_error(*args)

    def timeout_ctx(self) -> "Between":
        between: Between = gevent.getcurrent().connection.between
        return between

    def handle_request(self, listener: Any, request: Any, *args: Any) -> Any:
        """Serve one request, then let the other connections have their turn.

        Without that a client whose next request is already here is served again and again, and the rest wait.
        """
        require_host(request)
        refuse_repeated(request)
        again = super().handle_request(listener, request, *args)
        gevent.sleep(0)  # after a write too: by its next turn its next request is often here, and costs no waiting
        return again

    def handle(self, listener: Any, client: "Connection", addr: Any) -> None:
        AsyncWorker.handle(self, listener, client, addr)

    def run(self) -> None:
        """Serve until told to stop; then finish the requests in flight, within `GRACE_S`."""
        clients = self.wsgi.clients
        servers = []
        for listener in self.sockets:
            listener.setblocking(True)
            servers.append(clients.serve(listener, partial(self.handle, listener)))
        while self.alive:
            self.notify()
            clients.sweep()
            gevent.sleep(POLL_S)
        self.wsgi.draining = True
        for server in servers:
            server.close()
        with gevent.Timeout(GRACE_S, False):
            while any(server.pool for server in servers):
                clients.end_idle()
                clients.sweep()
                self.notify()
                gevent.wait([greenlet for server in servers for greenlet in server.pool], timeout=POLL_S)
        for server in servers:
            if server.pool:
                self.log.warning("%d requests did not end in time", len(server.pool))
                server.stop(timeout=1)
