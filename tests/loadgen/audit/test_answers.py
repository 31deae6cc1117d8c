"""The table in docs/judge.md: a small history for each kind of answer to each kind of operation."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from loadgen.audit.answers import DECIDED_EARLY, NOT_PASSED_ON, NOTHING_WRITTEN, VALIDATION, classify
from loadgen.audit.judge import NO_VERDICT, PASS

from ..histories import History, as_sent, clean, product, user

PAGE = Path(__file__).parents[3] / "docs" / "judge.md"
ROW = user(20, "bob.k3f9z2.20@example.com")


class Given(NamedTuple):
    """An answer, as a service or a proxy gives it."""

    status: int = 0  # 0: no answer
    problem: str | None = None
    sound: bool = True  # a 2xx with the promised body
    replayed: bool = True  # where it answers a retry
    other: bool = False  # it holds another body than the first answer


def statuses(*given: int) -> list[Given]:
    return [Given(status) for status in given]


# The rows of the table: each of these answers must have the meaning that the row says. None: the refusal that fits.
ANSWERS: dict[str, list[Given]] = {
    "2xx with the promised body": [Given(201)],
    "2xx with the promised body, not marked as a replay": [Given(201, replayed=False)],
    "2xx with another body": [Given(201, other=True)],
    "2xx whose body cannot be used": [Given(201, sound=False), Given(200, sound=False)],
    "a refusal by data": [Given(409, "by data")],
    "a refusal by data, not marked as a replay": [Given(409, "by data", replayed=False)],
    "a refusal by data with another body": [Given(409, "by data", other=True)],
    "422 `validation`": [Given(422, VALIDATION)],
    "422 `idempotency-key-reused`": [Given(422, "idempotency-key-reused")],
    "400, 401, 403, 405, 407, 408, 411, 413, 414, 415, 417, 429, 431": [
        *statuses(400, 401, 403, 405, 407, 408, 411, 413, 414, 415, 417, 429, 431),
        *(Given(400, problem) for problem in sorted(DECIDED_EARLY - {VALIDATION})),
    ],
    "any other 4xx without a problem of the contract": [
        *statuses(402, 404, 406, 409, 410, 412, 418, 422, 425, 451, 499),
        *(Given(404, "about:blank"), Given(409, "conflict")),
    ],
    "503 that says that nothing was written": [Given(503, problem) for problem in sorted(NOTHING_WRITTEN)],
    "any other 5xx, 3xx, or no answer": [
        *statuses(0, 301, 302, 304, 500, 501, 502, 503, 504, 520),
        *(Given(500, "internal"), Given(503, "outcome-unknown"), Given(502, "overloaded")),
    ],
}


def end(history: History, op: int, try_: int, given: Given, row: Any, by_data: tuple[int, str]) -> None:
    """Let an operation end with an answer; `by_data` is the refusal that fits it."""
    status, problem = by_data if given.problem == "by data" else (given.status, given.problem)
    outcome = classify(status, problem, given.sound)
    replayed = given.replayed and try_ > 1
    if outcome == "ok":
        patch = history.sent_as[op]["method"] != "POST"
        history.ok(op, row | ({"name": "Eve"} if given.other else {}), try_, 200 if patch else status,
                   replayed=replayed, etag='"4"')  # fmt: skip
    elif status == 0:
        history.unknown(op, try_)
    else:
        body: dict[str, Any] = {} if status < 300 else {"type": f"/problems/{problem}", "other": given.other}
        history.ended(outcome, op, try_, status=status, problem=problem, replayed=replayed, answer=body)


def meaning(history: History, service: str, before: History | None = None) -> str:
    """The words of the table for a history that adds one write of `service` to that before, or to the clean one."""
    report, earlier = history.audit(read_back=False), (before or clean()).audit(read_back=False).services[service]
    if report.violated:
        (finding,) = report.violated
        return f"**{finding.name}**"
    if any(flaw.startswith("never completed: the_") for flaw in report.flaws):
        return "tells nothing"
    counts = report.services[service]
    names = {"acknowledged": "accepted", "refused": "refused", "maybe": "maybe written", "unknown": "unknown"}
    return next(word for name, word in names.items() if getattr(counts, name) > getattr(earlier, name))


def first_try(given: Given) -> str:
    history = clean()
    history.sent(20, "users", as_sent(user(20)), expects="any")
    end(history, 20, 1, given, ROW, (409, "duplicate-email"))
    return meaning(history, "users")


def retry_without_an_answer(given: Given) -> str:
    history = clean()
    history.sent(20, "users", as_sent(user(20)), expects="any")
    history.unknown(20)
    history.again(20)
    end(history, 20, 2, given, ROW, (409, "duplicate-email"))
    return meaning(history, "users")


def retry(history: History, given: Given) -> str:
    """Send operation 20 again, as the only action of its kind: whether that completes shows if the answer tells."""
    history.lines[0]["kinds"] = ["the_retry"]
    history.again(20)
    end(history, 20, 2, given, ROW, (409, "duplicate-email"))
    history.lines[-1]["action"] = "the_retry"
    verdict = meaning(history, "users")
    return "as it should be" if verdict in ("accepted", "refused") else verdict


def retry_after_an_acknowledgement(given: Given) -> str:
    history = clean()
    history.sent(20, "users", as_sent(user(20)), expects="any")
    history.ok(20, ROW)
    return retry(history, given)


def retry_after_a_refusal(given: Given) -> str:
    history = clean()
    history.sent(20, "users", as_sent(user(20)), expects="any")
    end(history, 20, 1, Given(409, "by data"), ROW, (409, "duplicate-email"))
    return retry(history, given)


def patch(given: Given) -> str:
    before, history = clean(), clean()
    if given.problem == "by data":  # another one was faster
        for each in (before, history):
            each.patched(19, 2, "49.00", '"3"', '"4"')
    history.patch_sent(20, 2, "50.00", '"3"')
    end(history, 20, 1, given, product(2, "Lamp k3f9z2-3", "50.00"), (412, "precondition-failed"))
    return meaning(history, "products", before)


def patch_without_an_answer(given: Given) -> str:
    history = clean()
    history.patch_sent(20, 2, "50.00", '"3"')
    history.unknown(20)
    history.again(20)
    end(history, 20, 2, given, product(2, "Lamp k3f9z2-3", "50.00"), (412, "precondition-failed"))
    return meaning(history, "products")


def own_read(given: Given) -> str:
    history = clean()
    history.lines[0]["kinds"] = ["the_read"]
    history.sent(20, "users", None, method="GET", key=None, reads=[1, 0], path="/users/1")
    end(history, 20, 1, given, user(1), (404, "not-found"))
    history.lines[-1]["action"] = "the_read"
    report = history.audit(read_back=False)
    if report.violated:
        return f"**{report.violated[0].name}**"
    return "tells nothing" if report.flaws[0].startswith("never completed") else "as it should be"


COLUMNS = {
    "POST": first_try,
    "POST again, after no answer": retry_without_an_answer,
    "POST again, after 201": retry_after_an_acknowledgement,
    "POST again, after a refusal by data": retry_after_a_refusal,
    "PATCH": patch,
    "PATCH again, after no answer": patch_without_an_answer,
    "GET of an own write": own_read,
}


def table() -> dict[str, list[str]]:
    """The cells of the table in the page, by row."""
    lines = re.findall(r"^\|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    begin = next(place for place, row in enumerate(rows) if row[1:] == list(COLUMNS))
    return {row[0]: row[1:] for row in rows[begin + 2 : begin + 2 + len(ANSWERS)]}


def test_the_page_has_a_row_for_each_kind_of_answer() -> None:
    assert list(table()) == list(ANSWERS)
    assert ", ".join(map(str, sorted(NOT_PASSED_ON))) in ANSWERS


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(("place", "column"), list(enumerate(COLUMNS)), ids=list(COLUMNS))
def test_each_cell_of_the_table_is_what_the_judge_does(place: int, column: str, answer: str) -> None:
    written = table()[answer][place]
    for given in ANSWERS[answer]:
        if written != "-":  # this answer to this operation does not exist, or is the same as in the row above
            assert COLUMNS[column](given) == written, given


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    "given", [given for row in list(ANSWERS)[9:] for given in ANSWERS[row] if given.status not in (0, 503)], ids=str
)
def test_an_answer_that_tells_nothing_leaves_an_unknown_write_unknown(given: Given, there: bool) -> None:
    history = clean()
    history.sent(20, "users", as_sent(ROW))
    history.unknown(20)
    history.again(20)
    end(history, 20, 2, given, ROW, (409, "duplicate-email"))
    if there:
        history.rows["users", 20] = ROW
    report = history.audit()
    assert (report.verdict, report.violated) == (NO_VERDICT, [])
    assert report.flaws == ["1 writes could not be settled"]


def test_counts_the_requests_that_were_answered_early() -> None:
    history = clean()
    for place, (status, problem) in enumerate([(429, "rate-limited"), (401, "unauthorized"), (403, None)]):
        history.again(1, place + 2)
        history.refused(1, status, problem, place + 2)
    report = history.audit()
    assert report.verdict == PASS
    assert report.not_judged == {"rate-limited": 1, "unauthorized": 1, "status 403": 1}
