"""The three services in memory: they keep the contract as far as the load generator can see, or have one fault."""

import itertools
import json
import re
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
Reply = tuple[int, Json, dict[str, str]]
SERVICES = ("users", "products", "orders")
request_ids = itertools.count(1)


class Refused(Exception):
    def __init__(self, status: int, slug: str | None) -> None:
        request_id = f"{next(request_ids):032x}"
        self.status = status
        self.body = {"type": f"/problems/{slug}", "title": slug, "status": status, "request_id": request_id}


# Answers that are given before a key or a row is looked at. None: by a proxy, as HTML.
EARLY = (
    *((429, "rate-limited"), (401, "unauthorized"), (503, "overloaded"), (413, "body-too-large")),
    *((415, "unsupported-media-type"), (400, "malformed-body"), (302, None), (403, None), (404, None), (408, None)),
    *((409, None), (422, None), (431, None), (502, None), (503, None)),
)
EARLY_EVERY = 5


class Fake:
    """The data of the services. `fault` names what they do wrong:

    lose: the fifth order is acknowledged and lost; forget_keys: an Idempotency-Key is ignored;
    forget_refusals: a refusal is not stored under its key; ignore_if_match: every PATCH is accepted;
    compare_case: e-mails that differ by case count as two; repeat_pages: `after` is ignored;
    refuse_all: every write is answered with 401; fail_all: every request is answered with 500;
    early_answers: every fifth request is answered before it is looked at (nothing is wrong);
    drop_answers: every seventh write is made and not answered (networks do that: nothing is wrong);
    hold_units: every third order of a limited product is refused as stock-held first (nothing is wrong);
    oversell: the stock of a limited product is not looked at; keep_reserved: the third sale stays a reservation.
    """

    def __init__(self, fault: str | None = None) -> None:
        self.fault = fault
        self.lock = threading.Lock()
        self.rows: dict[str, dict[int, Json]] = {name: {} for name in SERVICES}
        self.versions: dict[tuple[str, int], int] = {}
        self.kept: dict[str, Reply] = {}
        self.ids = {name: itertools.count(1) for name in SERVICES}
        self.reserved: dict[str, Json] = {}
        self.sold: dict[str, Json] = {}
        self.tokens = itertools.count(1)
        self.in_batch = False
        self.writes = 0
        self.requests = itertools.count(1)

    def new(self, service: str, body: Json) -> Json:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        if service == "orders":
            body = self.checked_order(body)
        else:
            self.check(service, body)
        if service == "products":
            body = {"stock": None} | body | {"price": f"{Decimal(str(body['price'])):.2f}"}
        id_ = next(self.ids[service])
        row = {"id": id_, **body, "created_at": now}
        if not (self.fault == "lose" and (service, id_) == ("orders", 5)):
            self.rows[service][id_] = row
        return row

    def check(self, service: str, body: Json) -> None:
        fields = {"users": {"name", "email"}, "products": {"name", "price"}}[service]
        body = {name: value for name, value in body.items() if name != "stock"}
        name = body.get("name")
        good = set(body) == fields and isinstance(name, str) and 1 <= len(name.strip()) <= 200
        if service == "products":
            good = good and is_price(body["price"])
        if not good or (service == "users" and str(body["email"]).count("@") != 1):
            raise Refused(422, "validation")
        if service == "users" and any(self.key(body) == self.key(row) for row in self.rows["users"].values()):
            raise Refused(409, "duplicate-email")

    def key(self, user: Json) -> str:
        email = unicodedata.normalize("NFC", user["email"])
        return email if self.fault == "compare_case" else email.casefold()

    def checked_order(self, body: Json) -> Json:
        quantity = body["quantity"]
        if type(quantity) is not int or not 1 <= quantity <= 10_000:
            raise Refused(422, "validation")
        product = self.rows["products"].get(body["product_id"])
        if product is None or body["user_id"] not in self.rows["users"]:
            raise Refused(422, "unknown-reference")
        self.take(product, quantity)
        cents = int(Decimal(product["price"]) * 100) * quantity
        total = f"{cents // 100}.{cents % 100:02}"
        return body | {"product_name": product["name"], "unit_price": product["price"], "total": total}

    def take(self, product: Json, quantity: int) -> None:
        """Sell units of a limited product."""
        if product["stock"] is None:
            return
        number = next(self.tokens)
        if self.fault == "hold_units" and not self.in_batch and number % 3 == 0:  # else the whole batch is refused
            raise Refused(503, "stock-held")
        if product["stock"] < quantity and self.fault != "oversell":
            raise Refused(409, "out-of-stock")
        product["stock"] = max(0, product["stock"] - quantity)
        kept = self.reserved if self.fault == "keep_reserved" and len(self.sold) == 2 else self.sold
        kept[f"a.{number:06}"] = {"token": f"a.{number:06}", "product_id": product["id"], "quantity": quantity}

    def add(self, id_: int, units: int) -> Reply:
        """Add to the stock of a limited product."""
        product = self.rows["products"][id_]
        if product["stock"] + units < 0:
            raise Refused(409, "out-of-stock")
        product["stock"] += units
        return 200, dict(product), {}

    def post(self, service: str, path: str, body: Json) -> Reply:
        if path.endswith("/stock"):
            return self.add(int(path.split("/")[2]), body["add"])
        if not path.endswith("/batch"):
            row = self.new(service, body)
            return 201, row, {"Location": f"/{service}/{row['id']}"}
        results: list[Json] = []
        self.in_batch = True
        for item in body["items"]:
            try:
                results.append({"status": 201, "item": self.new(service, item)})
            except Refused as refused:
                results.append({"status": refused.status, "problem": refused.body})
        self.in_batch = False
        return 200, {"results": results}, {}

    def keyed_post(self, service: str, path: str, body: Json, key: str) -> Reply:
        if key in self.kept and self.fault != "forget_keys":
            status, answer, headers = self.kept[key]
            return status, answer, headers | {"Idempotency-Replayed": "true"}
        try:
            self.kept[key] = self.post(service, path, body)
        except Refused as refused:
            if refused.body["title"] in ("validation", "stock-held") or self.fault == "forget_refusals":
                raise  # decided before the key is looked at: not stored
            self.kept[key] = refused.status, refused.body, {}
        return self.kept[key]

    def patch(self, service: str, id_: int, body: Json, if_match: str) -> Reply:
        version = self.versions.get((service, id_), 1)
        if if_match != f'"{version}"' and self.fault != "ignore_if_match":
            raise Refused(412, "precondition-failed")
        self.rows[service][id_] |= body
        self.versions[service, id_] = version + 1
        return 200, self.rows[service][id_], {"ETag": f'"{version + 1}"'}

    def get(self, service: str, url: str) -> Reply:
        parts = urlsplit(url)
        if parts.path == "/readyz":
            return 200, {}, {}
        if parts.path == "/metrics":
            raise Refused(404, "not-found")
        if parts.path == "/products/reservations":
            ((cursor, values),) = (
                (name, v) for name, v in parse_qs(parts.query, keep_blank_values=True).items() if "after" in name
            )
            listed = self.sold if cursor == "sold_after" else self.reserved
            return 200, {"items": [row for token, row in sorted(listed.items()) if token > values[0]], "next": None}, {}
        if parts.path != f"/{service}":
            id_ = int(parts.path.rpartition("/")[2])
            if id_ not in self.rows[service]:
                raise Refused(404, "not-found")
            return 200, self.rows[service][id_], {"ETag": f'"{self.versions.get((service, id_), 1)}"'}
        query = {name: int(values[0]) for name, values in parse_qs(parts.query).items() if name != "expand"}
        after, limit = query.pop("after", 0), query.pop("limit", 50)
        if self.fault == "repeat_pages":
            after = 0
        rows = [row for id_, row in self.rows[service].items() if id_ > after]
        rows = [row for row in rows if all(row[name] == value for name, value in query.items())]
        return 200, {"items": rows[:limit], "next": None if len(rows) <= limit else f"/{service}?after=..."}, {}


def is_price(price: Any) -> bool:
    if isinstance(price, str):
        return re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,2})?|1000000(\.00?)?", price) is not None
    if isinstance(price, bool) or not isinstance(price, int | float):
        return False
    cents = Decimal(str(price)) * 100
    return 0 <= cents <= 100_000_000 and cents == int(cents)


def handler(fake: Fake, service: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def answer(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
            with fake.lock:
                try:
                    status, content, headers = self.reply(body)
                except Refused as refused:
                    status, content, headers = refused.status, refused.body, {}
                data = b"<html>" if content.get("title", "") is None else json.dumps(content).encode()
                fake.writes += self.command != "GET"
                dropped = fake.fault == "drop_answers" and self.command != "GET" and fake.writes % 7 == 0
            if dropped:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def reply(self, body: Any) -> Reply:
            if fake.fault == "fail_all":
                raise Refused(500, "internal")
            if fake.fault == "refuse_all" and self.command != "GET":
                raise Refused(401, "unauthorized")
            if fake.fault == "early_answers" and (number := next(fake.requests)) % EARLY_EVERY == 0:
                raise Refused(*EARLY[number // EARLY_EVERY % len(EARLY)])
            if self.command == "GET":
                return fake.get(service, self.path)
            if self.command == "PATCH":
                return fake.patch(service, int(self.path.rpartition("/")[2]), body, self.headers["If-Match"])
            return fake.keyed_post(service, self.path, body, self.headers["Idempotency-Key"])

        do_GET = do_POST = do_PATCH = answer  # noqa: N815 - names that http.server calls

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


@contextmanager
def running(fault: str | None = None) -> Iterator[dict[str, str]]:
    """Run the services on free ports of 127.0.0.1; yields the environment for the load generator."""
    fake = Fake(fault)
    servers = {name: Server(("127.0.0.1", 0), handler(fake, name)) for name in SERVICES}
    for server in servers.values():
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield {f"{name.upper()}_URL": f"http://127.0.0.1:{server.server_port}" for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.shutdown()
            server.server_close()
