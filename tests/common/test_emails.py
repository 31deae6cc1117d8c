"""Equal e-mail addresses: Unicode NFC and case folding."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from users_service.models import email_key


@given(st.text())
def test_unicode_forms_of_one_address_have_the_same_key(email: str) -> None:
    forms = {email_key(unicodedata.normalize(form, email)) for form in ("NFC", "NFD")}
    assert forms == {email_key(email)}


@given(st.text())
def test_upper_and_lower_case_have_the_same_key(email: str) -> None:
    assert email_key(email.casefold()) == email_key(email)


@given(st.text())
def test_the_key_of_a_key_is_itself(email: str) -> None:
    assert email_key(email_key(email)) == email_key(email)


@given(st.text(st.characters(codec="ascii")), st.text(st.characters(codec="ascii")))
def test_keys_of_ascii_addresses_are_equal_only_where_lower_case_is(one: str, other: str) -> None:
    assert (email_key(one) == email_key(other)) == (one.lower() == other.lower())
