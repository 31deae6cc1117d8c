"""A collection of items: what a service says of its own, and the use cases that follow, without HTTP."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import apsw
from pydantic import BaseModel

from .idempotency import Answer
from .problems import Problem
from .store import Row, Store

Item = dict[str, Any]
Job = Callable[[apsw.Connection], Answer]
Ready = Any  # what `prepare` makes of a new item, and `insert` takes
dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What a service says of its collection; the routes follow from it."""

    name: str  # of the collection: its path and its table
    item: type[BaseModel]  # as answered; its fields are columns of the table
    new: type[BaseModel]  # as accepted by POST
    insert: Callable[[apsw.Connection, Ready, str], list[Row]]  # one statement, RETURNING the columns it is given
    change: type[BaseModel] | None = None  # as accepted by PATCH; None: items are immutable
    update: Callable[[apsw.Connection, int, Any, str], list[Row]] | None = None  # likewise
    prepare: Callable[[Sequence[Any]], list[Ready | Problem]] = list  # checks made before the write is queued
    conflicts: dict[str, Problem] = field(default_factory=dict)  # by the column of the constraint that failed
    filters: tuple[str, ...] = ()  # columns of ids that lists can be filtered by
    embeds: tuple[str, ...] = ()  # what `expand` may name
    embed: Callable[[list[Item], list[str]], None] | None = None  # adds what `expand` named to the items


class Collection:
    """The use cases of a resource. Those that write take the connection, and run inside the writer."""

    def __init__(self, resource: Resource, store: Store) -> None:
        self.resource = resource
        self.fields = tuple(resource.item.model_fields)
        versioned = resource.change is not None
        self.columns = ", ".join(self.fields + (("version",) if versioned else ()))
        self._store = store
        self._select = f"SELECT {self.columns} FROM {resource.name} WHERE "

    def item(self, row: Row) -> Item:
        """A row as it is answered."""
        return dict(zip(self.fields, row, strict=False))  # the version, if there is one, is the ETag

    def etag(self, row: Row) -> str | None:
        """The entity tag of a row (without quotes); None where rows never change."""
        return str(row[-1]) if self.resource.change else None

    def get(self, id: int) -> Row:
        """One row by its id. Raises Problem `not-found`."""
        return self.one(self._store.read(self._select + "id = ?", (id,)))

    def one(self, rows: list[Row]) -> Row:
        """The only row of `rows`. Raises Problem `not-found`."""
        if not rows:
            raise Problem("not-found", f"There is nothing under this id in {self.resource.name}.")
        return rows[0]

    def by_ids(self, ids: Sequence[int]) -> list[Item]:
        """Those of the ids that exist, in the order of their ids."""
        marks = ",".join("?" * len(ids))
        return [self.item(row) for row in self._store.read(f"{self._select}id IN ({marks}) ORDER BY id", ids)]

    def page(self, after: int, limit: int, where: dict[str, int]) -> tuple[list[Item], bool]:
        """The `limit` items after an id, and whether there are more."""
        conditions = " AND ".join(["id > ?", *(f"{column} = ?" for column in where)])
        rows = self._store.read(f"{self._select}{conditions} ORDER BY id LIMIT ?", (after, *where.values(), limit + 1))
        return [self.item(row) for row in rows[:limit]], len(rows) > limit

    def insert(self, ready: Ready, db: apsw.Connection) -> Row:
        """Insert one item. Raises Problem where a constraint says so."""
        try:
            return self.resource.insert(db, ready, self.columns)[0]
        except apsw.ConstraintError as error:
            raise self._conflict(error) from None

    def create(self, ready: Ready, db: apsw.Connection) -> Answer:
        """Insert one item and answer 201."""
        row = self.insert(ready, db)
        headers = {"Location": f"/{self.resource.name}/{row[0]}"}
        if (tag := self.etag(row)) is not None:
            headers["ETag"] = f'"{tag}"'
        return Answer(201, dumps(self.item(row)).encode(), headers)

    def create_batch(self, prepared: list[Ready | Problem], request_id: str, db: apsw.Connection) -> Answer:
        """Insert what can be inserted, each item for itself, and answer 200."""
        results: list[dict[str, Any]] = []
        for ready in prepared:
            problem = ready if isinstance(ready, Problem) else None
            if problem is None:
                try:
                    results.append({"status": 201, "item": self.item(self.insert(ready, db))})
                    continue
                except Problem as raised:
                    problem = raised.with_traceback(None)  # which leads here, and would keep all of this
            results.append({"status": problem.status, "problem": problem.body(request_id)})
        return Answer(200, dumps({"results": results}).encode())

    def update(self, id: int, change: Any, matches: Callable[[str], bool], db: apsw.Connection) -> Row:
        """Change one item, if its entity tag matches."""
        assert self.resource.update is not None
        self._check(id, matches, db)
        try:
            return self.resource.update(db, id, change, self.columns)[0]
        except apsw.ConstraintError as error:
            raise self._conflict(error) from None

    def delete(self, id: int, matches: Callable[[str], bool], db: apsw.Connection) -> None:
        """Delete one item, if its entity tag matches. Its id is never given again."""
        self._check(id, matches, db)
        db.execute(f"DELETE FROM {self.resource.name} WHERE id = ?", (id,))

    def _check(self, id: int, matches: Callable[[str], bool], db: apsw.Connection) -> None:
        tag = self.etag(self.one(db.execute(self._select + "id = ?", (id,)).fetchall()))
        if not matches(str(tag)):
            raise changed_meanwhile(tag)

    def _conflict(self, error: apsw.ConstraintError) -> Problem:
        column = str(error).rpartition(".")[2]
        if column not in self.resource.conflicts:
            raise error
        known = self.resource.conflicts[column]
        return Problem(known.kind, known.detail)  # one of its own: an error that is raised again keeps all its frames


def changed_meanwhile(tag: str | None) -> Problem:
    """What is answered where the version, now `tag`, is not one that the request names."""
    return Problem("precondition-failed", f'The version is now "{tag}": read it again, then decide.')
