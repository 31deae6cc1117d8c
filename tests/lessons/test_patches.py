"""Faults as patches: of a copy of the code, and of one module."""

import subprocess
from pathlib import Path

import pytest

from lessons import patches
from lessons.catalog import LESSONS
from testbed import ROOT

STATEMENTS = "service_common/storage/sqlite/statements.py"


@pytest.mark.parametrize("fault", [lesson.name for lesson in LESSONS])
def test_git_applies_the_numbered_diff_of_a_lesson(fault: str, tmp_path: Path) -> None:
    code = patches.copy_code(tmp_path / "code")
    subprocess.run(["git", "apply", "-"], input=patches.numbered(fault), text=True, cwd=code, check=True)
    assert {path: (code / path).read_text() for path in patches.apply(fault)} == patches.apply(fault)


def test_a_copy_holds_the_code_with_the_fault_and_the_checkout_stays_as_it_is(tmp_path: Path) -> None:
    before = (ROOT / STATEMENTS).read_text()
    code = patches.copy_code(tmp_path / "code", "key-in-memory")
    assert (code / STATEMENTS).read_text() == patches.apply("key-in-memory")[STATEMENTS] != before
    assert (ROOT / STATEMENTS).read_text() == before


def test_a_fault_that_does_not_fit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "FAULTS", tmp_path)
    (tmp_path / "old.diff").write_text(f"--- a/{STATEMENTS}\n+++ b/{STATEMENTS}\n@@ @@\n-gone\n+here\n")
    with pytest.raises(patches.DoesNotFit, match=r"old\.diff.*0 times"):
        patches.apply("old")


def test_a_variant_of_a_module_leaves_the_real_one_alone() -> None:
    from service_common.storage.sqlite import database

    faulty = patches.variant("service_common.storage.sqlite.database", "answer-before-commit")
    assert "_write_group" in vars(faulty.SqliteDatabase)
    assert "_write_group" not in vars(database.SqliteDatabase)
