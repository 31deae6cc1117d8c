"""The audit of the tables in PostgreSQL: its own checks, and their rows. It shares no code with the services."""

import json
from typing import Protocol

from ..databases.files import IDENTITY, File
from ..databases.stock import Stock
from ..system import SERVICES, NotHappened

# Each index is compared with its table, and each page that was read had a right checksum.
_CHECK = """
DO $$ BEGIN IF NOT pg_is_in_recovery() THEN CREATE EXTENSION IF NOT EXISTS amcheck; END IF; END $$;
SELECT bt_index_check(indexrelid, true) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    JOIN pg_am ON pg_am.oid = relam WHERE amname = 'btree';
"""
_FAILED = "SELECT coalesce(sum(checksum_failures), 0) FROM pg_stat_database"
_KEPT = "SELECT json_build_array(status, convert_from(body, 'UTF8')::json) FROM idempotency_keys WHERE status < 300"
_UNITS = {
    "products": {
        "left": "SELECT json_build_array(id, stock) FROM products WHERE stock IS NOT NULL",
        "reserved": "SELECT json_build_array(token, product_id, quantity) FROM reservations",
        "sold": "SELECT json_build_array(token, product_id, quantity) FROM sales",
    },
    "orders": {"ordered": "SELECT json_build_array(token, product_id, quantity) FROM orders WHERE token IS NOT NULL"},
}


class Server(Protocol):
    """What can be asked."""

    def sql(self, database: str, text: str) -> list[str]:
        """Return the rows of one column each. Raises NotHappened."""


def read_tables(system: Server) -> tuple[dict[str, File], Stock, list[str]]:
    """Return the rows of each service, the units in all of them, and the damage that the checks found.

    Raises:
        NotHappened: a table cannot be read.
    """
    files, stock, damage = {}, Stock(), []
    for service in SERVICES:
        try:
            system.sql(service, _CHECK)
        except NotHappened as error:
            damage.append(f"{service}: {error}")
        kept: list[int] = []
        for status, answer in map(json.loads, system.sql(service, _KEPT)):
            if "results" in answer or status == 201:  # else no row was made, but stock added to one
                kept += [each["item"]["id"] for each in answer.get("results", [{"item": answer}]) if "item" in each]
        units = _UNITS.get(service, {})
        stock.add({name: [json.loads(row) for row in system.sql(service, sql)] for name, sql in units.items()})
        rows = dict(
            map(
                json.loads,
                system.sql(service, f"SELECT json_build_array(id, {IDENTITY[service]}) FROM {service} ORDER BY id"),
            )
        )
        files[service] = File(rows, len(kept) - len(set(kept)) + len(set(kept) ^ set(rows)))
    if (failed := system.sql("postgres", _FAILED)) != ["0"]:
        damage.append(f"pages with a wrong checksum: {failed[0]}")
    return files, stock, damage
