"""Orders that acknowledge before they commit: what a kill takes, the campaign must find. Mounted into the container."""

from typing import Any

import gevent

import orders_service.app
import service_common.app
import service_common.writer
from service_common.app import Service
from service_common.writer import run_alone


class Hasty(service_common.writer.Writer):
    """Answers when the statements have run, and commits a while later."""

    def _write_batch(self, batch: list[Any]) -> None:
        db = self._store.writing
        db.execute("BEGIN IMMEDIATE")
        for job in batch:
            value, failed = run_alone(db, job.run)
            job.outcome.set_exception(failed) if failed else job.outcome.set(value)
        gevent.sleep(0.1)  # the answers leave
        db.execute("COMMIT")


def create_app() -> Service:
    service_common.app.Writer = Hasty  # type: ignore[misc]
    return orders_service.app.create_app()
