"""At most so many requests of one client's address in a while; off unless it is set."""

import time
from collections.abc import Iterable
from math import ceil
from typing import TYPE_CHECKING

from flask import Flask

from .access import OPEN
from .problems import Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def limit(app: Flask, rate: str) -> None:
    """Refuse what an address asks of `app` beyond `rate`, such as `100/second`; probes are always answered.

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
    answer = app.wsgi_app

    def limited(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        address = environ["REMOTE_ADDR"]
        if environ["PATH_INFO"] in OPEN or windows.hit(allowed, address):
            return answer(environ, start_response)
        seconds = max(1, ceil(windows.get_window_stats(allowed, address).reset_time - time.time()))
        response = Problem("too-many-requests", f"At most {allowed} from one address.").response()
        response.headers["Retry-After"] = str(seconds)
        return response(environ, start_response)

    app.wsgi_app = limited  # type: ignore[method-assign]
