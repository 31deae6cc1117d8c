"""Orders and products in processes that crash at a chosen point of the stock protocol, as `deadly` crashes users."""

from collections.abc import Callable
from typing import Any

import apsw

from orders_service.app import create_app as create_orders
from orders_service.upstream.client import Remote
from products_service.app import create_app as create_products
from service_common.http.application import Application

from .deadly import die

ORDERS_POINTS = (
    "before the reserve is sent", "after the reserve", "before the COMMIT of an order", "after the COMMIT of an order",
    "before the confirm is sent", "after the confirm",
)  # fmt: skip
PRODUCTS_POINTS = (
    "before the COMMIT of a reserve", "after the COMMIT of a reserve", "before the COMMIT of a confirm",
    "after the COMMIT of a confirm", "before the COMMIT of a release", "after the COMMIT of a release",
)  # fmt: skip


def watch(names: Callable[[str], str]) -> Callable[[apsw.Connection], None]:
    """Return what crashes around COMMIT. `names` returns a transaction's name, by the SQL of its statements."""

    def watched(db: apsw.Connection) -> None:
        statements: list[str] = []

        def begins(_cursor: apsw.Cursor, sql: str, _values: Any) -> bool:
            if sql.startswith("BEGIN"):
                statements.clear()
            statements.append(sql)
            if sql == "COMMIT":
                die(f"before the COMMIT of {names(' '.join(statements))}")
            return True

        def ended(event: dict[str, Any]) -> None:
            if event["sql"] == "COMMIT":
                die(f"after the COMMIT of {names(' '.join(statements))}")

        db.exec_trace = begins
        db.trace_v2(apsw.SQLITE_TRACE_PROFILE, ended)

    return watched


def of_orders(sql: str) -> str:
    return "an order" if "INSERT INTO orders " in sql else "something else"


def of_products(sql: str) -> str:
    if "INSERT INTO sales" in sql:
        return "a confirm"
    if "DELETE FROM reservations" in sql:
        return "a release"
    return "a reserve" if "INSERT INTO reservations" in sql else "something else"


def orders_app() -> Application:
    """Return orders, which may crash."""
    apsw.connection_hooks.append(watch(of_orders))
    send = Remote._post

    def post(self: Remote, path: str, body: bytes, *others: Any) -> Any:
        reserves, confirms = b'"reserve":[{' in body, b'"confirm":["' in body
        if reserves:
            die("before the reserve is sent")
        if confirms:
            die("before the confirm is sent")
        answer = send(self, path, body, *others)
        if reserves:
            die("after the reserve")
        if confirms:
            die("after the confirm")
        return answer

    Remote._post = post  # type: ignore[method-assign, assignment]
    return create_orders()


def products_app() -> Application:
    """Return products, which may crash."""
    apsw.connection_hooks.append(watch(of_products))
    return create_products()
