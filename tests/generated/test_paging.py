"""A walk through a collection page by page meets each item once, whatever the limits, and whatever is deleted."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from service_common.resource.declaration import Resource
from service_common.resource.use_cases import UseCases
from service_common.storage.database import Schema, Table, WriteLimits
from service_common.storage.sqlite.database import SqliteDatabase

TABLE = Table(
    name="things",
    answers=("id", "kind"),
    fields=("kind",),
    insert="INSERT INTO things (id, kind) SELECT id, kind FROM new",
)
SCHEMA = Schema(
    "things",
    "-- version 1\nCREATE TABLE things (id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER) STRICT;",
    (TABLE,),
)


class Thing(BaseModel):
    id: int
    kind: int


RESOURCE = Resource(
    table=TABLE, item=Thing, new=Thing, rows=lambda new: [(thing.kind,) for thing in new], filters=("kind",)
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteDatabase]:
    path = tmp_path_factory.mktemp("paging") / "things.db"
    opened = SqliteDatabase(path, SCHEMA, WriteLimits(), CollectorRegistry())
    opened.file.writing.pragma("synchronous", 0)  # no crash is tested here
    yield opened
    opened.close(5)


def filled(database: SqliteDatabase, kinds: list[int]) -> tuple[UseCases, list[int]]:
    """Return the use cases of things of these kinds only, and their ids."""
    db = database.file.writing
    db.execute("DELETE FROM things")
    ids = [int(db.execute("INSERT INTO things (kind) VALUES (?) RETURNING id", (kind,)).get) for kind in kinds]
    return UseCases(RESOURCE, database), ids


@given(
    st.lists(st.integers(0, 2), max_size=25),
    st.lists(st.integers(1, 8), min_size=1, max_size=30),
    st.sampled_from([{}, {"kind": 1}]),
    st.data(),
)
def test_a_walk_meets_each_item_that_stays_exactly_once(
    database: SqliteDatabase, kinds: list[int], limits: list[int], where: dict[str, int], data: st.DataObject
) -> None:
    use_cases, ids = filled(database, kinds)
    doomed = set(data.draw(st.lists(st.sampled_from(ids), max_size=8))) if ids else set()
    met: list[int] = []
    after, more, deleted = 0, True, set[int]()
    for limit in itertools.islice(itertools.cycle(limits), len(ids) + 1):
        items, more = use_cases.page(after, limit, where)
        met += [item["id"] for item in items]
        assert len(items) == limit or not more
        if not more:
            break
        after = items[-1]["id"]
        if doomed:
            database.file.writing.execute("DELETE FROM things WHERE id = ?", (gone := doomed.pop(),))
            deleted.add(gone)
    wanted = [id for id, kind in zip(ids, kinds, strict=True) if not where or kind == 1]
    assert not more, "the walk does not end"
    assert met == sorted(set(met))
    assert set(wanted) - deleted <= set(met) <= set(wanted)
