"""E-mail addresses: which are accepted, and when two are equal."""

import unicodedata
from typing import Any

import pytest

from testbed import Fleet

from .client import at_once, created, get, new_user, patch, pointers, post, refused, rows, unique
from .conftest import Alone


@pytest.mark.parametrize(
    "email",
    ["a@b", "ada.lovelace+tag@example.co.uk", "x" * 252 + "@b", "é" * 252 + "@b", "üser@exämple.com", "用户@例子.广告",
     "o'brien@example.com", '"quoted"@example.com', "a@[127.0.0.1]"],
)  # fmt: skip
def test_keeps_an_address_as_it_was_written(fleet: Fleet, email: str) -> None:
    assert created(fleet.users, new_user(email=email))["email"] == email


@pytest.mark.parametrize(
    "email",
    ["", "nobody", "@", "a@", "@b", "a@b@c", "a@@b", "a b@c", " a@b", "a@b ", "a@b\n", "a@\tb", "a@b\u00a0", "a\u2028@b", "a\x00@b",
     "a\x7f@b", "a@b\x9f", "a\u200b@b", "a@b\u200d", "\u3164@b", "a@\u2800", "a@b\u00ad", "a\u115f@b", "a@\u1160b", "a\uffa0@b", "a@b\U000e0041", "\u2060a@b", "a@\u202eb", "a\ufeff@b",
     "x" * 253 + "@b", "x" * 10_000 + "@b", 1, True, None, [], {}, ["a@b"]],
)  # fmt: skip
def test_rejects_an_invalid_address(fleet: Fleet, email: Any) -> None:
    assert pointers(refused(post(fleet.users, new_user(email=email)), "validation")) == ["/email"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("ada", "ADA"), ("straße", "STRASSE"), ("é", "e\u0301"), ("É", "e\u0301"), ("İ", "i\u0307"), ("ſam", "SAM"),
        ("\N{KELVIN SIGN}", "k"), ("ΣΑΣ", "σας"), ("ﬁ", "FI"), ("ǆ", "ǅ"), ("\u1e9e", "ss"), ("a\u0323\u0307", "A\u0307\u0323"),
        ("한", unicodedata.normalize("NFD", "한")), ("ΐ", "\u03b9\u0308\u0301"),
    ],
)  # fmt: skip
def test_rejects_an_address_that_another_user_has_in_another_form(fleet: Fleet, first: str, second: str) -> None:
    number = next(unique)
    for one, other in ((first, second), (second, first)):
        number = next(unique)
        created(fleet.users, new_user(email=f"{one}{number}@example.com"))
        refused(post(fleet.users, new_user(email=f"{other}{number}@EXAMPLE.com")), "duplicate-email")


@pytest.mark.parametrize(("first", "second"), [("ı", "i"), ("i", "İ"), ("é", "e"), ("а", "a"), ("o", "0")])
def test_accepts_two_addresses_that_only_look_alike(fleet: Fleet, first: str, second: str) -> None:
    number = next(unique)
    created(fleet.users, new_user(email=f"{first}{number}@example.com"))
    created(fleet.users, new_user(email=f"{second}{number}@example.com"))


def test_rejects_a_change_to_the_address_of_another_user(fleet: Fleet) -> None:
    taken, own = created(fleet.users, new_user()), created(fleet.users, new_user())
    for email in (taken["email"], taken["email"].upper()):
        refused(patch(fleet.users, own["id"], {"email": email, "name": "Both"}), "duplicate-email")
    assert get(fleet.users, f"/{own['id']}").json() == own


def test_accepts_a_change_of_case_of_the_own_address(fleet: Fleet) -> None:
    own = created(fleet.users, new_user())
    assert patch(fleet.users, own["id"], {"email": own["email"].upper()}).json() == own | {
        "email": own["email"].upper()
    }
    refused(post(fleet.users, new_user(email=own["email"])), "duplicate-email")


def test_accepts_an_address_that_its_user_gave_up(alone: Alone) -> None:
    users = alone("users")
    old = created(users, new_user())
    patch(users, old["id"], {"email": "new@example.com"})
    created(users, new_user(email=old["email"]))
    refused(post(users, new_user(email="NEW@example.com")), "duplicate-email")


def test_gives_an_address_to_one_of_twenty_simultaneous_requests(fleet: Fleet) -> None:
    body, before = new_user(), rows(fleet.users)
    answers = at_once(20, lambda: post(fleet.users, body))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    assert rows(fleet.users) == before + 1
