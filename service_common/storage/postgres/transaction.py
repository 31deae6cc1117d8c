"""The transaction of a group: its turn, its keys, and the outcomes of its writes, up to but without COMMIT."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, LiteralString

import gevent
import psycopg

from ..database import Kept, Procedure, Row, Write
from ..group_commit import Outcome
from .connection import GROUP_S, Connection
from .failures import is_own
from .statements import FIND_KEYS, KEEP, GroupOfWrites, Relation, execute, found_keys, ids_needed, keep_row

# Raised by a write, these concern that write alone, although they are no Exception.
NOT_ERRORS = (gevent.Timeout, gevent.GreenletExit, SystemExit)


class DecidedMeanwhile(Exception):
    """A write that joined has a key that was decided before. The transaction must be rolled back, and run again."""


class Transaction:
    """A transaction that has taken the turn, and knows what the keys of its writes have decided.

    `run`, and COMMIT, belong in a block `with transaction.open_pipeline`. At its end all statements have been answered.
    """

    def __init__(
        self, connection: Connection, take_turn: LiteralString, writes: Sequence[Write], guard: Procedure | None
    ) -> None:
        """Begin, wait for the turn, and run the guard, in one round trip. `writes` may still become more.

        Raises what the guard raises, and psycopg.Error.
        """
        self.connection = connection
        self._take_turn = take_turn
        self._ids = 0  # that are reserved
        self._keys: set[str] = set()  # that were looked for
        self._decided: dict[str, Kept] = {}
        connection.within(GROUP_S)
        with ExitStack() as begun:
            self._pipeline = begun.enter_context(connection.pipeline())
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            turn, *found = self._reserve(writes, at_least=0)
            if guard is not None:
                guard.run(partial(execute, connection, self._pipeline))
            self._last_id: int = turn.fetchall()[0][0] - self._ids
            self._note_decided(found)
            self.open_pipeline = begun.pop_all()

    def run(self, relations: dict[str, Relation], writes: Sequence[Write], alone: bool) -> list[Outcome]:
        """Run `writes`, and return their outcomes. Raises DecidedMeanwhile, and what one of the writes raises.

        If `alone`, each write runs in a savepoint, and one that fails is rolled back by itself. `writes` must be those
        of the beginning then.
        """
        # Some writes joined while this transaction waited for its turn. Their ids follow the others. Their keys were
        # looked for a moment ago, and have hardly ever been decided since. So these writes run at once. If a key was
        # decided after all, everything is rolled back.
        joined = self._reserve(writes, at_least=1)[1:]
        group = GroupOfWrites(self.connection, self._pipeline, relations, self._last_id)
        if alone:
            return [self._in_savepoint(group, write) for write in writes]
        return self._decide(group, writes, joined)

    def _reserve(self, writes: Sequence[Write], at_least: int) -> list[psycopg.Cursor[Row]]:
        """Ask for ids and keys that are missing, if there are any. Return the last id and what keys decided."""
        ids = ids_needed([write.operation for write in writes]) - self._ids
        keys = {write.key.value for write in writes if write.key is not None} - self._keys
        answers = []
        if ids >= at_least or keys:
            self._ids += max(ids, 0)
            answers.append(self.connection.execute(self._take_turn, (max(ids, 0),)))
        if keys:
            self._keys |= keys
            answers.append(self.connection.execute(FIND_KEYS, (list(keys),), binary=True))
        return answers

    def _note_decided(self, found: list[psycopg.Cursor[Row]]) -> None:
        for answer in found:
            self._decided |= found_keys(answer.fetchall())

    def _decide(
        self, group: GroupOfWrites, writes: Sequence[Write], joined: Sequence[psycopg.Cursor[Row]] = ()
    ) -> list[Outcome]:
        """Run writes, and send the answers to keep without waiting.

        `joined` are the answers to the look-ups of keys that were sent just before. Raises DecidedMeanwhile where one
        of these keys is decided.

        A key that has decided before decides again. Of several writes with one key, the first does.
        """
        todo: dict[int, Write] = {}  # by position
        claimed = set(self._decided)
        for position, write in enumerate(writes):
            if write.key is None or write.key.value not in claimed:
                todo[position] = write
                if write.key is not None:
                    claimed.add(write.key.value)
        results = group.run([write.operation for write in todo.values()])
        if any(found_keys(answer.fetchall()) for answer in joined):
            raise DecidedMeanwhile
        values: dict[int, Any] = {}
        keep = []
        for (position, write), result in zip(todo.items(), results, strict=True):
            values[position] = write.answer(result) if write.answer is not None else result
            if write.key is not None:
                self._decided[write.key.value] = kept = Kept(write.key.fingerprint, values[position])
                keep.append(keep_row(write.key.value, kept))
        if keep:
            self.connection.execute(KEEP, (int(time.time()), *map(list, zip(*keep, strict=True))))
        return [
            (values[position] if position in values else self._decided[write.key.value], None)  # type: ignore[union-attr]
            for position, write in enumerate(writes)
        ]

    def _in_savepoint(self, group: GroupOfWrites, write: Write) -> Outcome:
        decided = dict(self._decided)
        self.connection.execute("SAVEPOINT write")
        try:
            (outcome,) = self._decide(group, [write])
            self.connection.execute("RELEASE write")
            self._pipeline.sync()
        except (Exception, *NOT_ERRORS) as raised:
            if self.connection.closed or not is_own(raised):
                raise
            self._decided = decided
            self.connection.execute("ROLLBACK TO write")
            self._pipeline.sync()
            if isinstance(raised, Exception):
                return None, raised
            error = RuntimeError(f"a write ended with {type(raised).__name__}")
            error.__cause__ = raised
            return None, error
        return outcome
