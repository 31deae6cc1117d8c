"""Steps of a schema: a file with a line `-- version N` before each step, N counting from 1."""

import re


def steps(schema: str) -> list[str]:
    """Return the SQL of each step, version 1 first.

    Raises:
        ValueError: `schema` does not start with version 1, or leaves one out.
    """
    parts = re.split(r"^-- version (\d+)\b.*$", schema, flags=re.MULTILINE)
    numbers = [int(number) for number in parts[1::2]]
    if parts[0].strip() or numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(f"a schema starts with `-- version 1` and counts on by one, not {numbers}")
    return parts[2::2]
