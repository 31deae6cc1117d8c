"""Kinds of fields that more than one service has."""

import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from .inbound import MAX_ID


def printable(text: str) -> str:
    """Refuse control characters: a name is shown in terminals, logs and pages."""
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("must hold no control characters")
    return text


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(printable)]
Id = Annotated[int, Field(ge=1, le=MAX_ID)]


class Body(BaseModel):
    """What a client sends: unknown members are refused, and nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Change(Body):
    """A PATCH: any of the fields, at least one; a field that is absent stays."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    @model_validator(mode="before")
    @classmethod
    def not_empty(cls, value: Any) -> Any:
        if value == {}:
            raise ValueError("must hold at least one field")
        return value
