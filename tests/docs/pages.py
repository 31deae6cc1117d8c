"""The pages of this project as text: their code, their links, their headings."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("deploy/*/*.md"), *ROOT.glob("*/results/*.md")]
)  # fmt: skip

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return [body for name, body in FENCE.findall(text(page)) if name == language]


def code(page: Path) -> Iterator[str]:
    """Each line of shell and each piece of code within a sentence."""
    for block in blocks(page, "sh"):
        yield from block.replace("\\\n", " ").splitlines()
    yield from SPAN.findall(FENCE.sub("", text(page)))


def links(page: Path) -> list[str]:
    """The targets of links and pictures that lead to a file or a heading of this project."""
    found = LINK.findall(SPAN.sub("", FENCE.sub("", text(page))))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub addresses them."""
    headings = HEADING.findall(FENCE.sub("", text(page)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of the tables under a heading, without their header rows."""
    _, _, section = text(page).partition(f"\n{heading}\n")
    section = re.split(r"\n## ", section)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    bodies = [line for line, above in zip(lines[2:], lines[1:], strict=False) if not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in bodies]
