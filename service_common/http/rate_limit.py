"""A limit on the requests of one client address. It is off unless RATE_LIMIT is set."""

import time
from collections.abc import Iterable
from ipaddress import ip_address
from math import ceil
from typing import TYPE_CHECKING

from flask import Flask

from ..settings import Network
from . import problem_kinds as kinds
from .auth import OPEN
from .problems import Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def init_app(app: Flask, rate: str, exempt: tuple[Network, ...] = ()) -> None:
    """Refuse requests to `app` from one address beyond `rate`, such as `100/second`.

    Probes are always answered, and so is every address in a network of `exempt`.

    Raises:
        SystemExit: `rate` cannot be read.
    """
    if not rate:
        return
    # Imported here: a service without a rate does not pay for it.
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
        if environ["PATH_INFO"] in OPEN or windows.hit(allowed, address) or _is_in(address, exempt):
            return answer(environ, start_response)
        seconds = max(1, ceil(windows.get_window_stats(allowed, address).reset_time - time.time()))
        rule = f"One address may send {allowed.amount} requests in {allowed.get_expiry()} s. Nothing was written."
        response = Problem(kinds.RATE_LIMITED, rule).response()
        response.headers["Retry-After"] = str(seconds)
        return response(environ, start_response)

    app.wsgi_app = limited  # type: ignore[method-assign]


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    """Return whether an address lies in one of `networks`. An IPv4 address counts as such inside IPv6, too."""
    if not networks or not address:
        return False
    client = ip_address(address.partition("%")[0])
    client = getattr(client, "ipv4_mapped", None) or client
    return any(client in network for network in networks)
