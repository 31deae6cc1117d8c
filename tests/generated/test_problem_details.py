"""The details of problems, whatever the body: our own sentences, and nothing of the program's inside."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from orders_service.models import NewOrder
from products_service.models import NewProduct, ProductChange
from service_common.http.body import validate
from service_common.http.ijson import loads
from service_common.http.problems import OTHER_ERROR, Problem
from service_common.resource.routes import Batch
from users_service.models import NewUser, UserChange

from ..services.client import INTERNAL

MODELS = (NewUser, UserChange, NewProduct, ProductChange, NewOrder, Batch)
FIELDS = ("name", "email", "price", "user_id", "product_id", "quantity", "items", "x")
NUMBERS = st.sampled_from(["0", "-1", "2.5", "2.0", "1e400", "1e-400", "1e99999999999999999999", str(2**63), "1" * 400])
TEXTS = st.text(max_size=5) | st.sampled_from(
    ["", " ", "a@b", "a@b@c", "\u3164", "\u200b", "\x07", "a" * 300, "19.999"]
)
VALUES = st.recursive(
    NUMBERS | TEXTS.map(json.dumps) | st.sampled_from(["true", "null"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
        | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6).map(
            lambda members: "{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}"
        )
    ),
    max_leaves=10,
)


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=3 * settings().max_examples)
@given(written=VALUES)
@example(written="[]")
@example(written="{}")
@example(written='{"items":[' + "1," * 1000 + "1]}")
def test_details_are_sentences_of_our_own(model: type[BaseModel], written: str) -> None:
    value: Any = loads(written.encode("utf-8", "surrogatepass")) if not forbidden(written) else {}
    try:
        validate(model, value)
    except Problem as problem:
        for error in problem.errors or []:
            assert error["detail"] != OTHER_ERROR, error
            assert not INTERNAL.search(error["detail"]), error
            assert "{" not in error["detail"]


def forbidden(written: str) -> bool:
    """Return whether I-JSON refuses a text: that is another test's subject."""
    try:
        loads(written.encode("utf-8", "surrogatepass"))
    except ValueError:
        return True
    return False
