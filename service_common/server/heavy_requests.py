"""Large requests are worked on a few at a time, so that small ones are answered between them."""

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from gevent.event import Event

from ..event_loop import let_others_run
from .errors import TooManyLargeRequests

LARGE_BODY = 64 << 10  # bytes; parsing a larger body takes so long that it counts as heavy
MANY_ITEMS = 100  # of one list or batch; more of them count as heavy
LARGE_AT_ONCE = 2  # heavy requests that are worked on at the same time


class HeavyRequests:
    """The places for heavy requests. Addresses take turns, so whoever sends many delays only themselves."""

    def __init__(self, places: int, patience: float) -> None:
        """`patience` is the number of seconds that a request waits for a place."""
        self._free = places
        self._patience = patience
        self._waiting: OrderedDict[str, deque[Event]] = OrderedDict()

    @contextmanager
    def place(self, address: str) -> Iterator[None]:
        """Hold one of the places during the block.

        Raises:
            TooManyLargeRequests: none became free in time.
        """
        if self._free:
            self._free -= 1
        else:
            self._wait(address)
        try:
            let_others_run()
            yield
        finally:
            self._pass_on()

    def _wait(self, address: str) -> None:
        mine = Event()
        line = self._waiting.setdefault(address, deque())
        line.append(mine)
        mine.wait(self._patience)
        if not mine.is_set():
            line.remove(mine)
            if not line:
                del self._waiting[address]
            raise TooManyLargeRequests(f"Too many large requests: this one waited {self._patience:g} s for its turn.")

    def _pass_on(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        address, line = self._waiting.popitem(last=False)
        line.popleft().set()
        if line:
            self._waiting[address] = line  # behind the other addresses


def heavy_request(environ: Mapping[str, Any], items: int = MANY_ITEMS + 1) -> AbstractContextManager[None]:
    """Return a context: the place of a request among the heavy ones. With few items it needs none.

    Another server than ours has no such places.

    Raises:
        TooManyLargeRequests: on entering, when no place became free in time.
    """
    connection = environ.get("gunicorn.socket")
    if items <= MANY_ITEMS or connection is None:
        return nullcontext()
    place: AbstractContextManager[None] = connection.limits.heavy_requests.place(connection.address)
    return place
