"""The sweep: it finds reservations that nobody settles, whoever made them, and settles them.

The order of what is read matters, see docs/stock.md: first the open reservations, then what is live in this process,
then, in one write transaction, the rows of the owners and the orders.
"""

import logging
from dataclasses import dataclass

import gevent

from service_common.storage.database import Database, Execute, Procedure, Write
from service_common.storage.errors import StorageError

from ..upstream.attempts import Attempts, Settlement
from ..upstream.client import Remote, Unanswered
from ..upstream.reservations import Reservations
from .owners import Owner, ordered
from .reconciliation import Reconciliation

PAUSE_S = 0.2  # seconds after a failure, before the first sweep has succeeded

log = logging.getLogger("stock")


@dataclass(slots=True)
class Look(Procedure):
    """Read the ids of all owners, and which of `tokens` an order has."""

    tokens: list[str]

    def run(self, execute: Execute) -> tuple[set[str], set[str]]:
        owners = {id for (id,) in execute("SELECT id FROM owners")}
        return owners, ordered(execute, self.tokens)


class Sweep:
    """The sweeps of this process."""

    def __init__(
        self,
        attempts: Attempts,
        owner: Owner,
        database: Database,
        reservations: Reservations,
        reconciliation: Reconciliation,
        remote: Remote,
    ) -> None:
        self._attempts = attempts
        self._owner = owner
        self._database = database
        self._reservations = reservations
        self._reconciliation = reconciliation
        self._remote = remote

    def run(self, every: float) -> None:
        """Sweep once the owner is registered, then allow reserves, then sweep for as long as the process lives."""
        while True:
            self._owner.registered.wait()
            try:
                self.once()
                self._reconciliation.once()
            except (StorageError, Unanswered) as error:
                log.warning("open reservations cannot be looked through now: %s", error)
            except Exception:  # a defect here must not end the sweeps
                log.exception("a sweep broke")
            else:
                self._attempts.owner = self._owner.id
            gevent.sleep(PAUSE_S if self._attempts.owner is None else every)

    def once(self) -> None:
        """Look at all open reservations. Raises Unanswered, StorageError."""
        listed = self._reservations.listed(self._remote)
        known = self._attempts.known()
        if not (doubtful := [each for each in listed if each["token"] not in known]):
            return
        owners, found = self._database.write(Write(Look([each["token"] for each in doubtful])))
        own = self._owner.id
        swept = 0
        for each in doubtful:
            token, owner = each["token"], each["token"].partition(".")[0]
            if token in found or owner == own or owner not in owners:
                self._attempts.settle(Settlement(token, each["product_id"], token in found))
                swept += 1
        if swept:
            log.info("a sweep settles %d reservations", swept)
            self._attempts.metrics.swept.add(count=swept)
