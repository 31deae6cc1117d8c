"""The targets of the fuzzer, without it: they hold for what it starts from, and for some bytes made up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .targets import SEEDS, TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds_for_its_seeds(name: str) -> None:
    for seed in SEEDS[name]:
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=max(5, settings().max_examples // 5))
@given(data=st.binary(max_size=60), place=st.integers(0, 99), seed=st.integers(0, 99))
def test_a_target_holds_for_seeds_that_were_spoiled(name: str, data: bytes, place: int, seed: int) -> None:
    whole = SEEDS[name][seed % len(SEEDS[name])]
    TARGETS[name](whole[:place] + data + whole[place + len(data) // 2 :])
