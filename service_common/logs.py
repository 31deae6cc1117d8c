"""Logs as JSON lines on standard output, each with the id of the request that it belongs to."""

import json
import logging
import random
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

LONGEST_MESSAGE = 4000  # characters
LONGEST_EXCEPTION = 8000

request_id: ContextVar[str] = ContextVar("request_id", default="")


def new_request_id() -> str:
    """An id for a request that brought none: 32 hexadecimal digits."""
    return f"{random.getrandbits(128):032x}"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def now() -> str:
    """The time as RFC 3339 in UTC, to the millisecond."""
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


class JsonFormatter(logging.Formatter):
    """A log record as one JSON line; escaping keeps it one line whatever it quotes."""

    service = ""  # set when the application is built

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": now(),
            "level": record.levelname.lower(),
            "service": self.service,
            "logger": record.name,
            "message": record.getMessage()[:LONGEST_MESSAGE],
            "request_id": getattr(record, "request_id", None) or request_id.get(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[-LONGEST_EXCEPTION:]
        return json.dumps({name: value for name, value in line.items() if value})


CONFIG = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonFormatter}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}},
    "root": {"level": "INFO", "handlers": ["stdout"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["stdout"], "propagate": False},
        "urllib3": {"level": "ERROR"},  # failed look-ups are reported once, by us
    },
}
