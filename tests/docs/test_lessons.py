"""The pages of the course: of one form, with the faults and commands as they are, and names that exist."""

import re
from pathlib import Path

import pytest

from lessons import patches
from lessons.catalog import LESSONS, Lesson

from .pages import ROOT, blocks, text

COURSE = ROOT / "docs/lessons"
SECTIONS = [
    "The fault", "Run it", "What happened", "How the project does it", "Exercise", "Who was bitten", "What it costs to be right",
]  # fmt: skip
NAMED = re.compile(r"`([\w.]+)` in \[[^\]]+\]\(\.\./\.\./([^)#]+)\)")
PARTICIPANT = re.compile(r"participant (\w+) as [^;#]+")
NOTE = re.compile(r"Note over (\w+)(?:,(\w+))?: [^;#]+")
MESSAGE = re.compile(r"(\w+)(?:->>|-->>|-x|--x)(\w+): [^;#]+")
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=[lesson.name for lesson in LESSONS])


def page(lesson: Lesson) -> Path:
    return COURSE / f"{lesson.name}.md"


def number(lesson: Lesson) -> int:
    return LESSONS.index(lesson) + 1


def test_there_are_at_least_ten_lessons_and_a_page_for_each() -> None:
    assert len(LESSONS) >= 10
    assert {path.stem for path in COURSE.glob("*.md")} == {"README", "teachers"} | {each.name for each in LESSONS}


@each_lesson
def test_a_page_has_the_form_of_all_pages(lesson: Lesson) -> None:
    assert re.findall(r"^## (.+)$", text(page(lesson)), re.MULTILINE) == SECTIONS
    assert text(page(lesson)).startswith(f"# {number(lesson)}. ")
    assert f"**{lesson.question}**" in text(page(lesson))
    assert len(re.findall(r"^- .*https://", text(page(lesson)).partition("## Who was bitten")[2], re.MULTILINE)) >= 2


@each_lesson
def test_a_page_shows_the_fault_that_runs_and_a_red_line_of_its_report(lesson: Lesson) -> None:
    fault, report = blocks(page(lesson), "diff")
    assert fault == patches.read(lesson.name)
    assert any(line.startswith("-") and f"✗ {lesson.line}: " in line for line in report.splitlines())
    assert report.splitlines()[-1].split() == ["Caught."]


@each_lesson
def test_a_page_gives_the_command_and_the_check_of_its_exercise(lesson: Lesson) -> None:
    run, check = blocks(page(lesson), "sh")
    assert (run, check) == (f"make lesson N={number(lesson)}\n", f"make lesson N={number(lesson)} AGAIN=1\n")


@each_lesson
def test_a_page_says_what_it_costs_to_be_right_as_it_was_measured(lesson: Lesson) -> None:
    cost = text(page(lesson)).partition("## What it costs to be right")[2]
    assert re.search(rf"`make lesson N={number(lesson)} COST=1`.* \d+\.\d\d \(\d", cost, re.DOTALL)


@each_lesson
def test_the_code_that_a_page_names_exists(lesson: Lesson) -> None:
    named = NAMED.findall(" ".join(text(page(lesson)).split()))
    assert named
    for name, path in named:
        for part in name.split("."):
            assert re.search(rf"\b{part}\b", (ROOT / path).read_text(encoding="utf-8")), (name, path)


@each_lesson
def test_the_diagram_of_a_page_is_a_sequence_between_known_participants(lesson: Lesson) -> None:
    (diagram,) = blocks(page(lesson), "mermaid")
    first, *lines = (line.strip() for line in diagram.splitlines())
    assert first == "sequenceDiagram"
    known: set[str] = set()
    for line in lines:
        if participant := PARTICIPANT.fullmatch(line):
            known.add(participant[1])
        else:
            match = NOTE.fullmatch(line) or MESSAGE.fullmatch(line)
            assert match is not None, line
            assert {each for each in match.groups() if each} <= known, line


def test_the_index_shows_every_lesson_in_order() -> None:
    rows = re.findall(
        r"^\| (\d+) \| \[[^\]]+\]\(([\w-]+)\.md\) \| (.+?) \| (.+?) \|", text(COURSE / "README.md"), re.MULTILINE
    )
    assert rows == [(str(number(each)), each.name, each.question, each.line) for each in LESSONS]


def test_teachers_find_questions_with_answers_for_every_lesson() -> None:
    sections = re.split(r"^### (\d+)\. .+$", text(COURSE / "teachers.md"), flags=re.MULTILINE)
    asked = {int(sections[place]): sections[place + 1] for place in range(1, len(sections), 2)}
    assert list(asked) == [number(each) for each in LESSONS]
    for questions in asked.values():
        assert len(re.findall(r"^- \*.+[.?]\*\s+\S+", questions, re.MULTILINE)) >= 2


def test_no_image_of_a_service_holds_the_course() -> None:
    copied = [line for line in text(ROOT / "Dockerfile").splitlines() if line.startswith(("COPY", "ADD"))]
    assert not any("lessons" in line or line.split()[1] == "." for line in copied)
    ignored = text(ROOT / ".dockerignore").splitlines()
    assert ignored[0] == "*"
    assert not any("lessons" in line for line in ignored)
