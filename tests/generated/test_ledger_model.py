"""The ledger: what was written is what is read, also where a crash cut the last line; and what tries say of a write."""

import itertools
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.ledger import Fate, Ledger, LedgerDamaged, fate, read

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
    """What is expected of a value: a fraction as the decimal that was written."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {name: as_read(inner) for name, inner in value.items()}
    return [as_read(inner) for inner in value] if isinstance(value, list) else value


def written(directory: Path, lines: list[dict[str, Any]]) -> Path:
    """A ledger of these lines."""
    ledger = Ledger(directory / f"{next(paths)}.jsonl")
    assert [ledger.write(line) for line in lines] == list(range(1, len(lines) + 1))
    ledger.close()
    return ledger.path


@given(LINES)
def test_what_was_written_is_read(directory: Path, lines: list[dict[str, Any]]) -> None:
    assert list(read(written(directory, lines))) == as_read(lines)


@given(LINES, st.data())
def test_of_a_ledger_that_was_cut_every_whole_line_is_read(
    directory: Path, lines: list[dict[str, Any]], data: st.DataObject
) -> None:
    path = written(directory, lines)
    whole = path.read_bytes()
    end = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:end])
    ends = itertools.accumulate(len(line) for line in whole.splitlines(keepends=True))
    assert list(read(path)) == as_read(lines)[: sum(at - 1 <= end for at in ends)]


@given(LINES, st.binary(min_size=1, max_size=30), st.data())
def test_damage_before_the_last_line_is_never_read_over(
    directory: Path, lines: list[dict[str, Any]], spoilt: bytes, data: st.DataObject
) -> None:
    path = written(directory, lines)
    whole = path.read_bytes().splitlines(keepends=True)
    spoilt = spoilt.replace(b"\n", b"x")
    try:
        json.loads(spoilt)
    except ValueError:
        place = data.draw(st.integers(0, len(lines) - 1))
        path.write_bytes(b"".join([*whole[:place], spoilt + b"\n", *whole[place:]]))
        with pytest.raises(LedgerDamaged, match=f"line {place + 1} "):
            list(read(path))


# A try of a write: when it is sent and when it ends for the client, and what the service does with it.
TRIES = st.lists(
    st.tuples(
        st.integers(0, 9), st.integers(0, 9), st.sampled_from(["writes", "refuses", "overloaded"]), st.booleans()
    ),
    min_size=1,
    max_size=5,
)


@given(TRIES, st.booleans(), st.data())
def test_a_fate_that_is_told_is_true(tries: list[tuple[int, int, str, bool]], keyed: bool, data: st.DataObject) -> None:
    """Tries may overlap. The service takes them one after the other, none before it was sent, and one with a key
    not before those that had ended for the client when it was sent."""
    spans = [(min(a, b) * 10 + place, max(a, b) * 10 + 5 + place) for place, (a, b, *_) in enumerate(tries)]
    order = data.draw(st.permutations(range(len(tries))))
    taken: list[int] = []
    while len(taken) < len(tries):  # an order that keeps to the rule, as near to the drawn one as it goes
        taken.append(
            next(t for t in order if t not in taken
                 and all(o in taken or spans[o][1] >= spans[t][0] for o in range(len(tries)) if o != t))
        )  # fmt: skip
    exists = False
    acknowledged: int | None = None
    doubt: int | None = None
    refusal: int | None = None
    for place in taken:
        sent, ended = spans[place]
        *_, does, heard = tries[place]
        if does == "overloaded" and heard:
            continue  # a 503 that says that nothing was written
        accepted = exists if keyed and exists else does == "writes" and not exists
        exists = exists or accepted
        if not heard:
            doubt = max(doubt or 0, ended)
        elif accepted:
            acknowledged = min(acknowledged or ended, ended)
        else:
            refusal = max(refusal or 0, sent)
    told: Fate = fate(acknowledged, doubt, refusal, keyed)
    assert told != "ok" or exists
    assert told != "refused" or not exists
    if doubt is None:
        assert told == ("ok" if acknowledged is not None else "refused")
