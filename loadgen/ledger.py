"""The ledger: what was sent and what came of it, one JSON object a line.

The line about a request reaches the operating system before the request leaves, so a generator that is
killed still knows everything it may have caused. The lines:

    {"event": "run", "run": "k3f9z2", "kinds": ["create_user", ...]}                          the first
    {"event": "sent", "op": 7, "try": 1, "service": "users", "action": "create_user", "method": "POST",
     "path": "/users", "key": "...", "if_match": null, "reads": null, "expects": "ok", "body": {...}}
    {"event": "ok" | "refused" | "unknown", "op": 7, "try": 1, "action": "create_user", "status": 201,
     "problem": null, "replayed": false, "etag": null, "location": "/users/9", "ms": 3.1, "answer": {...}}

`expects` is "ok", "any" (a race decides), or the slug of the problem that must come; for a batch, a list of
these. `reads` names the write, as [op, item], that a GET must show. An unknown end has "error" instead of a status.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

Line = dict[str, Any]
Row = tuple[str, dict[str, Any]]  # of the read-back: the service, and the row as it answered it
Outcome = Literal["ok", "refused", "unknown"]
Fate = Literal["ok", "refused", "maybe", "unknown"]

NOTHING_WRITTEN = frozenset({"overloaded", "dependency-unavailable", "storage-unavailable"})
dumps = json.JSONEncoder(separators=(",", ":")).encode


class LedgerDamaged(ValueError):
    """A line that is not the last one cannot be read."""


def classify(status: int, problem: str | None, sound: bool) -> Outcome:
    """What an answer says about a write.

    Args:
        status: the HTTP status; 0 where no answer came.
        problem: the slug of the problem's type, if the body is a problem.
        sound: whether the body is what the contract promises for a 2xx.
    """
    if 200 <= status < 300 and sound:
        return "ok"
    if 400 <= status < 500 or (status == 503 and problem in NOTHING_WRITTEN):
        return "refused"
    return "unknown"


def settles(status: int) -> bool:
    """Whether an answer with this status speaks of the earlier tries of its write too: it was given after its key was
    looked up. What is wrong with the bytes that arrived, the token or the rate is said before.
    """
    return 400 <= status < 500 and status not in (400, 401, 413, 429)


def fate(acknowledged: int | None, doubt: int | None, refusal: int | None, keyed: int) -> Fate:
    """What became of a write that was tried one or more times.

    A 503 that says "nothing was written" speaks of its own try only. Most 4xx (see `settles`) speak of the tries before
    them as well, because a service answers a key only after the earlier request with that key has ended. Without a key
    (PATCH) a 4xx such as 412 may be the echo of the write's own first try: it may have been made.

    Args:
        acknowledged: the ledger line of the first `ok`, if any.
        doubt: the line at which the last try with an unknown outcome ended, if any.
        refusal: the line at which the last try whose answer `settles` was sent, if any.
        keyed: whether the request carried an Idempotency-Key.
    """
    if acknowledged is not None:
        return "ok"
    if doubt is None:
        return "refused"
    if refusal is None or refusal < doubt:
        return "unknown"
    return "refused" if keyed else "maybe"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one try."""

    outcome: Outcome
    status: int = 0
    problem: str | None = None
    body: Any = None
    replayed: bool = False
    etag: str | None = None
    location: str | None = None
    error: str | None = None  # why there is no answer, or why it cannot be used
    line: int = 0  # of the ledger


@dataclass(slots=True)
class Op:
    """One request as it is meant, however often it is tried, and what is known of it."""

    number: int
    service: str
    action: str
    method: str
    path: str
    body: Any = None
    key: str | None = None
    expects: str | list[str] = "ok"
    if_match: str | None = None
    reads: tuple[int, int] | None = None
    payload: bytes = b""  # the body as sent: the same bytes for every try, as a key demands
    tries: int = 0
    in_flight: int = 0
    answer: Answer | None = None  # the first `ok`
    last: Answer | None = None
    doubt: int | None = None
    refusal: int | None = None
    counted: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        if self.body is not None:
            self.payload = dumps(self.body).encode()

    @property
    def size(self) -> int:
        """How many writes it is: the items of a batch, otherwise one."""
        return len(self.expects) if isinstance(self.expects, list) else 1

    @property
    def fate(self) -> Fate:
        """What became of it, as far as is known; `unknown` while a try is in flight."""
        if self.in_flight and not self.answer:
            return "unknown"
        return fate(self.answer.line if self.answer else None, self.doubt, self.refusal, self.key is not None)

    def sent(self, action: str) -> Line:
        """The ledger line of the next try, made under the name `action`."""
        return {
            "event": "sent",
            "op": self.number,
            "try": self.tries,
            "service": self.service,
            "action": action,
            "method": self.method,
            "path": self.path,
            "key": self.key,
            "if_match": self.if_match,
            "reads": self.reads,
            "expects": self.expects,
            "body": self.body,
        }


class Ledger:
    """An append-only file of lines. Every line is one write to the operating system, not buffered."""

    def __init__(self, path: Path) -> None:
        """Create `path`. Raises FileExistsError: a ledger is never continued."""
        self.path = path
        self.lines = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self.broken = False  # a line could not be written: nothing more will be

    def write(self, line: Line) -> int:
        """Append a line; its number, from 1. Raises OSError, and from then on always: a gap cannot be audited."""
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
    """Stream the lines of a ledger; a last line that was torn is left out. Fractions come as Decimal.

    Raises:
        LedgerDamaged: a line before the last cannot be read.
    """
    torn: int | None = None
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            if torn is not None:
                raise LedgerDamaged(f"{path}: line {torn} cannot be read.")
            try:
                yield json.loads(text, parse_float=Decimal)
            except ValueError:
                torn = number
