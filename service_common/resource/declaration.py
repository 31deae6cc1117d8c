"""The declaration of a resource: all that a service says of its own. Routes, use cases and OpenAPI follow from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from ..http.problem_kinds import ProblemKind
from ..http.problems import Problem
from ..storage.database import Row, Table

Item = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A collection of items in one table."""

    table: Table  # its name is the path of the collection, too
    item: type[BaseModel]  # as answered; its fields are `table.answers`
    new: type[BaseModel]  # as accepted by POST
    rows: Callable[[Sequence[Any]], list[Row | Problem]]  # checks new items: the values of `table.fields`, or a problem
    ended: Callable[[Sequence[Row], Any, Exception | None], None] | None = None  # told of the end of each write of rows
    change: type[BaseModel] | None = None  # as accepted by PATCH; None: items are immutable
    changed: Callable[[Any], Row] | None = None  # the values of `table.fields` for a change
    problems: tuple[ProblemKind, ...] = ()  # those that only this service has
    conflicts: dict[str, tuple[ProblemKind, str]] = field(default_factory=dict)  # by column: kind and detail
    in_use: tuple[ProblemKind, str] | None = None  # kind and detail where the table says that an item is in use
    polled: tuple[str, ...] = ()  # routes that other services read all the time; successful reads are not logged
    filters: tuple[str, ...] = ()  # columns of ids that lists can be filtered by
    embeds: tuple[str, ...] = ()  # names that `expand` accepts
    embed: Callable[[list[Item], list[str]], None] | None = None  # adds to the items what `expand` names
    more_paths: dict[str, Any] = field(default_factory=dict)  # OpenAPI of the routes that only this service has
    more_bodies: tuple[type[BaseModel], ...] = ()  # the bodies that these accept

    @property
    def name(self) -> str:
        """The name of the collection."""
        return self.table.name

    @property
    def fixed_segments(self) -> set[str]:
        """The words that stand in a path where other paths have an id."""
        found = [path.split("/")[2] for path in self.more_paths]
        return {"batch", *(segment for segment in found if not segment.startswith("{"))}
