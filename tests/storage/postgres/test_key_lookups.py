"""Look-ups of keys share queries. They wait for a transaction under way, but not for long."""

import time
from typing import Any

import gevent
import pytest

from service_common.storage.database import Answer, Kept, Row
from service_common.storage.errors import Unavailable
from service_common.storage.postgres import readers as module
from service_common.storage.postgres.readers import KeyLookups

QUERY_S = 0.005


class Readers:
    """Readers that know one decided key, and note what they are asked for."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def read(self, _sql: str, values: Any) -> list[Row]:
        self.asked.append(values[0])
        gevent.sleep(QUERY_S)
        return [("decided", b"f", 201, b"{}", "{}", int(time.time()))]


@pytest.fixture
def readers() -> Readers:
    return Readers()


@pytest.fixture
def lookups(readers: Readers) -> KeyLookups:
    return KeyLookups(readers)  # type: ignore[arg-type]


@pytest.fixture
def patient(lookups: KeyLookups, monkeypatch: pytest.MonkeyPatch) -> KeyLookups:
    """Look-ups that wait for a transaction however long it lasts on a busy machine."""
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 30)
    return lookups


def find(lookups: KeyLookups, *keys: str) -> list[Kept | None]:
    """Look for keys at the same moment."""
    greenlets = [gevent.spawn(lookups.find, key) for key in keys]
    return [greenlet.get() for greenlet in greenlets]


def test_look_ups_that_arrive_at_once_share_a_query(lookups: KeyLookups, readers: Readers) -> None:
    kept = Kept(b"f", Answer(201, b"{}", {}))
    assert find(lookups, "a", "decided", "b") == [None, kept, None]
    assert readers.asked == [["a", "decided", "b"]]


def test_look_ups_that_arrive_during_a_query_share_the_next(lookups: KeyLookups, readers: Readers) -> None:
    first = gevent.spawn(lookups.find, "a")
    gevent.sleep(QUERY_S / 2)
    find(lookups, "b", "c")
    first.get()
    assert readers.asked == [["a"], ["b", "c"]]


def test_look_ups_that_arrive_during_a_transaction_share_a_query_after_it(
    patient: KeyLookups, readers: Readers
) -> None:
    with patient.paused():
        first = gevent.spawn(patient.find, "a")
        gevent.sleep(QUERY_S)
        second = gevent.spawn(patient.find, "b")
        gevent.sleep(QUERY_S)
        assert readers.asked == []
    gevent.joinall([first, second], raise_error=True)
    assert readers.asked == [["a", "b"]]


def test_a_look_up_does_not_wait_for_a_transaction_that_lasts(lookups: KeyLookups, readers: Readers) -> None:
    with lookups.paused(), gevent.Timeout(5):
        find(lookups, "a")
    assert readers.asked == [["a"]]


def test_a_look_up_that_is_killed_does_not_block_the_others(patient: KeyLookups, readers: Readers) -> None:
    with gevent.Timeout(5):
        with patient.paused():
            first, second = (gevent.spawn(patient.find, key) for key in "ab")
            gevent.sleep(QUERY_S)
            first.kill()
            with pytest.raises(Unavailable):
                second.get()
        find(patient, "c")
    assert readers.asked == [["c"]]
