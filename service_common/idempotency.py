"""Idempotency-Key: a request that is sent again is answered again, not done again."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import apsw
from flask import Request, Response
from gevent.event import Event
from werkzeug.datastructures import Headers

from .problems import Problem
from .store import Row
from .writer import Job

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

KEPT_S = 24 * 3600
KEY_LENGTH = 255  # characters
KEY = re.compile(f"[!-~]{{1,{KEY_LENGTH}}}")
PURGED_AT_ONCE = 500  # rows; few enough that the writes behind a purge do not notice it

_FIND = "SELECT fingerprint, status, body, headers, created_at FROM idempotency_keys WHERE key = ?"
_KEEP = """INSERT OR REPLACE INTO idempotency_keys (key, fingerprint, status, body, headers, created_at)
           VALUES (?, ?, ?, ?, ?, ?)"""
# Of a clock that was ahead by more than a day there may be rows from the future: they must not stand in the way.
_PURGE = """DELETE FROM idempotency_keys WHERE created_at NOT BETWEEN ? AND ?
            AND id IN (SELECT id FROM idempotency_keys ORDER BY id LIMIT ?)"""


class Finished(Response):
    """A response whose headers are complete: nothing is left to work out when it is sent."""

    default_mimetype = None

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        return self.headers


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer: what goes over HTTP, and what is kept under a key."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """The answer as Flask's."""
        return Finished(self.body, self.status, [*self.headers.items(), ("Content-Type", "application/json")])


@dataclass(frozen=True, slots=True)
class Key:
    """A client's key, and the fingerprint of the request that it stands for (SHA-256)."""

    value: str
    fingerprint: bytes

    def answer(self, rows: list[Row]) -> Answer | None:
        """The kept answer among `rows`, marked as replayed; None where there is none.

        Raises:
            Problem: `idempotency-key-reused`.
        """
        if not rows or rows[0][4] < time.time() - KEPT_S:
            return None
        fingerprint, status, body, headers, _ = rows[0]
        if fingerprint != self.fingerprint:
            raise Problem(
                "idempotency-key-reused",
                "This Idempotency-Key came with another path or body before. Use a new key for a new request.",
            )
        return Answer(status, body, json.loads(headers) | {"Idempotency-Replayed": "true"})


def key_of(request: Request, body: bytes) -> Key | None:
    """The Idempotency-Key of a request whose body is `body`; None where it has none.

    Raises:
        Problem: `idempotency-key-invalid`.
    """
    value = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if value is None:
        return None
    if not KEY.fullmatch(value):  # empty also where it was sent twice, see worker.py
        raise Problem(
            "idempotency-key-invalid",
            f"Send one key of 1 to {KEY_LENGTH} visible ASCII characters, or none.",
        )
    return Key(value, hashlib.sha256(request.path.encode() + b"\n" + body).digest())


def once(key: Key, run: Callable[[apsw.Connection], Answer]) -> Callable[[apsw.Connection], Answer]:
    """A write that is made once for its key: a later one with that key gets the first one's answer."""

    def keyed(db: apsw.Connection) -> Answer:
        if (kept := key.answer(db.execute(_FIND, (key.value,)).fetchall())) is not None:
            return kept
        answer = run(db)
        row = (key.value, key.fingerprint, answer.status, answer.body, json.dumps(answer.headers), int(time.time()))
        db.execute(_KEEP, row)
        return answer

    return keyed


def kept_answer(read: Callable[..., list[Row]], key: Key) -> Answer | None:
    """The answer that is already on disk for `key`, if there is one."""
    return key.answer(read(_FIND, (key.value,)))


def purge(db: apsw.Connection) -> int:
    """Delete some keys that are past their day; how many."""
    now = int(time.time())
    db.execute(_PURGE, (now - KEPT_S, now + KEPT_S, PURGED_AT_ONCE))
    return db.changes()


class InFlight:
    """One request at a time for each key.

    Two requests with one key that arrive at once must not be judged apart: while one waits for
    look-ups or for the disk, the other could be refused for a reason that the first never met.
    """

    def __init__(self, timeout: float) -> None:
        """`timeout` in seconds is how long a second request waits for the first."""
        self._timeout = timeout
        self._held: dict[str, Event] = {}

    @contextmanager
    def hold(self, key: Key) -> Iterator[list[Job]]:
        """Hold `key` during the block, and after it until every job put on the yielded list has ended.

        Raises:
            Problem: `outcome-unknown`, another request holds the key for too long.
        """
        deadline = time.monotonic() + self._timeout
        while (held := self._held.get(key.value)) is not None:
            if not held.wait(timeout=max(0.0, deadline - time.monotonic())):
                raise Problem("outcome-unknown", "A request with this key is still being written. Send it again.")
        self._held[key.value] = Event()
        jobs: list[Job] = []
        try:
            yield jobs
        finally:
            unfinished = [job for job in jobs if not job.ended()]
            if unfinished:
                unfinished[-1].outcome.rawlink(lambda _: self._release(key))
            else:
                self._release(key)

    def _release(self, key: Key) -> None:
        self._held.pop(key.value).set()
