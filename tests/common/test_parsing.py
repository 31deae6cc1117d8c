"""I-JSON, prices, parameters and settings: what parses what clients send."""

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from products_service.models import cents
from service_common import ijson
from service_common.inbound import choices, number, numbers
from service_common.settings import Settings
from users_service.models import email_key

TEXT = st.text(
    st.characters(
        exclude_categories=["Cs"],
        exclude_characters=[chr(c) for c in range(0x110000) if c & 0xFFFE == 0xFFFE or 0xFDD0 <= c <= 0xFDEF],
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_whatever_is_i_json_is_read_as_it_was_written(value: Any, escaped: bool) -> None:
    assert ijson.loads(json.dumps(value, ensure_ascii=escaped).encode()) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_and_nothing_else(body: bytes) -> None:
    try:
        ijson.loads(body)
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', "'a' stands twice"),
        (b'[{"a": 1, "\\u0061": 3}]', "'a' stands twice"),
        (b'["\\ud800"]', "U+D800"),
        (b'{"\\udfff": 1}', "U+DFFF"),
        (b'["\\ufdd0"]', "U+FDD0"),
        ('["\U0001ffff"]'.encode(), "U+1FFFF"),
        (b'["\xc3"]', "not UTF-8"),
        (b"[NaN]", "NaN"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 100_000, "nested"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("+", r"\+")):
        ijson.loads(body)


def test_a_surrogate_pair_is_one_character() -> None:
    assert ijson.loads(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


def test_numbers_never_pass_through_binary_floating_point() -> None:
    assert ijson.loads(b"0.1") == Decimal("0.1")
    assert ijson.loads(b"12345678901234567890123") == Decimal("12345678901234567890123")
    assert ijson.loads(b"1e99999999999999999999") == Decimal("Infinity")
    assert isinstance(ijson.loads(b"7"), int)


@given(st.integers(0, 100_000_000))
def test_a_price_is_the_same_however_it_is_written(amount: int) -> None:
    written = f"{amount // 100}.{amount % 100:02}"
    assert cents(written) == cents(Decimal(written)) == cents(ijson.loads(repr(amount / 100).encode())) == amount


@given(st.integers(-(10**9), 10**12), st.integers(3, 40))
def test_a_price_with_more_than_two_decimals_is_refused(amount: int, places: int) -> None:
    if amount % 10 == 0:
        amount += 1
    with pytest.raises(ValueError, match="at most two decimals"):
        cents(Decimal(amount).scaleb(-places) + 0)


@pytest.mark.parametrize("price", [True, False, None, math.nan, 19.99, [], "", ".", "1..2", "\u0661", "1e2", "1" * 41])
def test_what_is_no_price_is_refused(price: Any) -> None:
    with pytest.raises(ValueError, match="must be a decimal"):
        cents(price)


def test_emails_are_compared_without_case_and_form() -> None:
    assert email_key("Stra\u00dfe@X.de") == email_key("STRASSE@x.DE")
    assert email_key("E\u0301@x") == email_key("\u00e9@x")
    assert email_key("a@x") != email_key("b@x")


@pytest.mark.parametrize("text", ["", "0", "11", "-1", "+1", "1.0", "\u0665", "1_0", " 1", "9" * 5000])
def test_a_number_is_ascii_digits_in_its_range(text: str) -> None:
    assert number(1, 10)("10") == 10
    with pytest.raises(ValueError, match="from 1 to 10"):
        number(1, 10)(text)


def test_ids_and_choices_are_lists_with_commas() -> None:
    assert numbers(3)("3,1,3") == [1, 3]
    assert choices("a", "b")("b,a") == ["b", "a"]
    for wrong in ("1,2,3,4", "1,,2", "a", ""):
        with pytest.raises(ValueError, match="ids"):
            numbers(3)(wrong)
    with pytest.raises(ValueError, match="one or more of a, b"):
        choices("a", "b")("a,c")


@pytest.mark.parametrize("value", ["0", "-1", "ten", "inf", "nan"])
def test_an_unusable_setting_is_named(value: str) -> None:
    with pytest.raises(SystemExit, match="WRITE_TIMEOUT"):
        Settings.from_env({"WRITE_TIMEOUT": value})


def test_settings_come_from_the_environment_and_empty_ones_do_not_count() -> None:
    settings = Settings.from_env({"WRITE_TIMEOUT": "2.5", "DATA_DIR": "", "ACCESS_LOG": "0", "HOME": "/x"})
    assert (settings.write_timeout, settings.access_log) == (2.5, False)
    assert settings == Settings(write_timeout=2.5, access_log=False)


def test_tokens_come_from_the_environment_or_a_file(tmp_path: Any) -> None:
    file = tmp_path / "token"
    file.write_text("new\nold\n")
    assert Settings(api_token="a b").tokens() == ("a", "b")
    assert Settings(api_token_file=file).tokens() == ("new", "old")
    file.write_text(" \n")
    with pytest.raises(SystemExit, match="holds no token"):
        Settings(api_token_file=file).tokens()
    assert "secret" not in repr(Settings(api_token="secret"))
