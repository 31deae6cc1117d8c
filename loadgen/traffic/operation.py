"""An operation, its tries and its answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..audit.answers import LAST_LINE, Fate, Outcome, classify, fate, scope
from ..audit.ledger import Line, dumps

DEEPEST = 50  # levels of an answer: deeper ones could be read here, but perhaps not written or judged later


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of one try."""

    outcome: Outcome
    status: int = 0
    problem: str | None = None
    body: Any = None
    replayed: bool = False
    etag: str | None = None
    location: str | None = None
    error: str | None = None  # the reason why there is no answer, or why it cannot be used
    line: int = 0  # of the ledger


@dataclass(slots=True)
class Op:
    """One request, however often it is tried, and what is known of it."""

    number: int
    service: str
    action: str
    method: str
    path: str
    body: Any = None
    key: str | None = None
    expects: str | list[str] = "ok"
    if_match: str | None = None
    reads: tuple[int, int] | None = None
    payload: bytes = b""  # the body as sent: the same bytes for every try
    tries: int = 0
    in_flight: int = 0
    answer: Answer | None = None  # the first `ok`
    last: Answer | None = None
    doubt: int | None = None  # as in `answers.fate`
    refusal: int | None = None
    counted: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        if self.body is not None:
            self.payload = dumps(self.body).encode()

    @property
    def size(self) -> int:
        """The number of writes: the items of a batch, otherwise one."""
        return len(self.expects) if isinstance(self.expects, list) else 1

    @property
    def adds_stock(self) -> bool:
        """True where it changes the stock of a product, and makes no row."""
        return self.path.endswith("/stock")

    @property
    def fate(self) -> Fate:
        """The fate of the write as far as it is known; `unknown` while a try is in flight."""
        if self.in_flight and not self.answer:
            return "unknown"
        return fate(self.answer.line if self.answer else None, self.doubt, self.refusal, self.key is not None)

    def sent(self, action: str) -> Line:
        """Return the ledger line of the next try, made under the name `action`."""
        return {
            "event": "sent",
            "op": self.number,
            "try": self.tries,
            "service": self.service,
            "action": action,
            "method": self.method,
            "path": self.path,
            "key": self.key,
            "if_match": self.if_match,
            "reads": self.reads,
            "expects": self.expects,
            "body": self.body,
        }

    def ended(self, answer: Answer, sent: int, line: int) -> None:
        """Take in the end of a try, whose ledger lines have the numbers `sent` and `line`."""
        self.last = answer
        if answer.outcome == "ok":
            self.answer = self.answer or replace(answer, line=line)
        elif answer.outcome == "unknown":
            self.doubt = line
        else:
            speaks_of = scope(answer.problem, self.expects, self.key is not None)
            if speaks_of == "all tries":
                self.refusal = LAST_LINE
            elif speaks_of == "earlier tries":
                self.refusal = max(sent, self.refusal or 0)

    def accepted(self, answer: Answer) -> int:
        """Return the number of writes that an answer acknowledges: of a batch, its accepted items."""
        if answer.outcome != "ok":
            return 0
        if not isinstance(self.expects, list):
            return 1
        return sum(result["status"] == 201 for result in answer.body["results"])

    def failure(self, answer: Answer) -> str | None:
        """Return what is wrong with an answer, in a few words; None for one that is as it should be."""
        said = f"{answer.status} {answer.problem or 'without a problem'}"
        if answer.outcome == "unknown":
            return answer.error or said
        if answer.outcome == "refused":
            return said if answer.status >= 500 or self.expects not in ("any", answer.problem) else None
        wrong = isinstance(self.expects, str) and self.expects not in ("ok", "any")
        return f"{answer.status} instead of {self.expects}" if wrong else None


def interpret(op: Op, status: int, headers: Mapping[str, Any], content: bytes) -> Answer:
    """Return the meaning of an answer to `op`, whatever garbage it holds. Headers are named in lower case."""
    try:
        body = json.loads(content) if content else None
    except (ValueError, RecursionError):
        return Answer(classify(status, None, False), status, error=f"{status} with a body that is not JSON")
    if too_deep(body):
        return Answer(classify(status, None, False), status, error=f"{status} with a body that is nested too deeply")
    problem = None
    if status >= 400 and isinstance(body, dict) and isinstance(body.get("type"), str):
        problem = body["type"].rpartition("/")[2]
    sound = _sound(op, body)
    return Answer(
        classify(status, problem, sound),
        status,
        problem,
        body,
        headers.get("idempotency-replayed") == "true",
        _last(headers.get("etag")),
        _last(headers.get("location")),
        None if sound or status >= 400 else f"{status} with a body that the contract does not promise",
    )


def too_deep(value: Any) -> bool:
    """Return True for parsed JSON that is nested in more than DEEPEST levels."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _sound(op: Op, body: Any) -> bool:
    """Return True for a body that the contract promises for a 2xx answer to `op`."""
    if not isinstance(body, dict):
        return False
    if isinstance(op.expects, list):
        results = body.get("results")
        return isinstance(results, list) and len(results) == len(op.expects) and all(map(_sound_result, results))
    if op.method == "GET" and not op.path.partition("?")[0].rpartition("/")[2].isdigit():
        return isinstance(body.get("items"), list)
    return _is_id(body.get("id"))


def _sound_result(result: Any) -> bool:
    if not isinstance(result, dict) or type(result.get("status")) is not int:
        return False
    if result["status"] == 201:
        return isinstance(result.get("item"), dict) and _is_id(result["item"].get("id"))
    return result["status"] >= 400 and isinstance(result.get("problem"), dict)


def _is_id(value: Any) -> bool:
    return type(value) is int and value > 0


def _last(value: Any) -> str | None:
    """Return a header's value; the last one of several."""
    return str(value[-1] if isinstance(value, list) else value) if value else None
