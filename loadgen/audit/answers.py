"""The meaning of an answer for the write or the row that was asked for. docs/judge.md shows it as a table."""

from typing import Literal

Outcome = Literal["ok", "refused", "unknown"]  # of one try
Fate = Literal["ok", "refused", "maybe", "unknown"]  # of a write, over all its tries
Scope = Literal["try", "earlier tries", "all tries"]  # that a refusal speaks of

# Decided by what the database held. With a key the outcome is stored under it, so every try gets the same answer.
DECIDED_BY_DATA = frozenset(
    {"not-found", "duplicate-email", "out-of-stock", "in-use", "precondition-failed", "unknown-reference"}
)
# Decided before the key or the row was looked at. VALIDATION depends on the bytes of the body alone.
VALIDATION = "validation"
DECIDED_EARLY = frozenset(
    {"malformed-json", "malformed-body", "idempotency-key-invalid", "unauthorized", "method-not-allowed"}
    | {"body-too-large", "unsupported-media-type", "rate-limited", VALIDATION}
)
KEY_REUSED = "idempotency-key-reused"  # never right for us: every try under a key sends the same bytes
NOTHING_WRITTEN = frozenset({"overloaded", "dependency-unavailable", "storage-unavailable", "stock-held"})  # 503
PROBLEMS = DECIDED_BY_DATA | DECIDED_EARLY | {KEY_REUSED}  # the contract's, below 500
# What a proxy answers in place of the service, without passing the request on. Not 404, 409, 412 or 422: without
# a problem of the contract it is unknown who gave these answers, and when.
NOT_PASSED_ON = frozenset({400, 401, 403, 405, 407, 408, 411, 413, 414, 415, 417, 429, 431})
LAST_LINE = 2**63 - 1  # a line number after every line: for a refusal that later tries cannot change


def classify(status: int, problem: str | None, sound: bool) -> Outcome:
    """Return the outcome of one try: acknowledged, refused without a write, or unknown.

    Args:
        status: the HTTP status; 0 where no answer came.
        problem: the slug of the problem's type, if the body is a problem.
        sound: the body is what the contract promises for a 2xx.
    """
    if 200 <= status < 300 and sound:
        return "ok"
    if 400 <= status < 500 and (problem in PROBLEMS or status in NOT_PASSED_ON):
        return "refused"
    return "refused" if status == 503 and problem in NOTHING_WRITTEN else "unknown"


def tells(outcome: str, status: int, problem: str | None) -> bool:
    """Return True if an answer was given after the key, or the row, was looked at."""
    if outcome == "refused":
        return problem in DECIDED_BY_DATA or problem == KEY_REUSED
    return outcome == "ok" or 200 <= status < 300  # also a success whose body cannot be used


def scope(problem: str | None, expects: object, keyed: bool) -> Scope:
    """Return the tries of a write that a refusal speaks of.

    Without a key (PATCH) a refusal such as 412 may be the echo of the write's own earlier try.
    """
    if problem == VALIDATION and expects == VALIDATION:
        return "all tries"  # the same bytes are refused every time
    if problem in DECIDED_BY_DATA:
        return "all tries" if keyed else "earlier tries"
    return "try"


def fate(acknowledged: int | None, doubt: int | None, refusal: int | None, keyed: int) -> Fate:
    """Return the fate of a write over all its tries.

    Args:
        acknowledged: the ledger line of the first `ok`, if any.
        doubt: the line at which the last try with an unknown outcome ended, if any.
        refusal: the line at which the last refusal that speaks of earlier tries was sent, if any; LAST_LINE for one
            that speaks of all tries.
        keyed: true if the request carried an Idempotency-Key.
    """
    if acknowledged is not None:
        return "ok"
    if doubt is None or refusal == LAST_LINE:
        return "refused"
    if refusal is None or refusal < doubt:
        return "unknown"
    return "refused" if keyed else "maybe"
