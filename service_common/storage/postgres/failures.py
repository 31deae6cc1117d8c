"""Sort PostgreSQL's errors: nothing was written, it may be written, try again, or the statement itself is wrong."""

import psycopg

from ..errors import StorageError

NOT_WRITTEN = "The database cannot be written at the moment. Nothing was written; try again later."
NOT_READ = "The database cannot be read at the moment."
NOT_CONFIRMED = "The database did not confirm the commit. Send it again with the same key."

CONFLICTS = frozenset({"40001", "40P01"})  # serialization failure, deadlock: rolled back, and worth another try
IDLE_TOO_LONG = "25P03"  # the session was ended between two statements, so never during COMMIT
COMPLETION_UNKNOWN = "40003"

# Classes of errors of the statement itself: data, constraints, syntax and rights. Others are the storage's.
STATEMENT_CLASSES = frozenset({"21", "22", "23", "42"})


def is_conflict(error: BaseException) -> bool:
    """Tell whether the transaction was rolled back and would succeed another time."""
    return isinstance(error, psycopg.Error) and error.sqlstate in CONFLICTS


def is_own(error: BaseException) -> bool:
    """Tell whether an error concerns one write alone: its statement or its data, not the storage."""
    if not isinstance(error, psycopg.Error):
        return not isinstance(error, StorageError)
    if error.sqlstate is None:  # found by psycopg, before anything was sent: such as a NUL in a text
        return not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | psycopg.InternalError)
    return error.sqlstate[:2] in STATEMENT_CLASSES


def was_rolled_back(error: BaseException) -> bool:
    """Tell whether an error that was raised after COMMIT was sent proves that nothing was written.

    An ERROR is the server's word that the transaction was rolled back. A session that ends, whatever the reason given,
    may have committed before.
    """
    if not isinstance(error, psycopg.Error) or error.sqlstate in (None, COMPLETION_UNKNOWN):
        return False
    severity = error.diag.severity_nonlocalized or error.diag.severity
    return severity == "ERROR" or error.sqlstate == IDLE_TOO_LONG
