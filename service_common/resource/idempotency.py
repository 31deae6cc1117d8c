"""Idempotency-Key: a request that is sent again is answered again, not done again.

The database decides: whichever request with a key commits first, its outcome is the answer to all of them. Outcomes
that depend on the data are kept, refusals too. What is refused before the data is asked is not. A request whose key is
decided already, as `Database.kept` tells, needs no look-ups and no write.
"""

from ..http import problem_kinds as kinds
from ..http.problems import Problem
from ..storage.database import Answer, Database, Kept, Key, Write
from ..telemetry.measures import Counter

replays = Counter("idempotency_replays", "Answers taken from the outcome that a key had decided before.", None)


def replay(kept: Kept, key: Key | None) -> Answer:
    """Return the answer that was decided under a key before.

    Raises:
        Problem: `idempotency-key-reused`.
    """
    if key is None or kept.fingerprint != key.fingerprint:
        raise Problem(
            kinds.IDEMPOTENCY_KEY_REUSED,
            "This Idempotency-Key came with another path or body before. Use a new key for a new request.",
        )
    replays.add()
    return kept.answer._replace(headers=kept.answer.headers | {"Idempotency-Replayed": "true"})


def decide(database: Database, write: Write) -> Answer:
    """Make a write that has an answer, unless its key was decided before. Return the answer.

    Raises:
        Problem: `idempotency-key-reused`.
        StorageError: see storage/errors.py.
    """
    key = write.key
    if key is not None and (kept := database.kept(key.value)) is not None:
        return replay(kept, key)
    outcome: Answer | Kept = database.write(write)
    return replay(outcome, key) if isinstance(outcome, Kept) else outcome
