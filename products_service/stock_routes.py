"""The routes of stock: people add units, orders reserves and settles them."""

from functools import partial
from urllib.parse import urlencode

from flask import Response, request
from prometheus_client import CollectorRegistry

from service_common.http.application import Application
from service_common.http.body import read
from service_common.http.problem_kinds import VALIDATION
from service_common.http.problems import Problem
from service_common.http.query import number, path_id, query
from service_common.http.responses import json_answer, respond
from service_common.resource.conditions import versions_of
from service_common.resource.declaration import Resource
from service_common.resource.idempotency import decide
from service_common.resource.routes import LARGEST_PAGE, PAGE
from service_common.resource.use_cases import UseCases
from service_common.server.heavy_requests import heavy_request
from service_common.storage.database import Answer, Key, Missing, OtherVersion, Row, Write
from service_common.storage.errors import StorageError
from service_common.telemetry.measures import Gauge
from service_common.telemetry.request_id import request_id

from .stock import Exchange, Exchanged, Reservation, Supply
from .stock_models import Addition, Messages, token

PATH = "/products/reservations"


class StockRoutes:
    """The routes of stock on the database of products."""

    def __init__(self, resource: Resource, app: Application) -> None:
        self._table = resource.table
        self._use_cases = UseCases(resource, app.database)
        self._database = app.database
        self._body_limit = app.settings.max_body_bytes
        self._list_query = {"after": after, "sold_after": after, "limit": number(1, LARGEST_PAGE)}

    def init_app(self, app: Application, registry: CollectorRegistry) -> None:
        """Add the routes to `app` and their metric to `registry`."""
        app.add_url_rule("/products/<id>/stock", "supply", self.supply, methods=["POST"])
        app.add_url_rule("/products/<id>/stock", "get_stock", self.get_stock)
        app.add_url_rule(PATH, "exchange", self.exchange, methods=["POST"])
        app.add_url_rule(PATH, "list_reservations", self.list_reservations)
        text = "Reservations that are neither sold nor released."  # in the database, so in all processes the same
        Gauge("reservations_open", text, registry, self._count_open, combine=max)

    def supply(self, id: str) -> Response:
        """Add units to a product, or take some away, if the request's conditions accept its version."""
        number = path_id(id)
        body, key = read(request, Addition, self._body_limit)
        answer = partial(self._supplied, request_id.get())
        supply = Supply(self._table, number, body.add, versions_of(request))
        return respond(decide(self._database, Write(supply, answer, key)))

    def _supplied(self, request_id: str, result: Row | Missing | OtherVersion | Problem) -> Answer:
        if isinstance(result, Missing | OtherVersion):
            result = self._use_cases.refusal(result)
        if isinstance(result, Problem):
            return json_answer(result.body(request_id), result.kind.status)
        return json_answer(self._use_cases.item(result), headers=self._use_cases.tag(result))

    def get_stock(self, id: str) -> Response:
        """Tell the stock of a product, and how often it was changed by hand."""
        query(request, {})
        found = self._database.read("SELECT stock, additions FROM products WHERE id = ?", (path_id(id),))
        if not found:
            raise self._use_cases.refusal(Missing())
        return respond(json_answer(dict(zip(("stock", "additions"), found[0], strict=True))))

    def exchange(self) -> Response:
        """Confirm, release and reserve what orders says, and tell it the products that it names."""
        messages, key = read(request, Messages, self._body_limit)
        exchange = Exchange(
            self._table,
            messages.ids,
            [Reservation(wanted.token, wanted.product_id, wanted.quantity) for wanted in messages.reserve],
            messages.confirm,
            messages.release,
        )
        with heavy_request(request.environ, len(exchange.ids) + len(exchange.reserve)):
            return respond(self._exchange(exchange, key))

    def _exchange(self, exchange: Exchange, key: Key | None) -> Answer:
        """Return the answer to an exchange. Where it would write nothing it is only read: no commit, no sync."""
        if key is None and not exchange.confirm and not exchange.release:
            products = exchange.look_up(self._database.read)
            if not exchange.wants_limited(products):
                return self._exchanged(Exchanged(list(products.values()), [], [], []))
        rows = len(exchange.reserve) + len(exchange.confirm) + len(exchange.release)
        return decide(self._database, Write(exchange, self._exchanged, key, rows))

    def _exchanged(self, result: Exchanged) -> Answer:
        return json_answer(
            {
                "items": [self._use_cases.item(row) for row in result.products],
                "short": [{"token": token, "left": left} for token, left in result.short],
                "held": result.held,
                "unknown": result.unknown,
            }
        )

    def list_reservations(self) -> Response:
        """List a page of the open reservations by token, or of the sales."""
        given = query(request, self._list_query)
        if {"after", "sold_after"} <= given.keys():
            errors = [{"parameter": "sold_after", "detail": "stands without `after`"}]
            raise Problem(VALIDATION, "Open reservations and sales are listed apart.", errors)
        cursor, table = ("sold_after", "sales") if "sold_after" in given else ("after", "reservations")
        limit = given.get("limit", PAGE)
        sql = f"SELECT token, product_id, quantity FROM {table} WHERE token > ? ORDER BY token LIMIT ?"
        with heavy_request(request.environ, limit):
            rows = self._database.read(sql, (given.get(cursor, ""), limit + 1))
            items = [Reservation(*row)._asdict() for row in rows[:limit]]
            following = None
            if len(rows) > limit:
                following = f"{PATH}?{urlencode({'limit': limit, cursor: items[-1]['token']})}"
            return respond(json_answer({"items": items, "next": following}))

    def _count_open(self) -> float:
        try:
            return float(self._database.read("SELECT count(*) FROM reservations")[0][0])
        except StorageError:
            return float("nan")  # the other metrics are still told


def after(text: str) -> str:
    """Return the token after which a page begins; nothing begins with the first. Raises ValueError."""
    return token(text) if text else ""
