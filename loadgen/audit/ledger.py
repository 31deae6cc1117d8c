"""The ledger: every request and its outcome, one JSON object a line.

The line about a request reaches the operating system before the request leaves, so a load generator that is
killed still knows everything it may have caused. The lines:

    {"event": "run", "run": "k3f9z2", "kinds": ["create_user", ...]}                          the first
    {"event": "sent", "op": 7, "try": 1, "service": "users", "action": "create_user", "method": "POST",
     "path": "/users", "key": "...", "if_match": null, "reads": null, "expects": "ok", "body": {...}}
    {"event": "ok" | "refused" | "unknown", "op": 7, "try": 1, "action": "create_user", "status": 201,
     "problem": null, "replayed": false, "etag": null, "location": "/users/9", "ms": 3.1, "answer": {...}}

`expects` is "ok", "any" (a race decides), or the slug of the problem that must come; for a batch, a list of
these. `reads` names the write, as [op, item], that a GET must show. A try without an answer has "error" instead of a
status.
"""

import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

Line = dict[str, Any]
Row = tuple[str, dict[str, Any]]  # of the read-back: the service, and the row as it answered it
dumps = json.JSONEncoder(separators=(",", ":")).encode


class LedgerDamaged(ValueError):
    """A line that is not the last one cannot be read."""


class Ledger:
    """An append-only file of lines. Every line is one write to the operating system, without a buffer."""

    def __init__(self, path: Path) -> None:
        """Create `path`. Raises FileExistsError: a ledger is never continued."""
        self.path = path
        self.lines = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self.broken = False  # after a line that could not be written: a ledger with a gap cannot be judged

    def write(self, line: Line) -> int:
        """Append a line and return its number, from 1. Raises OSError, and after the first one always."""
        data = dumps(line).encode() + b"\n"
        if self.broken:
            raise OSError(f"{self.path} could not be written before")
        self.broken = True
        if os.write(self._file, data) < len(data):
            raise OSError(f"{self.path}: the disk is full")
        self.broken = False
        self.lines += 1
        return self.lines

    def close(self) -> None:
        """Close the file; writing raises OSError from then on."""
        self.broken = True
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


def read(path: Path) -> Iterator[Line]:
    """Stream the lines of a ledger; skip a last line that was cut off. Fractions are Decimal.

    Raises:
        LedgerDamaged: a line before the last cannot be read.
    """
    damaged: int | None = None
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            if damaged is not None:
                raise LedgerDamaged(f"{path}: line {damaged} cannot be read.")
            try:
                yield json.loads(text, parse_float=Decimal)
            except ValueError:
                damaged = number


def read_rows(path: Path) -> Iterator[Row]:
    """Stream the rows of a read-back file, one JSON array [service, row] a line. Fractions are Decimal."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            service, row = json.loads(line, parse_float=Decimal)
            yield service, row
