"""What makes two e-mail addresses the same."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from users_service.models import email_key


@given(st.text())
def test_the_form_in_which_an_address_was_typed_does_not_matter(email: str) -> None:
    forms = {email_key(unicodedata.normalize(form, email)) for form in ("NFC", "NFD")}
    assert forms == {email_key(email)}


@given(st.text())
def test_the_case_in_which_an_address_was_typed_does_not_matter(email: str) -> None:
    assert email_key(email.casefold()) == email_key(email)


@given(st.text())
def test_a_key_is_the_key_of_itself(email: str) -> None:
    assert email_key(email_key(email)) == email_key(email)


@given(st.text(st.characters(codec="ascii")), st.text(st.characters(codec="ascii")))
def test_in_ascii_a_key_is_the_small_letters_and_nothing_else(one: str, other: str) -> None:
    assert (email_key(one) == email_key(other)) == (one.lower() == other.lower())
