"""At most so many requests of one client's address in a while; off unless it is set."""

import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING

from flask import Flask

from .access import OPEN
from .problems import Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


RESOLVE_EVERY_S = 1.0  # how often at most names are looked up for an address that is not known


class Hosts:
    """The addresses behind names, which may change."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._addresses: dict[str, set[str]] = {}
        self._resolved_at = -RESOLVE_EVERY_S

    def __contains__(self, address: str) -> bool:
        now = time.monotonic()
        if not self._has(address) and now - self._resolved_at >= RESOLVE_EVERY_S:
            self._resolved_at = now
            for name in self._names:
                with suppress(OSError, UnicodeError):  # it is not there now, and keeps the addresses that it had
                    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
                    self._addresses[name] = {str(each[4][0]) for each in found}
        return self._has(address)

    def _has(self, address: str) -> bool:
        return any(address in addresses for addresses in self._addresses.values())


def limit(app: Flask, rate: str, exempt: Iterable[str] = ()) -> None:
    """Refuse what an address asks of `app` beyond `rate`, such as `100/second`.

    Probes are always answered, and the hosts in `exempt`: their names or addresses.

    Raises:
        SystemExit: `rate` cannot be read.
    """
    if not rate:
        return
    # Imported here, so that who sets no rate pays nothing for it.
    from limits import parse
    from limits.storage import MemoryStorage
    from limits.strategies import FixedWindowRateLimiter

    try:
        allowed = parse(rate)
    except ValueError:
        raise SystemExit(
            f"RATE_LIMIT is {rate!r}: write a number and a unit of time, such as 100/second or 5000/minute."
        ) from None
    windows = FixedWindowRateLimiter(MemoryStorage())
    known = Hosts(exempt)
    answer = app.wsgi_app

    def limited(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        address = environ["REMOTE_ADDR"]
        if environ["PATH_INFO"] in OPEN or windows.hit(allowed, address) or address in known:
            return answer(environ, start_response)
        seconds = max(1, ceil(windows.get_window_stats(allowed, address).reset_time - time.time()))
        response = Problem("too-many-requests", f"At most {allowed} from one address.").response()
        response.headers["Retry-After"] = str(seconds)
        return response(environ, start_response)

    app.wsgi_app = limited  # type: ignore[method-assign]
