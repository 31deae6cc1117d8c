from argparse import ArgumentTypeError

import pytest

from loadgen.options import budget, positive


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "1e3", "many", "²"])
def test_a_number_of_writes_is_a_whole_number_from_1_on(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="whole number"):
        positive(text)
    assert positive("1") == 1


def test_what_the_page_cannot_mean_is_the_default() -> None:
    assert [budget(text, 10_000) for text in ("", "many", "500")] == [10_000, 10_000, 500]
    assert budget("", None) is None
