"""Bearer tokens: when any is configured, every request but the probes presents one."""

import hmac

from flask import Flask, Response, request

from .problems import Problem

OPEN = frozenset({"/livez", "/readyz"})


def protect(app: Flask, tokens: tuple[str, ...]) -> None:
    """Ask every request of `app` for one of `tokens`; several are valid at once, for rotation."""
    if not tokens:
        return
    valid = [token.encode() for token in tokens]

    @app.before_request
    def authenticate() -> Response | None:
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        presented = rest.strip(" ").encode("utf-8", "replace")
        # Every token is compared, and in constant time: how long it takes tells nothing.
        known = any([hmac.compare_digest(presented, token) for token in valid])  # noqa: C419
        if request.path in OPEN or (known and scheme.lower() == "bearer"):
            return None
        response = Problem("unauthorized", "Send `Authorization: Bearer` with a valid token.").response()
        response.headers["WWW-Authenticate"] = "Bearer"
        return response
