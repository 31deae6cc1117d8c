"""The ledger reads back as it was written, also after a crash; and the fate of a write is true, however its tries end."""

import itertools
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.audit.answers import LAST_LINE, Fate, fate
from loadgen.audit.ledger import Ledger, LedgerDamaged, read

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
LINES = st.lists(st.dictionaries(st.text(max_size=8), JSON, max_size=5), min_size=1, max_size=8)
paths = itertools.count()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledgers")


def as_read(value: Any) -> Any:
    """Return a value as the ledger reads it: fractions are the decimals that were written."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {name: as_read(inner) for name, inner in value.items()}
    return [as_read(inner) for inner in value] if isinstance(value, list) else value


def written(directory: Path, lines: list[dict[str, Any]]) -> Path:
    """Write a ledger of these lines and return its path."""
    ledger = Ledger(directory / f"{next(paths)}.jsonl")
    assert [ledger.write(line) for line in lines] == list(range(1, len(lines) + 1))
    ledger.close()
    return ledger.path


@given(LINES)
def test_reads_what_was_written(directory: Path, lines: list[dict[str, Any]]) -> None:
    assert list(read(written(directory, lines))) == as_read(lines)


@given(LINES, st.data())
def test_reads_every_whole_line_of_a_ledger_that_was_cut(
    directory: Path, lines: list[dict[str, Any]], data: st.DataObject
) -> None:
    path = written(directory, lines)
    whole = path.read_bytes()
    end = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:end])
    ends = itertools.accumulate(len(line) for line in whole.splitlines(keepends=True))
    assert list(read(path)) == as_read(lines)[: sum(at - 1 <= end for at in ends)]


@given(LINES, st.binary(min_size=1, max_size=30), st.data())
def test_never_skips_damage_before_the_last_line(
    directory: Path, lines: list[dict[str, Any]], damaged: bytes, data: st.DataObject
) -> None:
    path = written(directory, lines)
    whole = path.read_bytes().splitlines(keepends=True)
    damaged = damaged.replace(b"\n", b"x")
    try:
        json.loads(damaged)
    except ValueError:
        place = data.draw(st.integers(0, len(lines) - 1))
        path.write_bytes(b"".join([*whole[:place], damaged + b"\n", *whole[place:]]))
        with pytest.raises(LedgerDamaged, match=f"line {place + 1} "):
            list(read(path))


# A try of a write: the times at which it is sent and ends for the client, what the service does, and if it is heard.
TRIES = st.lists(
    st.tuples(
        st.integers(0, 9), st.integers(0, 9), st.sampled_from(["writes", "refuses", "overloaded"]), st.booleans()
    ),
    min_size=1,
    max_size=5,
)


@given(TRIES, st.booleans(), st.data())
def test_the_fate_of_a_write_is_true(tries: list[tuple[int, int, str, bool]], keyed: bool, data: st.DataObject) -> None:
    """Tries may overlap. The service decides them one after the other, none before it was sent, and one with a key
    not before those that had ended for the client when it was sent. Under a key the first decision holds for all."""
    spans = [(min(a, b) * 10 + place, max(a, b) * 10 + 5 + place) for place, (a, b, *_) in enumerate(tries)]
    order = data.draw(st.permutations(range(len(tries))))
    taken: list[int] = []
    while len(taken) < len(tries):  # the allowed order that is nearest to the drawn one
        taken.append(
            next(t for t in order if t not in taken
                 and all(o in taken or spans[o][1] >= spans[t][0] for o in range(len(tries)) if o != t))
        )  # fmt: skip
    exists = refused = False
    acknowledged: int | None = None
    doubt: int | None = None
    refusal: int | None = None
    for place in taken:
        sent, ended = spans[place]
        *_, does, heard = tries[place]
        if does == "overloaded" and heard:
            continue  # a 503 that says that nothing was written
        decided = keyed and (exists or refused)
        accepted = exists if decided else does == "writes" and not exists
        exists, refused = exists or accepted, refused or not accepted
        if not heard:
            doubt = max(doubt or 0, ended)
        elif accepted:
            acknowledged = min(acknowledged or ended, ended)
        else:
            refusal = LAST_LINE if keyed else max(refusal or 0, sent)
    told: Fate = fate(acknowledged, doubt, refusal, keyed)
    assert told != "ok" or exists
    assert told != "refused" or not exists
    if keyed and refusal == LAST_LINE:
        assert told == "refused"
    elif doubt is None:
        assert told == ("ok" if acknowledged is not None else "refused")
