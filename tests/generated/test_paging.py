"""Walking a collection page by page, whatever the limit, and whatever is deleted on the way."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from service_common.collection import Collection, Resource
from service_common.store import Store

SCHEMA = "-- version 1\nCREATE TABLE things (id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER) STRICT;"


class Thing(BaseModel):
    id: int
    kind: int


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = Store(tmp_path_factory.mktemp("paging") / "things.db", SCHEMA)
    opened.writing.pragma("synchronous", 0)  # no crash is tested here
    yield opened
    opened.close()


def filled(store: Store, kinds: list[int]) -> tuple[Collection, list[int]]:
    """A collection of things of these kinds only, and their ids."""
    store.writing.execute("DELETE FROM things")
    ids = [int(store.writing.execute("INSERT INTO things (kind) VALUES (?) RETURNING id", (k,)).get) for k in kinds]
    resource = Resource(name="things", item=Thing, new=Thing, insert=lambda *_: [], filters=("kind",))
    return Collection(resource, store), ids


@given(
    st.lists(st.integers(0, 2), max_size=25),
    st.lists(st.integers(1, 8), min_size=1, max_size=30),
    st.sampled_from([{}, {"kind": 1}]),
    st.data(),
)
def test_a_walk_meets_everything_that_stays_exactly_once(
    store: Store, kinds: list[int], limits: list[int], where: dict[str, int], data: st.DataObject
) -> None:
    collection, ids = filled(store, kinds)
    doomed = set(data.draw(st.lists(st.sampled_from(ids), max_size=8))) if ids else set()
    met: list[int] = []
    after, more, deleted = 0, True, set[int]()
    for limit in itertools.islice(itertools.cycle(limits), len(ids) + 1):
        items, more = collection.page(after, limit, where)
        met += [item["id"] for item in items]
        assert len(items) == limit or not more
        if not more:
            break
        after = items[-1]["id"]
        if doomed:
            store.writing.execute("DELETE FROM things WHERE id = ?", (gone := doomed.pop(),))
            deleted.add(gone)
    wanted = [id for id, kind in zip(ids, kinds, strict=True) if not where or kind == 1]
    assert not more, "the walk does not end"
    assert met == sorted(set(met))
    assert set(wanted) - deleted <= set(met) <= set(wanted)
