"""Bearer tokens: where one is configured, every request except the probes must present a valid one."""

import hmac

from flask import Flask, Response, request

from . import problem_kinds as kinds
from .problems import Problem

OPEN = frozenset({"/livez", "/readyz"})


def init_app(app: Flask, tokens: tuple[str, ...]) -> None:
    """Require one of `tokens` from every request to `app`. Several are valid at once, so that they can be rotated."""
    if not tokens:
        return
    valid = [token.encode() for token in tokens]

    @app.before_request
    def authenticate() -> Response | None:
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        presented = rest.strip(" ").encode("utf-8", "replace")
        # Compare with every token, in constant time: the time that it takes must tell nothing.
        known = any([hmac.compare_digest(presented, token) for token in valid])  # noqa: C419
        if request.path in OPEN or (known and scheme.lower() == "bearer"):
            return None
        response = Problem(kinds.UNAUTHORIZED, "Send `Authorization: Bearer` with a valid token.").response()
        response.headers["WWW-Authenticate"] = "Bearer"
        return response
