"""Procedures and guards: statements of a service's own, in the transaction of a group."""

from dataclasses import dataclass
from typing import Any

import pytest

from service_common.storage.database import Answer, Execute, Kept, Key, Procedure, Write
from service_common.storage.errors import Unavailable
from service_common.storage.postgres.database import PostgresDatabase

from .writes import all_outcomes, insert, keyed


@dataclass
class RenameAll(Procedure):
    """Count the users and rename all of them, unless told to fail between the two."""

    name: str
    fails: bool = False

    def run(self, execute: Execute) -> Any:
        execute("UPDATE turn SET ids = ids")
        if self.fails:
            execute("UPDATE users SET name = ?", ("half",))
            raise ValueError("in the middle")
        return execute("UPDATE users SET name = ? WHERE id > ? RETURNING name", (self.name, 0))


@dataclass
class Guard(Procedure):
    """Let nothing through while there is a user of that name."""

    name: str

    def run(self, execute: Execute) -> None:
        if execute("SELECT 1 FROM users WHERE name = ?", (self.name,)):
            raise Unavailable("guarded")


def test_a_procedure_is_one_write(database: PostgresDatabase) -> None:
    inserted, renamed, failed = all_outcomes(
        database, insert("a"), Write(RenameAll("b")), Write(RenameAll("c", fails=True))
    )
    assert inserted[0][1] == "a"
    assert renamed == [("b",)]
    assert isinstance(failed, ValueError)
    assert database.read("SELECT name FROM users") == [("b",)]


def test_a_procedure_under_a_key_is_decided_once(database: PostgresDatabase) -> None:
    database.write(insert("a"))

    def write(name: str) -> Any:
        procedure = RenameAll(name)
        return database.write(Write(procedure, lambda rows: Answer(200, repr(rows).encode(), {}), Key("k", b"f")))

    first, again = write("b"), write("c")
    assert again == Kept(b"f", first)
    assert database.read("SELECT name FROM users") == [("b",)]


def test_where_the_guard_raises_nothing_of_the_group_is_written(database: PostgresDatabase) -> None:
    database.write(insert("a"))
    database.guard(Guard("a"))
    outcomes = all_outcomes(database, insert("b"), keyed("k", "c"))
    assert [type(each) for each in outcomes] == [Unavailable] * 2
    database.guard(Guard("nobody"))
    assert database.write(keyed("k", "c")).status == 201
    assert database.read("SELECT name FROM users ORDER BY id") == [("a",), ("c",)]


def test_the_guard_is_run_again_where_a_group_is(database: PostgresDatabase) -> None:
    ran: list[int] = []

    class Counting(Procedure):
        def run(self, execute: Execute) -> None:
            ran.append(1)

    database.guard(Counting())
    with pytest.raises(ValueError, match="in the middle"):
        database.write(Write(RenameAll("b", fails=True)))
    assert len(ran) == 2
