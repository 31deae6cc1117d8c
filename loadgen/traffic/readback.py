"""The read-back: every row of the services from the run's first ids on, page by page, into a file.

Limited products are read at rest: when no unit of them is reserved any more, or one has been for REST_S.
"""

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

import gevent

from ..audit.ledger import dumps
from .operation import too_deep
from .sender import Http

PAGE = 1000  # the largest that the contract allows
TRIES = 8  # of a page; with the pauses about as long as a service takes to restart
PAUSE_S = 0.5  # before the second try; one more each time
REST_S = 20.0  # a reservation that is open for this long after the load is stuck; orders needs up to 10 after a crash
SLOW_S = 1.0  # a listing that takes longer met an outage of products, in which nothing can be settled
LONGEST_WAIT_S = 60.0  # for the reservations of other clients, which come and go
LOOK_EVERY_S = 0.5
RESERVATIONS = "/products/reservations"
Row = dict[str, Any]


class ReadBackFailed(Exception):
    """A service could not be read to the end; the message says which and why."""


def pages(http: Http, service: str, after: int) -> Iterator[list[Row]]:
    """Yield the rows of `service` with an id above `after`, in pages, by id.

    It goes on until a page is empty, and does not trust `next`: the service is what is being judged.

    Raises:
        ReadBackFailed: a page was not answered, or its ids do not grow.
    """
    while items := _page(http, service, f"/{service}?limit={PAGE}&after={after}"):
        for item in items:
            id_ = item.get("id") if isinstance(item, dict) else None
            if type(id_) is not int or id_ <= after:
                raise ReadBackFailed(f"{service} listed the id {id_!r} after {after}")
            if too_deep(item):
                raise ReadBackFailed(f"{service} listed {id_} with fields that are nested too deeply")
            after = id_
        yield items


def tokens(http: Http, cursor: str, limited: set[int]) -> Iterator[Row]:
    """Yield the tokens of the `limited` products, in their order; `cursor`: "after" (what is open) or "sold_after".

    Raises:
        ReadBackFailed: a page was not answered, or its tokens do not grow.
    """
    after = ""
    while items := _page(http, "products", f"{RESERVATIONS}?limit={PAGE}&{cursor}={quote(after, safe='')}"):
        for item in items:
            token = item.get("token") if isinstance(item, dict) else None
            if not isinstance(token, str) or token <= after:
                raise ReadBackFailed(f"products listed the token {token!r} after {after!r}")
            after = token
            if item.get("product_id") in limited:
                yield {key: item.get(key) for key in ("token", "product_id", "quantity")}


def await_rest(http: Http, limited: set[int]) -> list[Row]:
    """Wait until no unit of the `limited` products is reserved; return what stays reserved for REST_S.

    Reservations of other clients may come and go meanwhile. Raises ReadBackFailed.
    """
    began = time.monotonic()
    seen: dict[str, float] = {}
    while True:
        asked = time.monotonic()
        open_ = {row["token"]: row for row in tokens(http, "after", limited)}
        now = time.monotonic()
        if now - asked > SLOW_S:
            seen = {}
        seen = {token: seen.get(token, now) for token in open_}
        stuck = [row for token, row in open_.items() if now - seen[token] >= REST_S]
        if not open_ or stuck or now - began > LONGEST_WAIT_S:
            return stuck
        gevent.sleep(LOOK_EVERY_S)


def _page(http: Http, service: str, path: str) -> list[Row]:
    def items(answer: Any) -> Any:
        return answer["items"] if isinstance(answer["items"], list) else None

    return list(_get(http, service, path, items))


def _get(http: Http, service: str, path: str, part: Callable[[Any], Any]) -> Any:
    """Return a part of the answer to a GET; ask again where there is none. Raises ReadBackFailed."""
    for attempt in range(1, TRIES + 1):
        try:
            status, _, content = http.request("GET", path)
            if status == 200 and (found := part(json.loads(content))) is not None:
                return found
            reason = f"status {status}"
        except Exception as error:  # no answer, or any kind of garbage: ask again
            reason = f"{type(error).__name__}: {error}"
        if attempt < TRIES:
            gevent.sleep(PAUSE_S * attempt)
    raise ReadBackFailed(f"{service} did not answer GET {path} ({reason})")


def read_back(
    services: Mapping[str, Http],
    first_ids: Mapping[str, int],
    limited: Collection[int],
    path: Path,
    progress: Callable[[int], None] = lambda rows: None,
) -> int:
    """Write every row from a run's first ids on to `path`, for `ledger.read_rows`; return how many there are.

    `limited` are the run's limited products. `progress` is called with the number of rows so far. Rows of limited
    products are named for the judge's tables: `stuck` before all else. At the end what is `reserved`, then what is
    `sold`, so that no token is missed on its way from the one to the other. Last the stock once more (`at_rest`), which
    shows whether anything has changed meanwhile.

    Raises:
        ReadBackFailed: a service could not be read.
        OSError: the file cannot be written.
    """
    rows = 0
    products, limited = services["products"], set(limited)
    with path.open("w", encoding="utf-8") as file:
        if limited:
            _write(file, "stuck", await_rest(products, limited))
        for service, http in services.items():
            for items in pages(http, service, first_ids.get(service, 1) - 1):
                _write(file, service, items)
                rows += len(items)
                progress(rows)
                gevent.sleep(0)
        if limited:
            _write(file, "reserved", tokens(products, "after", limited))
            _write(file, "sold", tokens(products, "sold_after", limited))
            _write(file, "at_rest", (_stock(products, id_) for id_ in sorted(limited)))
    return rows


def _write(file: TextIO, kind: str, rows: Iterable[Row]) -> None:
    file.writelines(dumps([kind, row]) + "\n" for row in rows)


def _stock(products: Http, id_: int) -> Row:
    found = _get(products, "products", f"/products/{id_}", lambda row: row if isinstance(row, dict) else None)
    return {"product_id": id_, "stock": found.get("stock")}
