"""The read-back: everything that the services hold from the run's first ids on, page by page, into a file."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import gevent

from .client import Http, too_deep
from .ledger import Row, dumps
from .run import Run

PAGE = 1000  # the largest that the contract allows
TRIES = 8  # of a page; with the pauses about as long as a service takes to restart
PAUSE_S = 0.5  # before the second try; one more each time


class ReadBackFailed(Exception):
    """A service could not be read to the end; the message says which and why."""


def pages(http: Http, service: str, after: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of `service` with an id above `after`, in pages, by id.

    It goes on until a page is empty, and does not take `next` at its word: the service is what is being judged.

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


def _page(http: Http, service: str, path: str) -> list[dict[str, Any]]:
    for attempt in range(1, TRIES + 1):
        try:
            status, _, content = http.request("GET", path)
            if status == 200:
                items = json.loads(content)["items"]
                if isinstance(items, list):
                    return items
            reason = f"status {status}"
        except Exception as error:  # no answer or garbage, of any sort: ask again
            reason = f"{type(error).__name__}: {error}"
        if attempt < TRIES:
            gevent.sleep(PAUSE_S * attempt)
    raise ReadBackFailed(f"{service} did not answer GET {path} ({reason})")


def read_back(run: Run, http: dict[str, Http], path: Path) -> None:
    """Write every row of this run's time to `path`, a JSON array [service, row] a line.

    Raises:
        ReadBackFailed: a service could not be read.
        OSError: the file cannot be written.
    """
    expected = sum(tally.acknowledged for tally in run.tallies.values())
    with path.open("w", encoding="utf-8") as file:
        for service, connection in http.items():
            for items in pages(connection, service, run.first_ids.get(service, 1) - 1):
                file.writelines(dumps([service, item]) + "\n" for item in items)
                run.audited += len(items)
                run.progress.at("reading back", run.audited, max(expected, run.audited))
                gevent.sleep(0)


def rows(path: Path) -> Iterator[Row]:
    """Stream what `read_back` wrote. Fractions come as Decimal."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            service, row = json.loads(line, parse_float=Decimal)
            yield service, row
