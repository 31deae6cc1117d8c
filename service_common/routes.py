"""The routes of a collection: each parses, calls a use case, answers."""

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, request
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.routing import BaseConverter

from .clients import MANY_ITEMS, turn
from .collection import Collection, Item, Job, changed_meanwhile, dumps
from .idempotency import Answer, Finished, InFlight, Key, kept_answer, key_of, once
from .inbound import MAX_ID, choices, number, numbers, parse, path_id, query, read_body, validate
from .logs import request_id
from .problems import Problem
from .store import Store
from .writer import Writer

PAGE = 50
LARGEST_PAGE = 1000
MOST_IDS = 500
LARGEST_BATCH = 1000
MATCH, NONE_MATCH = "HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"


class Batch(BaseModel):
    """The body of a batch. Its items are validated one by one, so that each fails alone."""

    model_config = ConfigDict(extra="forbid", strict=True)
    items: list[Any] = Field(min_length=1, max_length=LARGEST_BATCH)


class ItemId(BaseConverter):
    """Any segment of a path but `batch`, which is a resource of its own and can only be posted."""

    regex = r"(?!batch\Z)[^/]+"
    part_isolating = True  # it matches no slash


def named(field: str, otherwise: bool) -> Callable[[str], bool]:
    """Whether a version is among those that a header field of the current request names; without it, `otherwise`.

    What is not written as RFC 9110 says names none: a condition that cannot be read must not let a write through.
    """
    condition = request.environ.get(field)
    if condition is None or condition == "*":
        return lambda tag: otherwise if condition is None else True
    tags = {part.strip(" \t") for part in condition.split(",")}
    return lambda tag: f'"{tag}"' in tags or (field == NONE_MATCH and f'W/"{tag}"' in tags)


def conditions() -> tuple[Callable[[str], bool], Callable[[str], bool]]:
    """Whether If-Match of the current request wants a version, and whether If-None-Match does not want it."""
    return named(MATCH, True), named(NONE_MATCH, False)


def acceptable() -> Callable[[str], bool]:
    """Whether the current request may change a version: RFC 9110, section 13.2.2."""
    wanted, unwanted = conditions()
    return lambda tag: wanted(tag) and not unwanted(tag)


def register(
    app: Flask, collection: Collection, store: Store, writer: Writer, in_flight: InFlight, body_limit: int
) -> None:
    """Add the routes of `collection` to `app`; a body may have `body_limit` bytes."""
    resource = collection.resource
    path = f"/{resource.name}"
    app.url_map.converters["default"] = ItemId
    expand = {"expand": choices(*resource.embeds)} if resource.embed else {}
    filters = dict.fromkeys(resource.filters, number(1, MAX_ID))
    page_query = {"limit": number(1, LARGEST_PAGE), "after": number(0, MAX_ID), "ids": numbers(MOST_IDS)}
    list_query = page_query | filters | expand

    def create_once(key: Key | None, rows: int, prepare: Callable[[], Job]) -> Response:
        """Prepare a write, make it, and answer; with an Idempotency-Key, once for that key."""
        if key is None:
            unkeyed: Answer = writer.write(prepare(), rows)
            return unkeyed.response()
        with in_flight.hold(key) as jobs:
            answer = kept_answer(store.read, key)
            if answer is None:
                jobs.append(writer.submit(once(key, prepare()), rows))
                answer = writer.wait(jobs[0])
        return answer.response()

    def embed(items: list[Item], names: list[str]) -> list[Item]:
        if names and resource.embed:
            resource.embed(items, names)
        return items

    @app.post(path, endpoint="create")
    def create() -> Response:
        body = read_body(request, body_limit)
        key = key_of(request, body)
        new = parse(resource.new, body)

        def prepare() -> Job:
            (ready,) = resource.prepare([new])
            if isinstance(ready, Problem):
                raise ready
            return partial(collection.create, ready)

        return create_once(key, 1, prepare)

    @app.post(f"{path}/batch", endpoint="create_batch")
    def create_batch() -> Response:
        body = read_body(request, body_limit)
        key = key_of(request, body)
        items = parse(Batch, body).items
        if len(items) <= MANY_ITEMS:
            return batch_once(key, items)
        with turn():
            return batch_once(key, items)

    def batch_once(key: Key | None, items: list[Any]) -> Response:
        rows = len(items)

        def prepare() -> Job:
            checked: list[Any] = []
            for item in items:
                try:
                    checked.append(validate(resource.new, item))
                except Problem as problem:
                    checked.append(problem.with_traceback(None))  # which leads here, and would keep all of this
            items.clear()  # what was sent can be far larger than what is kept of it
            ready = iter(resource.prepare([new for new in checked if not isinstance(new, Problem)]))
            prepared = [new if isinstance(new, Problem) else next(ready) for new in checked]
            return partial(collection.create_batch, prepared, request_id.get())

        return create_once(key, rows, prepare)

    @app.get(path, endpoint="list")
    def list_() -> Response:
        given = query(request, list_query)
        if max(given.get("limit", 0), len(given.get("ids", ()))) <= MANY_ITEMS:
            return listed(given)
        with turn():
            return listed(given)

    def listed(given: dict[str, Any]) -> Response:
        if ids := given.pop("ids", None):
            names = given.pop("expand", [])
            if given:
                raise Problem("validation", "`ids` stands alone.", [{"parameter": "ids", "detail": "stands alone"}])
            return Answer(200, dumps({"items": embed(collection.by_ids(ids), names), "next": None}).encode()).response()
        after, limit = given.get("after", 0), given.get("limit", PAGE)
        items, more = collection.page(after, limit, {column: given[column] for column in filters if column in given})
        following = None
        if more:
            onward = {"limit": limit, "after": items[-1]["id"]}
            onward |= {name: ",".join(v) if name == "expand" else v for name, v in given.items() if name not in onward}
            following = f"{path}?{urlencode(onward, safe=',')}"
        return Answer(
            200, dumps({"items": embed(items, given.get("expand", [])), "next": following}).encode()
        ).response()

    @app.get(f"{path}/<id>", endpoint="get")
    def get(id: str) -> Response:
        given = query(request, expand)
        row = collection.get(path_id(id))
        tag = collection.etag(row)
        if tag is not None:
            wanted, unwanted = conditions()
            if not wanted(tag):
                raise changed_meanwhile(tag)
            if unwanted(tag):
                return Response(status=304, headers={"ETag": f'"{tag}"'})
        (item,) = embed([collection.item(row)], given.get("expand", []))
        return Answer(200, dumps(item).encode(), {} if tag is None else {"ETag": f'"{tag}"'}).response()

    if resource.change is None:
        return
    change_model = resource.change

    @app.patch(f"{path}/<id>", endpoint="change")
    def change(id: str) -> Response:
        number_ = path_id(id)
        new = parse(change_model, read_body(request, body_limit))
        row = writer.write(partial(collection.update, number_, new, acceptable()))
        return Answer(200, dumps(collection.item(row)).encode(), {"ETag": f'"{collection.etag(row)}"'}).response()

    @app.delete(f"{path}/<id>", endpoint="delete")
    def delete(id: str) -> Response:
        query(request, {})
        writer.write(partial(collection.delete, path_id(id), acceptable()))
        return Finished(status=204)
