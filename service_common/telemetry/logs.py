"""Logs as JSON lines on standard output, each with the id of the request that it belongs to."""

import io
import json
import logging
import os
import sys
import time
from functools import lru_cache
from typing import Any

from .log_output import LogOutput, recursive_lock
from .request_id import request_id

LONGEST_MESSAGE = 4000  # characters
LONGEST_EXCEPTION = 8000

output = LogOutput()


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def now() -> str:
    """Return the time as RFC 3339 in UTC, to the millisecond."""
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


class JsonFormatter(logging.Formatter):
    """Formats a log record as one JSON line. Escaping keeps it one line, whatever it quotes."""

    service = ""  # set when the server or the application starts

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
        return json.dumps({name: value for name, value in line.items() if value}, separators=(",", ":"))


class OutputHandler(logging.Handler):
    """Hands log records to `output`."""

    def createLock(self) -> None:  # noqa: N802 - logging's name
        self.lock = recursive_lock()  # a native one: gevent's could switch greenlets within a log call

    def emit(self, record: logging.LogRecord) -> None:
        try:
            output.write(f"{self.format(record)}\n")
        except Exception:  # of a message whose arguments do not fit; logging's own handlers do the same
            self.handleError(record)


class LoggedStream(io.TextIOBase):
    """Stands for a standard stream: each line that is printed becomes a log record, so that no print can block."""

    def __init__(self, name: str, level: int) -> None:
        self._logger = logging.getLogger(name)
        self._level = level
        self._line = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if line.strip():
                self._logger.log(self._level, "%s", line)
        return len(text)


def take_over_standard_streams() -> None:
    """Let what is printed, by whomever, become log lines. Closed standard descriptors are opened to nowhere.

    Otherwise the next file that is opened, such as the database, would be taken for standard output.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor: this one
    sys.stdout = LoggedStream("stdout", logging.INFO)
    sys.stderr = LoggedStream("stderr", logging.ERROR)


CONFIG = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonFormatter}},
    "handlers": {"output": {"()": OutputHandler, "formatter": "json"}},
    "root": {"level": "INFO", "handlers": ["output"]},
    "loggers": {
        # Named here so that gunicorn's own handlers are replaced.
        "server": {"level": "INFO", "handlers": ["output"], "propagate": False},
        "gunicorn.error": {"level": "INFO", "handlers": ["output"], "propagate": False},
        "urllib3": {"level": "ERROR"},  # failed look-ups are reported once, by us
    },
}
