"""What must hold of every answer to a generated request, beside what schemathesis itself checks against the document.

`st run` loads this module (see schemathesis.toml). DATABASE names the service's database file, FIGURES the file that
the figures of the run are written to.
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

from ..services.client import STATUS, WITH_ERRORS, WITH_RETRY_AFTER

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")  # of the contract: any other is replaced
# What a schema cannot say: whether the id, the version, the e-mail or the key of a well-formed request is the right one.
NOT_GRANTED = {
    "not-found", "duplicate-email", "precondition-failed", "unknown-reference", "idempotency-key-reused",
}  # fmt: skip
LINE_OR_FIELD_TOO_LONG = {
    414: "uri-too-long",
    431: "request-header-fields-too-large",
}  # a schema has no word for the length of a request line
EVERYWHERE = {"content-type", "content-length", "transfer-encoding", "connection", "date", "server", "x-request-id"}
OF_STATUS = {401: {"www-authenticate"}, 405: {"allow"}, 200: {"allow"}}  # 200: of OPTIONS


def slug(answer: Response) -> str | None:
    """The kind of problem that an answer is, if it is one."""
    if answer.status_code < 400 or not answer.content:
        return None
    return str(answer.json()["type"]).removeprefix("/problems/")


def as_numbers_are_written(body: Any) -> bool:
    """Whether prices have at most two decimals (a schema would count them in binary), and integers no point."""
    fields = body if isinstance(body, dict) else {}
    price = fields.get("price", 0)
    whole = not any(isinstance(fields.get(name), float) for name in ("user_id", "product_id", "quantity"))
    return whole and (not isinstance(price, float) or round(price, 2) == price)


@schemathesis.hook
def filter_failure(ctx: HookContext, failure: Exception, case: Case, response: Response) -> bool:
    """Whether a failure is one. Refusals that a schema cannot foresee are none, each for its own reason."""
    name = type(failure).__name__
    if name == "RejectedPositiveData":
        if response.status_code in LINE_OR_FIELD_TOO_LONG:
            return False
        beside_ids = "ids" in case.query and set(case.query) - {"ids", "expand"}
        return slug(response) not in NOT_GRANTED and not beside_ids and as_numbers_are_written(case.body)
    if name == "AcceptedNegativeData" and case.path.endswith("/batch"):
        return all(result["status"] < 400 for result in response.json()["results"])  # items fall alone
    return True


@schemathesis.check
def errors_are_problems(ctx: CheckContext, response: Response, case: Case) -> None:
    """Every error is a problem document of the contract's one shape."""
    if response.status_code < 400:
        return
    assert response.headers["content-type"] == ["application/problem+json"]
    if response.request.method == "HEAD":
        return
    problem = response.json()
    kind = slug(response)
    assert problem["request_id"] == response.headers["x-request-id"][0]
    assert problem["status"] == response.status_code
    assert problem["title"]
    assert problem["detail"]
    if response.status_code in LINE_OR_FIELD_TOO_LONG:
        assert kind == LINE_OR_FIELD_TOO_LONG[response.status_code]
        return
    assert STATUS[str(kind)] == response.status_code
    assert ("errors" in problem) == (kind in WITH_ERRORS)
    assert ("retry-after" in response.headers) == (kind in WITH_RETRY_AFTER)


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
    """Every header of an answer is HTTP's, or in the document."""
    documented: set[str] = set()
    described = case.operation.responses.find_by_status_code(response.status_code)
    if described is not None:
        documented = {name.lower() for name in described.definition.get("headers", {})}
    assert set(response.headers) <= EVERYWHERE | documented | OF_STATUS.get(response.status_code, set())


@schemathesis.check
def each_item_of_a_batch_is_judged_by_its_schema(ctx: CheckContext, response: Response, case: Case) -> None:
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
        if valid(body) and as_numbers_are_written(body):
            assert kind is None or kind in NOT_GRANTED, (body, result)
        else:
            assert kind == "validation", (body, result)


@schemathesis.check
class RowsAreWhatWasAcknowledged:
    """After each answer the table has the rows that were acknowledged: nothing is written when refused."""

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
            elif method == "POST" and status == 200:
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
