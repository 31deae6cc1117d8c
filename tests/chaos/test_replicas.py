"""The judge of a campaign on replicas: rows in real tables, and a reader that follows them."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from chaos.campaign import plan
from chaos.replicas.faults import FAULTS, SHORT
from chaos.replicas.follower import Follower
from chaos.replicas.tables import read_tables
from chaos.system import SERVICES, NotHappened
from testbed import wait_until
from testbed.postgres import PostgresServer

ROWS = {
    "users": "INSERT INTO users (id, name, email, email_key) VALUES (1, 'Ada', 'a@b.c', 'a@b.c')",
    "products": "INSERT INTO products (id, name, cents) VALUES (4, 'Tea', 5)",
    "orders": "INSERT INTO orders (id, user_id, product_id, quantity, product_name, cents) VALUES (9, 1, 4, 2, 'Tea', 5)",
}
KEYS = "INSERT INTO idempotency_keys VALUES ('k', '', 201, '{}', '{{}}', 0)"


class Tables:
    """The part of a system that the judge needs: the databases on a server of this machine."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        own = resources.files("service_common.storage.postgres").joinpath("bookkeeping.sql").read_text()
        for service, row in ROWS.items():
            server.run_sql(f'DROP DATABASE IF EXISTS "{service}"')
            server.create_database(service)
            schema = resources.files(f"{service}_service").joinpath("schema.postgres.sql").read_text()
            id = {"users": 1, "products": 4, "orders": 9}[service]
            for text in (own, schema, row, KEYS.format(json.dumps({"id": id}))):
                server.run_sql(text, service)

    def sql(self, database: str, text: str) -> list[str]:
        try:
            return self.server.run_sql(text, database).splitlines()
        except AssertionError as error:
            raise NotHappened(str(error)) from None


@pytest.fixture
def tables(postgres: PostgresServer) -> Iterator[Tables]:
    made = Tables(postgres)
    yield made
    for service in SERVICES:
        postgres.run_sql(f'DROP DATABASE "{service}"')


def test_rows_and_keys_are_read_as_they_are(tables: Tables) -> None:
    files, _, damage = read_tables(tables)  # type: ignore[arg-type]
    assert {name: (file.rows, file.unkeyed) for name, file in files.items()} == {
        "users": ({1: "a@b.c"}, 0),
        "products": ({4: "Tea"}, 0),
        "orders": ({9: "1/4/2"}, 0),
    }
    assert damage == []


def test_a_row_without_its_key_and_a_key_without_its_row_are_found(tables: Tables) -> None:
    tables.sql("users", "DELETE FROM idempotency_keys")
    tables.sql("products", "DELETE FROM products")
    files, _, _ = read_tables(tables)  # type: ignore[arg-type]
    assert {name: file.unkeyed for name, file in files.items()} == {"users": 1, "products": 1, "orders": 0}


def test_an_index_that_lacks_a_row_is_damage(tables: Tables) -> None:
    # Rows that the partial predicate kept out, which a changed catalog now claims are in.
    tables.sql("orders", "CREATE INDEX planted ON orders (quantity) WHERE quantity > 5")
    tables.sql("orders", "UPDATE pg_index SET indpred = NULL WHERE indexrelid = 'planted'::regclass")
    _, _, damage = read_tables(tables)  # type: ignore[arg-type]
    assert [each.startswith("orders: ") for each in damage] == [True]


class Late(BaseHTTPRequestHandler):
    """A collection whose row 2 appears after row 3 was read."""

    ids: ClassVar = [1, 3]

    def do_GET(self) -> None:
        after = int(parse_qs(urlsplit(self.path).query)["after"][0])
        if after >= 3:
            type(self).ids = [1, 2, 3, 4]
        items = [{"id": id} for id in self.ids if id > after]
        body = json.dumps({"items": items}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None: ...


def test_a_row_that_appears_behind_a_reader_is_never_seen() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Late)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        follower = Follower(f"http://127.0.0.1:{server.server_port}/orders")
        wait_until(lambda: Late.ids == [1, 2, 3, 4], what="row 2 has appeared")
        assert {1, 2, 3, 4} - follower.end() == {2}
    finally:
        server.shutdown()


def test_every_fault_of_replicas_is_planned_once_and_pairs_exclude_those_that_fill_the_machine() -> None:
    rounds = plan(list(FAULTS), 60, 7, FAULTS)
    assert {fault.name for each in rounds[: len(FAULTS)] for fault in each} == set(FAULTS)
    assert sum(map(len, rounds)) == 60
    assert not any(fault.alone for each in rounds if len(each) > 1 for fault in each)
    assert set(SHORT) <= set(FAULTS)
