"""Access to the page: only with a token, where one is configured, and never for a page of another site.

Locust itself lets any origin read its page and start runs on it.
"""

import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from flask import Flask, Response, request

EVERY_ADDRESS = ("", "*", "0.0.0.0", "::")  # noqa: S104 - these mean that a server listens at every address


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach `host`; names other than localhost count as reachable."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def reachable_address(environ: Mapping[str, str], host: str) -> str | None:
    """Return the address at which others can reach a page that listens at `host`; None: only this machine can."""
    published = environ.get("BIND_ADDRESS", "")
    addresses = [published] if _in_container(environ, host) else [published or host, host]
    return next((address or "*" for address in addresses if not is_loopback(address)), None)


def page_url(environ: Mapping[str, str], host: str, port: int, base: str = "") -> str:
    """Return the address to open in a browser: PAGE_URL, or where a container publishes the page, or `host`."""
    if _in_container(environ, host):
        host, port = environ["BIND_ADDRESS"], int(environ.get("LOADGEN_PORT") or port)
    given = urlsplit(environ.get("PAGE_URL", ""))
    base = given.path.rstrip("/") or base
    suffix = f":{port}"
    if given.hostname:
        host, suffix = given.hostname, f":{given.port}" if given.port else ""
    if host in EVERY_ADDRESS:
        host = "127.0.0.1"
    if ":" in host.strip("[]"):
        host = f"[{host.strip('[]')}]"
    return f"{given.scheme or 'http'}://{host}{suffix}{base}"


def _in_container(environ: Mapping[str, str], host: str) -> bool:
    """Return True where the page is reached only at the address that the container publishes."""
    return bool(environ.get("BIND_ADDRESS")) and host == environ.get("LISTEN_ADDRESS")


def cannot_be_a_domain(host: str) -> bool:
    """Return True for a name that cannot be a domain of somebody else, who could let it resolve to this machine.

    These are addresses, and names without a dot such as localhost, or loadgen in a network of containers.
    """
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return bool(host) and "." not in host


def protect(app: Flask, tokens: Sequence[str]) -> None:
    """Refuse requests that do not present one of `tokens`, and those that other sites make a browser send.

    A token is presented as `Authorization: Bearer`, or as the password of HTTP Basic, which browsers ask for.
    Without tokens the page does not answer under a domain name: one that resolves to this machine is a rebinding
    attack.
    """

    @app.before_request
    def admit() -> Response | None:
        given = request.authorization
        secret = ((given.token or given.password or "") if given else "").encode("utf-8", "replace")
        if tokens:
            # Compare with every token, each in constant time: the time of an answer reveals nothing.
            if not any([hmac.compare_digest(secret, token.encode()) for token in tokens]):  # noqa: C419
                return refusal(401, "This page needs the token: as password, with any name, or as bearer.")
        elif not cannot_be_a_domain(urlsplit(f"//{request.host}").hostname or ""):
            return refusal(403, "Without a token this page answers under localhost or an address: set API_TOKEN.")
        if foreign():
            return refusal(403, "Another site has sent this request.")
        return None

    @app.after_request
    def isolate(response: Response) -> Response:
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
        return response


def foreign() -> bool:
    """Return True if a page of another origin made the browser send the request; a followed link does no harm."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        return True
    pages = ("locust.index", "dashboard.show")
    link = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.endpoint in pages
    return request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and not link


def refusal(status: int, reason: str) -> Response:
    """Return an answer that holds the reason and nothing else."""
    headers = {"WWW-Authenticate": 'Basic realm="loadgen", charset="UTF-8"'} if status == 401 else None
    return Response(f"{reason}\n", status, headers, mimetype="text/plain")
