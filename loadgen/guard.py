"""Who may use the page: those who present a token, where one is configured; and no page of another site.

Locust itself lets any origin read its page and start runs on it.
"""

import hmac
import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from flask import Flask, Response, request


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens at `host`; other names than localhost count as reachable."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_nobodys_domain(host: str) -> bool:
    """Whether a name can be nobody's domain, so that no page of somebody else can have it lead here: an address, or one
    without a dot, such as localhost, or loadgen in a network of containers."""
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return bool(host) and "." not in host


def protect(app: Flask, tokens: Sequence[str]) -> None:
    """Refuse what does not present one of `tokens`, and what other sites make a browser send.

    A token is presented as `Authorization: Bearer`, or as the password of HTTP Basic, which browsers ask for.
    Without tokens the page answers under no name of a domain: one that leads here is a rebinding.
    """

    @app.before_request
    def admit() -> Response | None:
        given = request.authorization
        secret = ((given.token or given.password or "") if given else "").encode("utf-8", "replace")
        if tokens:
            # Every token is compared, and in constant time: how long it takes tells nothing.
            if not any([hmac.compare_digest(secret, token.encode()) for token in tokens]):  # noqa: C419
                return refusal(401, "This page needs the token: as password, with any name, or as bearer.")
        elif not is_nobodys_domain(urlsplit(f"//{request.host}").hostname or ""):
            return refusal(403, "Without a token this page answers under localhost or an address: set API_TOKEN.")
        if foreign():
            return refusal(403, "Another site has sent this request.")
        return None

    @app.after_request
    def keep_to_itself(response: Response) -> Response:
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
        return response


def foreign() -> bool:
    """Whether a page of another origin made the browser send the request; following a link to a page is no harm."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        return True
    link = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.endpoint in ("locust.index", "audit.show")
    return request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and not link


def refusal(status: int, reason: str) -> Response:
    """An answer that tells nothing but why."""
    headers = {"WWW-Authenticate": 'Basic realm="loadgen", charset="UTF-8"'} if status == 401 else None
    return Response(f"{reason}\n", status, headers, mimetype="text/plain")
