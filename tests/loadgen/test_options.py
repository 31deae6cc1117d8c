from argparse import ArgumentTypeError

import pytest

from loadgen.options import positive, write_limit


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "1e3", "many", "²"])
def test_accepts_only_whole_numbers_of_writes_from_1_on(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="whole number"):
        positive(text)
    assert positive("1") == 1


def test_takes_the_default_where_the_page_holds_no_number() -> None:
    assert [write_limit(text, 10_000) for text in ("", "many", "500")] == [10_000, 10_000, 500]
    assert write_limit("", None) is None
