"""Which characters can be seen: for the fields that are shown to people, and for the patterns that document them.

Both follow the Unicode tables of the running Python, so that a pattern says exactly what the check does.
"""

from functools import cache
from itertools import chain, groupby
from unicodedata import category

BLANK = "\u115f\u1160\u2800\u3164\uffa0"  # letters and symbols by their category, but they show nothing
LETTERS, MARKS, NUMBERS = ("Lu", "Ll", "Lt", "Lm", "Lo"), ("Mn", "Mc", "Me"), ("Nd", "Nl", "No")
PUNCTUATION, SYMBOLS = ("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"), ("Sm", "Sc", "Sk", "So")
VISIBLE = frozenset([*LETTERS, *MARKS, *NUMBERS, *PUNCTUATION, *SYMBOLS])
INVISIBLE = frozenset(["Cc", "Cf", "Zs", "Zl", "Zp", "blank"])  # controls, formats, spaces, separators
# The planes that hold anything but unassigned and private characters, without surrogates, which no string may hold.
ASSIGNED = range(0xD800), range(0xE000, 0x40000), range(0xE0000, 0xF0000)


def kind(character: str) -> str:
    """Return a character's general category in Unicode, or `blank`."""
    return "blank" if character in BLANK else category(character)


def is_visible(text: str) -> bool:
    """Return whether at least one character of a text can be seen."""
    return any(kind(character) in VISIBLE for character in text)


def is_hidden(text: str) -> bool:
    """Return whether at least one character of a text is known to show nothing, such as a space."""
    return any(kind(character) in INVISIBLE for character in text)


def ranges(kinds: frozenset[str]) -> str:
    """Return the characters of `kinds` as the inside of a character class of a regular expression.

    Python, Rust and JavaScript (with the flag `u`, as JSON Schema says) read it alike.
    """
    found: list[tuple[int, int]] = []
    for first, last, name in _runs():
        if name not in kinds:
            continue
        if found and found[-1][1] == first - 1:
            first = found.pop()[0]
        found.append((first, last))
    return "".join(_written(first) if first == last else f"{_written(first)}-{_written(last)}" for first, last in found)


@cache
def _runs() -> list[tuple[int, int, str]]:
    """Return the characters as runs of one kind: the first and last code point, and the kind."""
    codes = chain(*ASSIGNED)
    groups = groupby(codes, lambda code: kind(chr(code)))
    return [(run[0], run[-1], name) for name, group in groups if (run := list(group))]


def _written(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else chr(code)
