"""Results of single writes: rows, and the refusals UniqueViolation, Missing and OtherVersion."""

from typing import Any

import apsw
import pytest

from service_common.storage.database import (
    ANY_VERSION,
    Delete,
    Insert,
    Missing,
    OtherVersion,
    UniqueViolation,
    Update,
    Versions,
    Write,
)

from .bench import TABLE, VERSIONED, Bench

ACCEPTED = [  # by a row of version 1
    ANY_VERSION,
    Versions(only=frozenset({"1"})),
    Versions(only=frozenset({"7", "1"})),
    Versions(never=frozenset({"2"})),
    Versions(only=frozenset({"1"}), never=frozenset({"2"})),
]
REFUSED = [
    Versions(only=frozenset({"2"})),
    Versions(only=frozenset()),  # a condition that could not be read
    Versions(only=frozenset({"01", "1 ", ""})),
    Versions(never=frozenset({"1"})),
    Versions(never=frozenset({"7", "1"})),
    Versions(never=None),  # If-None-Match: *
    Versions(only=frozenset({"1"}), never=frozenset({"1"})),
    Versions(only=frozenset({"1"}), never=None),
]


def made(bench: Bench, *xs: int) -> None:
    bench.database.write(Write(Insert(VERSIONED, [(x,) for x in xs])))


def there(bench: Bench) -> list[Any]:
    return bench.database.read("SELECT id, x, version FROM versioned ORDER BY id")


def test_an_insert_returns_each_row_in_the_order_given(bench: Bench) -> None:
    assert bench.database.write(Write(Insert(TABLE, [(5,), (3,), (4,)]))) == [(1, 5), (2, 3), (3, 4)]
    assert bench.database.write(Write(Insert(VERSIONED, [(5,)]))) == [(1, 5, 1)]
    assert bench.database.write(Write(Insert(TABLE, []))) == []


def test_each_row_of_an_insert_succeeds_or_fails_by_itself(bench: Bench) -> None:
    assert bench.outcome(3) == 1
    results = bench.database.write(Write(Insert(TABLE, [(1,), (3,), (2,), (1,)])))
    assert [result if isinstance(result, UniqueViolation) else result[1] for result in results] == [
        1, UniqueViolation("x"), 2, UniqueViolation("x"),
    ]  # fmt: skip
    assert bench.rows() == [3, 1, 2]


def test_a_row_that_breaks_another_rule_fails_the_whole_write(bench: Bench) -> None:
    with pytest.raises(apsw.ConstraintError, match="CHECK"):
        bench.database.write(Write(Insert(TABLE, [(1,), (-99,), (2,)])))
    assert bench.rows() == []


@pytest.mark.parametrize("versions", ACCEPTED)
def test_an_update_of_an_accepted_version_returns_the_new_row(bench: Bench, versions: Versions) -> None:
    made(bench, 10, 20)
    assert bench.database.write(Write(Update(VERSIONED, 1, (11,), versions))) == (1, 11, 2)
    assert there(bench) == [(1, 11, 2), (2, 20, 1)]


@pytest.mark.parametrize("versions", ACCEPTED)
def test_a_delete_of_an_accepted_version_returns_the_old_row(bench: Bench, versions: Versions) -> None:
    made(bench, 10, 20)
    assert bench.database.write(Write(Delete(VERSIONED, 1, versions))) == (1, 10, 1)
    assert there(bench) == [(2, 20, 1)]


@pytest.mark.parametrize("versions", REFUSED)
def test_a_write_to_a_version_that_is_not_accepted_changes_nothing(bench: Bench, versions: Versions) -> None:
    made(bench, 10)
    assert bench.database.write(Write(Update(VERSIONED, 1, (11,), versions))) == OtherVersion(1)
    assert bench.database.write(Write(Delete(VERSIONED, 1, versions))) == OtherVersion(1)
    assert there(bench) == [(1, 10, 1)]


@pytest.mark.parametrize("versions", [ANY_VERSION, *REFUSED])
def test_a_write_to_a_row_that_does_not_exist_is_missing_whatever_its_versions(
    bench: Bench, versions: Versions
) -> None:
    made(bench, 10)
    for operation in (Update(VERSIONED, 2, (11,), versions), Delete(VERSIONED, 2, versions)):
        outcome = bench.database.write(Write(operation))
        assert isinstance(outcome, Missing)
    assert there(bench) == [(1, 10, 1)]


def test_of_two_updates_of_one_version_in_one_group_the_second_is_refused(bench: Bench) -> None:
    made(bench, 10)
    first = Versions(only=frozenset({"1"}))
    outcomes = bench.outcomes_of(*(Write(Update(VERSIONED, 1, (x,), first)) for x in (11, 12)))
    assert outcomes == [(1, 11, 2), OtherVersion(2)]
    assert bench.groups() == (2, 3)
    assert there(bench) == [(1, 11, 2)]


def test_a_write_sees_the_writes_before_it_in_its_group(bench: Bench) -> None:
    outcomes = bench.outcomes_of(
        Write(Insert(VERSIONED, [(10,)])), Write(Update(VERSIONED, 1, (11,))), Write(Delete(VERSIONED, 1)),
        Write(Delete(VERSIONED, 1)),
    )  # fmt: skip
    assert outcomes[:3] == [1, (1, 11, 2), (1, 11, 2)]
    assert isinstance(outcomes[3], Missing)
    assert bench.groups() == (1, 4)


def test_an_update_to_a_value_that_another_row_has_is_refused_and_changes_nothing(bench: Bench) -> None:
    made(bench, 10, 20)
    assert bench.database.write(Write(Update(VERSIONED, 1, (20,)))) == UniqueViolation("x")
    assert there(bench) == [(1, 10, 1), (2, 20, 1)]


def test_an_update_to_its_own_value_is_no_violation(bench: Bench) -> None:
    made(bench, 10)
    assert bench.database.write(Write(Update(VERSIONED, 1, (10,)))) == (1, 10, 2)
    assert bench.database.write(Write(Update(VERSIONED, 1, (None,)))) == (1, 10, 3)


def test_an_update_that_breaks_another_rule_raises_and_changes_nothing(bench: Bench) -> None:
    made(bench, 10)
    with pytest.raises(apsw.ConstraintError, match="CHECK"):
        bench.database.write(Write(Update(VERSIONED, 1, (-99,))))
    assert there(bench) == [(1, 10, 1)]


def test_an_id_is_never_given_again(bench: Bench) -> None:
    made(bench, 10)
    bench.database.write(Write(Delete(VERSIONED, 1)))
    assert bench.database.write(Write(Insert(VERSIONED, [(10,)]))) == [(2, 10, 1)]


def test_the_answer_function_is_given_the_result_and_makes_the_outcome(bench: Bench) -> None:
    given: list[Any] = []

    def answer(result: Any) -> Any:
        given.append(result)
        return "answered"

    assert bench.database.write(Write(Insert(TABLE, [(5,)]), answer)) == "answered"
    assert given == [[(1, 5)]]
