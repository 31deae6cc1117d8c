"""Faults are quoted by the pages of the course: each is small, and fits the code as it is."""

import pytest

from lessons import patches

from .pages import ROOT

LONGEST = 20  # lines of a fault
FAULTS = sorted(path.stem for path in patches.FAULTS.iterdir())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_short_and_fits_the_code(fault: str) -> None:
    assert len(patches.read(fault).splitlines()) <= LONGEST
    changed = patches.apply(fault)
    assert changed
    for path, text in changed.items():
        assert text != (ROOT / path).read_text()
        if path.endswith(".py"):
            compile(text, path, "exec")
