"""Errors of storage. `http/problems.py` maps each to a problem, once."""


class StorageError(Exception):
    """A read or write that was not done; the message is a sentence for the client."""


class Overloaded(StorageError):
    """Too much is waiting. Nothing was written."""


class Unavailable(StorageError):
    """The database cannot be read or written now. Nothing was written."""


class OutcomeUnknown(StorageError):
    """The write was not confirmed in time: it may be written or not."""


class CannotStart(SystemExit):
    """The service cannot start on this database; the message says what to do."""
