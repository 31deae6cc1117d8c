"""Spans, and work that the requests of several traces share."""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

INTERNAL, SERVER, CLIENT = 1, 2, 3  # kinds, as OTLP numbers them
MOST_LINKS = 128  # of one span: OpenTelemetry's default
MOST_EVENTS = 32
LONGEST_TEXT = 300  # characters of an error's message

Attributes = dict[str, Any]  # strings, integers, booleans
Event = tuple[int, str, Attributes]  # when, in nanoseconds since 1970; its name
Link = tuple[str, str]  # trace and span


class Span:
    """A piece of work of one trace. Times are nanoseconds since 1970; `ended` is 0 until it has ended."""

    __slots__ = (
        "attributes", "began", "done", "ended", "events", "failed", "id", "kind", "links", "name", "parent", "state",
        "trace",
    )  # fmt: skip

    def __init__(
        self, trace: str, parent: str, name: str, kind: int, attributes: Attributes, state: str,
        done: Callable[["Span"], None],
    ) -> None:  # fmt: skip
        """`parent` is the id of its parent, `state` what other tracers send along; `done` takes it when it ends."""
        self.trace = trace
        self.parent = parent
        self.id = f"{random.getrandbits(64) or 1:016x}"
        self.name = name
        self.kind = kind
        self.attributes = attributes
        self.state = state
        self.done = done
        self.began = time.time_ns()
        self.ended = 0
        self.failed = False
        self.links: Sequence[Link] = ()
        self.events: list[Event] | None = None  # an empty list in each would keep the garbage collector busy

    def child(self, name: str, kind: int = INTERNAL, attributes: Attributes | None = None) -> "Span":
        """Begin a part of it."""
        return Span(self.trace, self.id, name, kind, attributes or {}, self.state, self.done)

    def then(self, name: str, attributes: Attributes) -> "Span":
        """End it, and begin what comes next, as another part of the same parent."""
        self.end()
        return Span(self.trace, self.parent, name, INTERNAL, attributes, self.state, self.done)

    def event(self, name: str, **attributes: str | int | bool) -> None:
        """Note that something happened now."""
        if self.events is None:
            self.events = []
        if len(self.events) < MOST_EVENTS:
            self.events.append((time.time_ns(), name, attributes))

    def fail(self, error: BaseException) -> None:
        """Note an error, by which it failed."""
        self.failed = True
        self.attributes["error.type"] = kind = type(error).__name__
        self.event("exception", **{"exception.type": kind, "exception.message": str(error)[:LONGEST_TEXT]})

    def end(self) -> None:
        """End it, once."""
        if not self.ended:
            self.ended = time.time_ns()
            self.done(self)

    def header(self) -> str:
        """Return the `traceparent` of a request that is a part of it."""
        return f"00-{self.trace}-{self.id}-01"


class Shared:
    """Work that is done once for several traced requests.

    Each of them has a span of its own for it. The parts of the work belong to the first one; the others are linked
    with it, both ways.
    """

    def __init__(self, spans: Sequence[Span], attributes: Attributes) -> None:
        """The work begins now, but a request may have waited for it in its span."""
        self.first, *others = self._spans = spans
        self._part: Span | None = None
        here = ((self.first.trace, self.first.id),)
        self.first.links = [(other.trace, other.id) for other in others[:MOST_LINKS]]
        for other in others:
            other.links = here
        for span in spans:
            span.attributes |= attributes

    def ask(self, name: str, attributes: Attributes) -> None:
        """Begin a part that another program or the disk does, until the work ends or the next part begins."""
        if self._part is not None:
            self._part.end()
        self._part = self.first.child(name, CLIENT, attributes)

    def end(self, error: BaseException | None = None) -> None:
        """End the work, once. It failed where there is an `error`."""
        for span in (*([self._part] if self._part else ()), *self._spans):
            if error is not None and not span.ended:
                span.fail(error)
            span.end()
