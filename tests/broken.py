"""Services that are broken on purpose, one fault each, to judge the judge. Started by tests only.

Each function makes the real service and breaks one thing in this process.
"""

import itertools
import json
import os
import signal
from dataclasses import replace
from typing import Any

import apsw
import gevent

import orders_service.app
import products_service.app
import service_common.app
import service_common.collection
import service_common.idempotency
import service_common.routes
import service_common.writer
import users_service.app
import users_service.models
from service_common.app import Service
from service_common.problems import Problem

EVERY = 40  # the fault strikes one write in so many
count = itertools.count(1)


def strikes() -> bool:
    return next(count) % EVERY == 0


def drops_an_acknowledged_write() -> Service:
    """Acknowledges some orders that it does not keep."""
    insert = orders_service.app.insert

    def dropped(db: apsw.Connection, checked: Any, columns: str) -> list[Any]:
        rows = insert(db, checked, columns)
        if strikes():
            db.execute("DELETE FROM orders WHERE id = ?", (rows[0][0],))
        return rows

    orders_service.app.insert = dropped
    return orders_service.app.create_app()


def writes_a_retried_request_twice() -> Service:
    """Looks up no Idempotency-Key."""
    service_common.routes.once = lambda key, run: run
    service_common.routes.kept_answer = lambda read, key: None
    return orders_service.app.create_app()


def alters_a_price() -> Service:
    """Stores some prices a cent higher than it answers."""
    insert = products_service.app.insert

    def altered(db: apsw.Connection, new: Any, columns: str) -> list[Any]:
        rows = insert(db, new, columns)
        if strikes():
            db.execute("UPDATE products SET cents = cents + 1 WHERE id = ?", (rows[0][0],))
        return rows

    products_service.app.insert = altered
    return products_service.app.create_app()


def acknowledges_before_it_commits_and_is_killed() -> Service:
    """Answers when the statements have run; dies before some of the commits."""
    run_alone = service_common.writer.run_alone

    class Hasty(service_common.writer.Writer):
        def _write_batch(self, batch: list[Any]) -> None:
            db = self._store.writing
            db.execute("BEGIN IMMEDIATE")
            for job in batch:
                value, failed = run_alone(db, job.run)
                job.outcome.set_exception(failed) if failed else job.outcome.set(value)
            gevent.sleep(0.05)  # the answers leave
            if len(batch) > 1 and next(count) % 10 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            db.execute("COMMIT")

    service_common.app.Writer = Hasty  # type: ignore[misc]
    return orders_service.app.create_app()


def accepts_orders_unchecked() -> Service:
    """Takes every user and product for granted where they are not found."""
    check = orders_service.app.check

    def unchecked(lookups: Any, orders: Any) -> list[Any]:
        return [
            checked if not isinstance(checked, Exception) else orders_service.models.CheckedOrder(new, "Nothing", 100)
            for new, checked in zip(orders, check(lookups, orders), strict=True)
        ]

    orders_service.app.check = unchecked
    return orders_service.app.create_app()


def lets_equal_emails_in() -> Service:
    """Compares e-mail addresses with case."""
    users_service.app.email_key = lambda email: email
    return users_service.app.create_app()


def ignores_if_match() -> Service:
    """Lets every PATCH pass, whatever version it names."""
    assert service_common.routes.acceptable
    service_common.routes.acceptable = lambda: lambda tag: True
    return products_service.app.create_app()


def replays_another_answer() -> Service:
    """Replays with a body that has changed."""
    kept = service_common.idempotency.Key.answer

    def changed(self: Any, rows: Any) -> Any:
        answer = kept(self, rows)
        return answer and replace(answer, body=answer.body.replace(b'"quantity":', b'"quantity":1'))

    service_common.idempotency.Key.answer = changed  # type: ignore[method-assign]
    return orders_service.app.create_app()


def writes_what_it_refuses() -> Service:
    """Writes a product before it refuses it for its price."""
    parse = service_common.routes.parse
    app = products_service.app.create_app()

    def write_anyway(model: Any, body: bytes) -> Any:
        try:
            return parse(model, body)
        except Problem:
            name = json.loads(body).get("name")
            app.writer.write(lambda db: db.execute("INSERT INTO products (name, cents) VALUES (?, 1)", (name,)))
            raise

    service_common.routes.parse = write_anyway
    return app


def invents_rows() -> Service:
    """Writes an order that nobody sent, next to some that were."""
    insert = orders_service.app.insert

    def inventive(db: apsw.Connection, checked: Any, columns: str) -> list[Any]:
        rows = insert(db, checked, columns)
        if strikes():
            insert(db, checked._replace(new=checked.new.model_copy(update={"quantity": 9_999})), columns)
        return rows

    orders_service.app.insert = inventive
    return orders_service.app.create_app()


def miscalculates_totals() -> Service:
    """Answers some totals with a cent too much."""
    item = service_common.collection.Collection.item

    def wrong(self: Any, row: Any) -> dict[str, Any]:
        answered = item(self, row)
        if answered["id"] % EVERY == 0:
            answered["total"] = answered["total"][:-1] + str((int(answered["total"][-1]) + 1) % 10)
        return answered

    service_common.collection.Collection.item = wrong  # type: ignore[method-assign]
    return orders_service.app.create_app()


def shows_stale_reads() -> Service:
    """Does not find some of the newest rows when they are asked for by id."""
    get = service_common.collection.Collection.get

    def stale(self: Any, id: int) -> Any:
        return get(self, 10**15 if strikes() else id)

    service_common.collection.Collection.get = stale  # type: ignore[method-assign]
    return users_service.app.create_app()
