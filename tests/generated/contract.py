"""Checks of every answer to a generated request, beside those that schemathesis itself makes against the document.

`st run` loads this module (see schemathesis.toml). DATABASE is the service's database file; the figures of the run are
written to the file FIGURES.
"""

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import apsw
import jsonschema_rs
import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response

from ..services.client import INTERNAL, STATUS, WITH_ERRORS, WITH_RETRY_AFTER

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")  # of the contract: any other is replaced
# Refusals that a schema cannot foresee: it does not know which ids, versions, e-mails and keys there are.
NOT_GRANTED = {
    "not-found", "duplicate-email", "out-of-stock", "in-use", "precondition-failed", "unknown-reference",
    "idempotency-key-reused",
}  # fmt: skip
LINE_OR_FIELD_TOO_LONG = {
    414: "uri-too-long",
    431: "request-header-fields-too-large",
}  # a schema cannot limit the length of a request line
EVERYWHERE = {"content-type", "content-length", "transfer-encoding", "connection", "date", "server", "x-request-id"}
OF_STATUS = {401: {"www-authenticate"}, 405: {"allow"}, 200: {"allow"}}  # 200: of OPTIONS


def slug(answer: Response) -> str | None:
    """Return the kind of problem that an answer is; None where it is not a problem."""
    if answer.status_code < 400 or not answer.content:
        return None
    return str(answer.json()["type"]).removeprefix("/problems/")


def has_whole_cents(body: Any) -> bool:
    """Return whether a price has at most two decimals. A schema cannot say so: it would count them in binary."""
    price = body.get("price", 0) if isinstance(body, dict) else 0
    return not isinstance(price, float) or round(price, 2) == price


def is_beyond_stock(case: Case, response: Response) -> bool:
    """Return whether units were refused because of the product: it is unlimited, or would have too many."""
    if not case.path.endswith("/stock") or slug(response) != "validation":
        return False
    (error,) = response.json()["errors"]
    return error["pointer"] == "/add" and (
        "the product is unlimited" in error["detail"] or "more than" in error["detail"]
    )


@schemathesis.hook
def filter_failure(ctx: HookContext, failure: Exception, case: Case, response: Response) -> bool:
    """Return whether a failure counts. Refusals that a schema cannot foresee do not, each for its own reason."""
    name = type(failure).__name__
    if name == "RejectedPositiveData":
        if response.status_code in LINE_OR_FIELD_TOO_LONG:
            return False
        beside_ids = "ids" in case.query and set(case.query) - {"ids", "expand"}
        both_lists = {"after", "sold_after"} <= set(case.query)
        foreseen = not beside_ids and not both_lists and not is_beyond_stock(case, response)
        return slug(response) not in NOT_GRANTED and foreseen and has_whole_cents(case.body)
    if name == "AcceptedNegativeData" and case.path.endswith("/batch"):
        return all(result["status"] < 400 for result in response.json()["results"])  # each item fails by itself
    return True


@schemathesis.check
def errors_are_problems(ctx: CheckContext, response: Response, case: Case) -> None:
    """Every error is a problem document in the contract's one shape, and shows nothing internal."""
    if response.status_code < 400:
        return
    assert response.headers["content-type"] == ["application/problem+json"]
    if response.request.method == "HEAD":
        return
    problem = response.json()
    kind = slug(response)
    if "idempotency-replayed" not in response.headers:  # then it is the id of the first request
        assert problem["request_id"] == response.headers["x-request-id"][0]
    assert problem["status"] == response.status_code
    assert problem["title"]
    assert problem["detail"]
    for text in (problem["detail"], *(error["detail"] for error in problem.get("errors", []))):
        assert not INTERNAL.search(text), text
    if response.status_code in LINE_OR_FIELD_TOO_LONG:
        assert kind == LINE_OR_FIELD_TOO_LONG[response.status_code]
        return
    assert STATUS[str(kind)] == response.status_code
    assert ("errors" in problem) == (kind in WITH_ERRORS)
    assert ("retry-after" in response.headers) == (kind in WITH_RETRY_AFTER)


@schemathesis.check
def answers_end_with_a_newline(ctx: CheckContext, response: Response, case: Case) -> None:
    """Every body ends with a newline."""
    assert not response.content or response.content.endswith(b"\n")


@schemathesis.check
def request_ids_come_back(ctx: CheckContext, response: Response, case: Case) -> None:
    """The X-Request-ID that was sent comes back, or one is made."""
    (answered,) = response.headers["x-request-id"]
    sent = response.request.headers.get("X-Request-ID")
    sent = sent.decode("latin-1") if isinstance(sent, bytes) else sent
    if sent is not None and REQUEST_ID.fullmatch(sent.strip(" \t")):
        assert answered == sent.strip(" \t")
    else:
        assert REQUEST_ID.fullmatch(answered)


@schemathesis.check
def no_header_is_undocumented(ctx: CheckContext, response: Response, case: Case) -> None:
    """Every header of an answer is one of HTTP itself, or is in the document."""
    documented: set[str] = set()
    described = case.operation.responses.find_by_status_code(response.status_code)
    if described is not None:
        documented = {name.lower() for name in described.definition.get("headers", {})}
    assert set(response.headers) <= EVERYWHERE | documented | OF_STATUS.get(response.status_code, set())


@schemathesis.check
def each_item_of_a_batch_is_refused_where_it_breaks_its_schema(
    ctx: CheckContext, response: Response, case: Case
) -> None:
    """In a batch, exactly the items that break the schema are refused as `validation`."""
    if not case.path.endswith("/batch") or response.status_code != 200 or response.request.method != "POST":
        return
    if "idempotency-replayed" in response.headers:
        return
    root = case.operation.schema.raw_schema
    item = root["paths"][case.path]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"][
        "items"
    ]["items"]
    valid = jsonschema_rs.validator_for(item | {"components": root["components"]}).is_valid
    sent = json.loads(response.request.body)["items"]
    results = response.json()["results"]
    assert len(results) == len(sent)
    for body, result in zip(sent, results, strict=True):
        kind = result["problem"]["type"].removeprefix("/problems/") if "problem" in result else None
        assert result["status"] == (STATUS[kind] if kind else 201)
        if valid(body) and has_whole_cents(body):
            assert kind is None or kind in NOT_GRANTED, (body, result)
        else:
            assert kind == "validation", (body, result)


@schemathesis.check
class RowsAreWhatWasAcknowledged:
    """After each answer the table has exactly the rows that were acknowledged. A refusal writes nothing."""

    def __init__(self) -> None:
        path = Path(os.environ["DATABASE"])
        self.table = path.stem
        self.db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        self.expected = self.rows()
        self.cases: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.operations: Counter[str] = Counter()
        self.wrong = 0
        self.slowest = 0.0

    def rows(self) -> int:
        return int(self.db.execute(f"SELECT count(*) FROM {self.table}").get)

    def after_response(self, ctx: CheckContext, response: Response, case: Case) -> None:
        method, status = response.request.method, response.status_code
        self.cases[str(status)] += 1
        self.slowest = max(self.slowest, response.elapsed)
        if status < 400:
            self.operations[f"{method} {case.path}"] += 1
        else:
            self.kinds[slug(response) or method] += 1
        if "idempotency-replayed" not in response.headers:
            if method == "POST" and status == 201:
                self.expected += 1
            elif method == "POST" and status == 200 and case.path.endswith("/batch"):
                self.expected += sum(result["status"] == 201 for result in response.json()["results"])
            elif method == "DELETE" and status == 204:
                self.expected -= 1
        found, expected = self.rows(), self.expected
        self.expected = found  # one wrong row is one failure
        self.wrong += found != expected
        assert found == expected, f"{self.table} has {found} rows, {expected} were acknowledged"

    def after_run(self, ctx: CheckContext) -> None:
        figures = {
            "cases": sum(self.cases.values()), "accepted": sum(self.operations.values()),
            "refused": sum(self.kinds.values()), "5xx": sum(n for s, n in self.cases.items() if s >= "500"),
            "rows wrongly written": self.wrong, "slowest in s": round(self.slowest, 3),
            "by status": dict(sorted(self.cases.items())), "by problem": dict(self.kinds.most_common()),
            "by operation": dict(self.operations.most_common()),
        }  # fmt: skip
        Path(os.environ["FIGURES"]).write_text(json.dumps(figures, indent=1), encoding="utf-8")
