import resource
from decimal import Decimal
from pathlib import Path

import pytest

from loadgen.audit.answers import LAST_LINE, Fate, classify, fate
from loadgen.audit.ledger import Ledger, LedgerDamaged, read
from loadgen.traffic.operation import Answer, Op


@pytest.mark.parametrize(
    ("status", "problem", "sound", "outcome"),
    [
        (200, None, True, "ok"),
        (201, None, True, "ok"),
        (201, None, False, "unknown"),
        (204, None, False, "unknown"),
        (302, None, False, "unknown"),
        (400, "malformed-json", False, "refused"),
        (401, "unauthorized", False, "refused"),
        (409, "duplicate-email", False, "refused"),
        (412, "precondition-failed", False, "refused"),
        (422, "validation", False, "refused"),
        (429, None, False, "refused"),
        (404, None, False, "unknown"),
        (422, None, False, "unknown"),
        (409, "about:blank", False, "unknown"),
        (503, "stock-held", False, "refused"),
        (500, "internal", False, "unknown"),
        (502, None, False, "unknown"),
        (503, "overloaded", False, "refused"),
        (503, "dependency-unavailable", False, "refused"),
        (503, "storage-unavailable", False, "refused"),
        (503, "outcome-unknown", False, "unknown"),
        (503, None, False, "unknown"),
        (500, "overloaded", False, "unknown"),
        (0, None, False, "unknown"),
    ],
)
def test_classifies_an_answer_as_ok_refused_or_unknown(
    status: int, problem: str | None, sound: bool, outcome: str
) -> None:
    assert classify(status, problem, sound) == outcome


@pytest.mark.parametrize(
    ("acknowledged", "doubt", "refusal", "keyed", "expected"),
    [
        (5, None, None, True, "ok"),
        (5, 3, 4, True, "ok"),
        (None, None, 1, True, "refused"),
        (None, None, None, True, "refused"),  # only ever 503: nothing was written
        (None, 2, 3, True, "refused"),
        (None, 3, 2, True, "unknown"),
        (None, 3, None, True, "unknown"),
        (None, 3, LAST_LINE, True, "refused"),
        (None, 2, 3, False, "maybe"),
        (None, 3, 2, False, "unknown"),
    ],
)
def test_finds_the_fate_of_a_write_from_its_tries(
    acknowledged: int | None, doubt: int | None, refusal: int | None, keyed: bool, expected: str
) -> None:
    assert fate(acknowledged, doubt, refusal, keyed) == expected


def test_a_line_is_on_disk_when_write_returns(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert [ledger.write({"n": number}) for number in (1, 2)] == [1, 2]
    assert list(read(ledger.path)) == [{"n": 1}, {"n": 2}]


def test_a_line_holds_any_text_and_reads_fractions_exactly(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.write({"answer": {"name": "Zoë\n\ud800", "price": 19.99}})
    (line,) = read(ledger.path)
    assert line == {"answer": {"name": "Zoë\n\ud800", "price": Decimal("19.99")}}


@pytest.mark.parametrize("torn", [b'{"n": 2', b'{"n": 2}\n{"n":', b"\x00\x00"])
def test_skips_a_last_line_that_was_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"n": 1}\n' + torn)
    assert [line["n"] for line in read(path)] == [1, 2][: 1 + torn.count(b"\n")]


def test_fails_on_damage_before_the_last_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n\n{"n": 3}\n')
    with pytest.raises(LedgerDamaged, match="line 2"):
        list(read(path))


def test_a_ledger_is_never_continued(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(FileExistsError):
        Ledger(tmp_path / "ledger.jsonl")


def test_writes_nothing_more_after_a_full_disk(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        ledger.write({"n": 1})
        with pytest.raises(OSError, match="full"):
            ledger.write({"n": "a line of which only the beginning fits"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with pytest.raises(OSError, match="before"):
        ledger.write({"n": 3})
    assert list(read(ledger.path)) == [{"n": 1}]


def test_a_closed_ledger_takes_no_line(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.close()
    ledger.close()
    with pytest.raises(OSError, match="ledger"):
        ledger.write({})


def test_an_operation_is_unknown_while_a_try_is_in_flight() -> None:
    op = Op(1, "orders", "create_order", "POST", "/orders", {"quantity": 1}, key="k")
    fates = list[Fate]()
    op.in_flight, op.refusal = 1, 7
    fates.append(op.fate)
    op.answer = Answer("ok", 201, line=9)
    fates.append(op.fate)
    assert fates == ["unknown", "ok"]


def test_every_try_sends_the_same_bytes() -> None:
    op = Op(1, "users", "create_user", "POST", "/users", {"name": "Zoë", "email": "z@example.com"})
    assert op.payload == b'{"name":"Zo\\u00eb","email":"z@example.com"}'


def test_an_operation_counts_as_many_writes_as_it_has_items() -> None:
    assert Op(1, "users", "create_user", "POST", "/users", {}).size == 1
    assert Op(1, "users", "batch_users", "POST", "/users/batch", {}, expects=["ok", "validation"]).size == 2
