"""Everything that this project changes in gunicorn, each change with its reason. Written against gunicorn 27.0.1.

The limits of its parser are in parser_limits.py, the worker in worker.py; both only subclass.
"""

import logging
import time
from functools import lru_cache
from typing import Any

from gunicorn import http, util
from gunicorn.glogging import Logger
from gunicorn.http import wsgi

from ..telemetry import logs
from .parser_limits import LimitedParser

LOGGER = "server"


class ServerLog(Logger):  # type: ignore[misc]
    """gunicorn's log in the shape of ours, in the arbiter too.

    It has no lines for requests, because each service writes its own, and quotes nothing that a client sent, because
    that may be a secret.
    """

    def __init__(self, cfg: Any) -> None:
        logs.take_over_standard_streams()
        logs.JsonFormatter.service = service_of(cfg.default_proc_name)
        super().__init__(cfg)
        self.error_log = logging.getLogger(LOGGER)
        self.error_log.setLevel(self.loglevel)

    def access(self, *_args: Any) -> None:
        return None

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        if msg.startswith("Invalid request from"):
            msg = ": ".join(msg.split(": ")[:2])  # the address and the kind of error; the rest is a quotation
        super().warning(msg, *args, **kwargs)

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        super().exception(msg, *(str(arg).partition("?")[0] for arg in args), **kwargs)


def service_of(application: str) -> str:
    """Return the service that an application belongs to: users, of `users_service.app:create_app()`."""
    return application.partition(":")[0].partition(".")[0].removesuffix("_service")


class Reply(wsgi.Response):  # type: ignore[misc]
    """gunicorn's response, with two changes.

    Its headers wait for the first piece of the body, so that one system call sends both. And it says
    `Connection: close` when the stop came after the request had begun: gunicorn decides that before it
    calls the application.
    """

    worker: Any = None  # the one of this process
    unsent = b""  # headers
    headers_sent: bool
    closes = False  # what the headers say of the connection

    def should_close(self) -> bool:
        """Return what the headers say, once they are sent: a connection that they keep must not close."""
        if self.headers_sent:
            return self.closes
        return self.sock.must_close or not self.worker.alive or bool(super().should_close())

    def send_headers(self) -> None:
        """Make the headers ready. They leave with what comes next."""
        if not self.headers_sent:
            self.closes = self.should_close()
            self.headers_sent = True
            lines = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers), "\r\n"]
            self.unsent = "".join(lines).encode("latin-1")

    def can_sendfile(self) -> bool:
        """Return False: the file would leave before the headers."""
        return False

    def _emit_body(self, data: bytes) -> None:
        headers, self.unsent = self.unsent, b""
        if self.chunked:
            data = b"%X\r\n%s\r\n" % (len(data), data)
        self.sock.sendall(headers + data)

    def close(self) -> None:
        """Send what still waits: the headers of a response without a body, or the last chunk."""
        self.send_headers()
        if self.unsent or self.chunked:
            self.sock.sendall(self.unsent + (b"0\r\n\r\n" if self.chunked else b""))


_format_date = util.http_date


@lru_cache(maxsize=1)
def _date_of(second: int) -> str:
    date: str = _format_date(second)
    return date


def http_date(timestamp: float | None = None) -> str:
    """Return the date of a response. gunicorn formats one for each response; this formats one a second."""
    return _date_of(int(time.time() if timestamp is None else timestamp))


_base_environ = lru_cache(maxsize=1)(wsgi.base_environ)


def base_environ(cfg: Any) -> dict[str, Any]:
    """Return the constant part of a WSGI environment. gunicorn builds it for each request; this copies it."""
    return dict(_base_environ(cfg))


def settle_settings(cfg: Any) -> None:
    """Make plain attributes of gunicorn's settings. It looks each one up through two calls, many times a request."""
    vars(cfg).update({name: setting.get() for name, setting in cfg.settings.items()})


def write_error(refused: Any, status: int, _reason: str, _message: str) -> None:
    """Let the worker answer a refused request; gunicorn would send a page of HTML."""
    refused.answer(status)


def install(worker: Any) -> None:
    """Patch gunicorn in the process of `worker`."""
    settle_settings(worker.cfg)
    Reply.worker = worker
    util.write_error = write_error
    util.http_date = http_date
    wsgi.Response = Reply
    wsgi.base_environ = base_environ
    http.RequestParser = LimitedParser
