"""The use cases of a resource, without Flask: read, create, change, delete."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from ..http import problem_kinds as kinds
from ..http.problems import Problem
from ..http.responses import dumps
from ..storage.database import (
    Answer,
    Database,
    Delete,
    Ended,
    Insert,
    InUse,
    Kept,
    Key,
    Missing,
    OtherVersion,
    Row,
    UniqueViolation,
    Update,
    Versions,
    Write,
)
from .declaration import Item, Resource
from .idempotency import replay

Refusal = UniqueViolation | Missing | OtherVersion | InUse


class UseCases:
    """The use cases of one resource on its database."""

    def __init__(self, resource: Resource, database: Database) -> None:
        self.resource = resource
        self._table = resource.table
        self._database = database
        self._select = f"SELECT {', '.join(self._table.columns)} FROM {self._table.name} WHERE "

    def item(self, row: Row) -> Item:
        """Return a row as it is answered, without its version."""
        return dict(zip(self._table.answers, row, strict=False))

    def tag(self, row: Row) -> dict[str, str]:
        """Return the header with a row's entity tag; none where rows never change."""
        return {"ETag": f'"{row[-1]}"'} if self._table.update else {}

    def get(self, id: int) -> Row:
        """Return one row. Raises Problem `not-found`."""
        rows = self._database.read(self._select + "id = ?", (id,))
        if not rows:
            raise self.refusal(Missing())
        return rows[0]

    def by_ids(self, ids: Sequence[int]) -> list[Item]:
        """Return the items that exist among `ids`, in the order of their ids."""
        # A statement for each power of two: an engine keeps those prepared that it has seen before.
        padded = [*ids, *ids[-1:] * (2 ** (len(ids) - 1).bit_length() - len(ids))]
        marks = ",".join("?" * len(padded))
        return [self.item(row) for row in self._database.read(f"{self._select}id IN ({marks}) ORDER BY id", padded)]

    def page(self, after: int, limit: int, where: dict[str, int]) -> tuple[list[Item], bool]:
        """Return the `limit` items after an id, and whether there are more."""
        conditions = " AND ".join(["id > ?", *(f"{column} = ?" for column in where)])
        sql = f"{self._select}{conditions} ORDER BY id LIMIT ?"
        rows = self._database.read(sql, (after, *where.values(), limit + 1))
        return [self.item(row) for row in rows[:limit]], len(rows) > limit

    def create(self, new: Any, key: Key | None, request_id: str) -> Answer:
        """Create one item: replay, prepare, write, answer. With a key the outcome is decided once.

        Raises:
            Problem: the item was refused and there is no key to keep that under, or the key stands for another request.
            StorageError: see storage/errors.py.
        """
        if key is not None and (kept := self._database.kept(key.value)) is not None:
            return replay(kept, key)
        (row,) = prepared = self.resource.rows([new])
        if isinstance(row, Problem) and key is None:
            raise row
        rows = [] if isinstance(row, Problem) else [row]
        answer = partial(self._created, request_id, prepared)
        write = Write(Insert(self._table, rows), answer, key, ended=self._ended(rows))
        outcome: Answer | Kept = self._database.write(write)
        return replay(outcome, key) if isinstance(outcome, Kept) else outcome

    def create_batch(self, items: Sequence[Any | Problem], key: Key | None, request_id: str) -> Answer:
        """Create many items in one transaction; each succeeds or fails by itself. Raises as `create` does.

        `items` holds a Problem in the place of each item that is not valid.
        """
        if key is not None and (kept := self._database.kept(key.value)) is not None:
            return replay(kept, key)
        checked = iter(self.resource.rows([new for new in items if not isinstance(new, Problem)]))
        prepared = [new if isinstance(new, Problem) else next(checked) for new in items]
        rows = [row for row in prepared if not isinstance(row, Problem)]
        answer = partial(self._created_batch, request_id, prepared)
        write = Write(Insert(self._table, rows), answer, key, len(items), self._ended(rows))
        outcome: Answer | Kept = self._database.write(write)
        return replay(outcome, key) if isinstance(outcome, Kept) else outcome

    def _ended(self, rows: Sequence[Row]) -> Ended | None:
        """Return what is told of the end of a write of `rows`."""
        return partial(self.resource.ended, rows) if self.resource.ended is not None and rows else None

    def change(self, id: int, change: Any, versions: Versions) -> Row:
        """Change one item, if its version is one of `versions`, and return its new row.

        Raises:
            Problem: `not-found`, `precondition-failed`, or a conflict.
            StorageError: see storage/errors.py.
        """
        assert self.resource.changed is not None
        result = self._database.write(Write(Update(self._table, id, self.resource.changed(change), versions)))
        if isinstance(result, Refusal):
            raise self.refusal(result)
        row: Row = result
        return row

    def delete(self, id: int, versions: Versions) -> None:
        """Delete one item, if its version is one of `versions`. Raises as `change` does."""
        result = self._database.write(Write(Delete(self._table, id, versions)))
        if isinstance(result, Refusal):
            raise self.refusal(result)

    def _created(self, request_id: str, prepared: list[Row | Problem], inserted: list[Row | UniqueViolation]) -> Answer:
        """Return the answer to the creation of one item."""
        row = self._result(prepared[0], iter(inserted))
        if isinstance(row, Problem):
            return Answer(row.kind.status, dumps(row.body(request_id)).encode(), {})
        headers = {"Location": f"/{self._table.name}/{row[0]}"} | self.tag(row)
        return Answer(201, dumps(self.item(row)).encode(), headers)

    def _created_batch(
        self, request_id: str, prepared: list[Row | Problem], inserted: list[Row | UniqueViolation]
    ) -> Answer:
        """Return the answer to the creation of many items, with a result for each in the order sent."""
        remaining = iter(inserted)
        results: list[dict[str, Any]] = []
        for each in prepared:
            row = self._result(each, remaining)
            if isinstance(row, Problem):
                results.append({"status": row.kind.status, "problem": row.body(request_id)})
            else:
                results.append({"status": 201, "item": self.item(row)})
        return Answer(200, dumps({"results": results}).encode(), {})

    def _result(self, prepared: Row | Problem, inserted: Iterator[Row | UniqueViolation]) -> Row | Problem:
        """Return what became of one item: its row, which is the next of `inserted`, or the problem that refused it."""
        if isinstance(prepared, Problem):
            return prepared
        row = next(inserted)
        return self.refusal(row) if isinstance(row, UniqueViolation) else row

    def refusal(self, result: Refusal) -> Problem:
        """Return the problem that a refused write is answered with."""
        if isinstance(result, Missing):
            return Problem(kinds.NOT_FOUND, f"There is nothing under this id in {self._table.name}.")
        if isinstance(result, OtherVersion):
            return other_version(result.version)
        if isinstance(result, InUse):
            assert self.resource.in_use is not None
            return Problem(*self.resource.in_use)
        kind, detail = self.resource.conflicts[result.column]
        return Problem(kind, detail)


def other_version(version: Any) -> Problem:
    """Return the problem of a request that names other versions than the current one."""
    return Problem(kinds.PRECONDITION_FAILED, f'The version is now "{version}": read it again, then decide.')
