"""Kinds of fields that more than one service has."""

import unicodedata
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from .inbound import MAX_ID

# Parts of character classes. What `\s` holds differs between Python, Rust and JavaScript, so each is spelt out.
CONTROL = r"\x00-\x1f\x7f-\x9f"
_WIDE_SPACE = r"\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
SPACE = r"\t-\r \x85\xa0" + _WIDE_SPACE
NOT_VISIBLE = r"\x00-\x20\x7f-\xa0" + _WIDE_SPACE  # both of them


def printable(text: str) -> str:
    """Refuse control characters: a name is shown in terminals, logs and pages."""
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("must hold no control characters")
    return text


NAME_PATTERN = f"^[{SPACE}]*[^{NOT_VISIBLE}]([^{CONTROL}]{{0,198}}[^{NOT_VISIBLE}])?[{SPACE}]*$"
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(printable),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": NAME_PATTERN,
            "description": "1 to 200 characters after trimming, none of them a control character.",
            "examples": ["Ada Lovelace", "Tea"],
        }
    ),
]
Id = Annotated[int, Field(ge=1, le=MAX_ID)]


class Body(BaseModel):
    """What a client sends: unknown members are refused, and nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def without_defaults(schema: dict[str, Any]) -> None:
    """Describe a change: at least one field. How an absent one is marked inside is not shown."""
    schema["minProperties"] = 1
    for field in schema["properties"].values():
        field.pop("default", None)


class Change(Body):
    """A PATCH: any of the fields, at least one; a field that is absent stays."""

    model_config = ConfigDict(json_schema_extra=without_defaults)

    @model_validator(mode="before")
    @classmethod
    def not_empty(cls, value: Any) -> Any:
        if value == {}:
            raise ValueError("must hold at least one field")
        return value
