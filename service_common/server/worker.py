"""gunicorn's gevent worker: one process, one event loop, a greenlet for each connection.

It differs from gunicorn's in how it refuses requests, takes turns between connections, and stops.
"""

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import gevent
from gunicorn import util
from gunicorn.arbiter import Arbiter
from gunicorn.errors import AppImportError
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.ggevent import GeventWorker

from ..telemetry.request_id import new_request_id, request_id, usable
from . import gunicorn_patches
from .errors import Refusal, RefusalAnswer
from .parser_limits import detail_of

if TYPE_CHECKING:  # the arbiter imports this module and should not load prometheus_client and pydantic
    from ..settings import Settings
    from .connection_limits import ConnectionLimits
    from .connections import AwaitingRequest, Connection

GRACE_S = 12  # seconds that requests in flight have when the service stops; then the write queue drains
POLL_S = 0.2  # seconds between two looks at signals to stop and at time limits


class Application(Protocol):
    """The WSGI application, as the worker uses it."""

    connections: "ConnectionLimits"
    draining: bool  # set when the service is stopping
    settings: "Settings"

    def __call__(self, environ: Any, start_response: Any) -> Any: ...
    def refuse(self, refusal: Refusal) -> RefusalAnswer: ...
    def close(self) -> None: ...


class RefusedRequest:
    """A request that gunicorn refuses before the application sees it."""

    def __init__(self, worker: "Worker", connection: "Connection", request: Any, error: BaseException) -> None:
        self._application = worker.wsgi
        self._connection = connection
        self._detail = detail_of(error)
        self._field = str(getattr(error, "hdr", ""))
        request = request or getattr(error, "unparsed", None)
        self._is_head = request is not None and request.is_head()
        sent = "" if request is None else request.sent_request_id()
        self.id = sent if usable(sent) else new_request_id()

    def answer(self, status: int) -> None:
        """Send the application's answer to the refusal, and say that the connection closes."""
        answer = self._application.refuse(Refusal(status, self._detail, self._field))
        fields = [
            ("Date", gunicorn_patches.http_date()), ("Connection", "close"), ("X-Request-ID", self.id), *answer.headers
        ]  # fmt: skip
        headers = "".join(f"{name}: {value}\r\n" for name, value in fields)
        body = b"" if self._is_head else answer.body
        util.write_nonblock(self._connection, f"HTTP/1.1 {answer.status}\r\n{headers}\r\n".encode("latin-1") + body)


class Worker(GeventWorker):  # type: ignore[misc]
    """The worker process of a service."""

    wsgi: Application

    def init_process(self) -> None:
        gunicorn_patches.install(self)
        super().init_process()

    def load_wsgi(self) -> None:
        """Build the application. Where that fails, log why and end the service instead of starting it again."""
        try:
            super().load_wsgi()
        except SystemExit as refusal:
            self.log.critical("%s", refusal)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        except AppImportError as error:
            self.log.critical("%s", error)
            sys.exit(Arbiter.APP_LOAD_ERROR)
        except Exception:  # whatever it is, gunicorn would also print it
            self.log.exception("the application could not be built")
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def handle_error(self, request: Any, connection: "Connection", address: Any, error: BaseException) -> None:
        """Log and answer a request that cannot be served, both under one id."""
        refused = RefusedRequest(self, connection, request, error)
        request_id.set(refused.id)
        super().handle_error(request, refused, address, error)

    def timeout_ctx(self) -> "AwaitingRequest":
        """Return the context in which the next request of the current connection is awaited."""
        awaiting: AwaitingRequest = gevent.getcurrent().connection.awaiting_request
        return awaiting

    def handle_request(self, *args: Any) -> Any:
        """Serve one request, then let the other connections have their turn.

        Without that, a client whose next request is already here is served again and again, and the others wait.
        """
        again = super().handle_request(*args)
        gevent.sleep(0)  # after a write too: by its next turn its next request is often here, and costs no waiting
        return again

    def handle(self, listener: Any, client: "Connection", addr: Any) -> None:
        AsyncWorker.handle(self, listener, client, addr)

    def run(self) -> None:
        """Serve until `stop_delay` after a signal to stop, then finish the requests in flight within `GRACE_S`."""
        connections = self.wsgi.connections
        acceptors = []
        for listener in self.sockets:
            listener.setblocking(True)
            acceptors.append(connections.serve(listener, partial(self.handle, listener)))
        while self.alive:
            self._watch()
        self.wsgi.draining = True
        closes = time.monotonic() + self.wsgi.settings.stop_delay
        while time.monotonic() < closes:
            self._watch()
        for acceptor in acceptors:
            acceptor.close()
        with gevent.Timeout(GRACE_S, False):
            while any(acceptor.pool for acceptor in acceptors):
                connections.end_idle()
                connections.sweep()
                self.notify()
                gevent.wait([greenlet for acceptor in acceptors for greenlet in acceptor.pool], timeout=POLL_S)
        for acceptor in acceptors:
            if acceptor.pool:
                self.log.warning("%d requests did not end in time", len(acceptor.pool))
                acceptor.stop(timeout=1)

    def _watch(self) -> None:
        """Keep the time limits of connections for `POLL_S` seconds, while others serve them."""
        connections = self.wsgi.connections
        self.notify()
        connections.sweep()
        began = time.monotonic()
        gevent.sleep(POLL_S)
        now = time.monotonic()
        connections.lag.note(now - began - POLL_S, now)
