"""Types of fields that several services have."""

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ..ids import MAX_ID
from .characters import VISIBLE, is_visible, ranges

# Parts of character classes. What `\s` holds differs between Python, Rust and JavaScript, so each is spelt out.
CONTROL = r"\x00-\x1f\x7f-\x9f"
_WIDE_SPACE = r"\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
SPACE = r"\t-\r \x85\xa0" + _WIDE_SPACE
NOT_AT_THE_END = r"\x00-\x20\x7f-\xa0" + _WIDE_SPACE  # of a name: control characters and white space
NAME_PATTERN = f"^[{SPACE}]*[^{NOT_AT_THE_END}]([^{CONTROL}]{{0,198}}[^{NOT_AT_THE_END}])?[{SPACE}]*$"

_control = re.compile(f"[{CONTROL}]")


class Documented:
    """An annotation with the JSON schema of a field. The schema is made when it is first asked for."""

    def __init__(self, schema: Callable[[], dict[str, Any]]) -> None:
        self._schema = schema

    def __get_pydantic_json_schema__(self, _core: Any, _handler: Any) -> dict[str, Any]:
        return self._schema()


def shown(text: str) -> str:
    """Refuse control characters, and a text that shows nothing. Names stand in terminals, logs and pages."""
    if _control.search(text):
        raise ValueError("must hold no control characters")
    if not text.isascii() and not is_visible(text):  # a trimmed ASCII text without control characters is visible
        raise ValueError("must hold at least one visible character")
    return text


def name_schema() -> dict[str, Any]:
    return {
        "type": "string",
        "pattern": NAME_PATTERN,
        "allOf": [
            {
                "title": "VisibleText",
                "description": "Holds at least one visible character: a letter, mark, number, punctuation or symbol.",
                "pattern": f"[{ranges(VISIBLE)}]",
            }
        ],
        "description": "1 to 200 characters after trimming, at least one of them visible, none a control character.",
        "examples": ["Ada Lovelace", "Tea"],
    }


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(shown),
    Documented(name_schema),
]
Id = Annotated[int, Field(ge=1, le=MAX_ID)]


class Body(BaseModel):
    """A body that a client sends. Unknown members are refused, and no value is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def without_defaults(schema: dict[str, Any]) -> None:
    """Describe a change: at least one field. The inner marks of absent fields are not shown."""
    schema["minProperties"] = 1
    for field in schema["properties"].values():
        field.pop("default", None)


class Change(Body):
    """The body of a PATCH: at least one of the fields. A field that is absent stays as it is."""

    model_config = ConfigDict(json_schema_extra=without_defaults)

    @model_validator(mode="before")
    @classmethod
    def not_empty(cls, value: Any) -> Any:
        """Refuse a change of nothing."""
        if value == {}:
            raise ValueError("must hold at least one field")
        return value
