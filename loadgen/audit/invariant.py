"""An invariant: a statement that no run may violate, with the query that finds its violations."""

from typing import NamedTuple


class Invariant(NamedTuple):
    """A statement that must have no violation."""

    name: str
    meaning: str
    query: str
    needs_rows: bool = True  # False: the ledger alone decides
    rows_of_others: bool = False  # True: it covers rows of other clients too, so several audits find the same ones
