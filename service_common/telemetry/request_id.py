"""The id of a request: taken from X-Request-ID or made, in every log line, passed on to other services."""

import random
import re
from contextvars import ContextVar

USABLE = re.compile(r"[A-Za-z0-9._:-]{1,128}")

request_id: ContextVar[str] = ContextVar("request_id", default="")


def new_request_id() -> str:
    """Return an id for a request that brought none: 32 hexadecimal digits."""
    return f"{random.getrandbits(128):032x}"


def usable(sent: str) -> bool:
    """Return True if an id that a client sent can be used: it stays harmless in headers and log lines."""
    return USABLE.fullmatch(sent) is not None
