"""The routes of a resource: each reads the request, calls a use case, answers."""

from collections.abc import Collection
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, request
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.routing import BaseConverter

from ..http import problem_kinds as kinds
from ..http.body import read, validate
from ..http.problems import Problem
from ..http.query import choices, number, numbers, path_id, query
from ..http.responses import FinishedResponse, json_answer, respond
from ..ids import MAX_ID
from ..server.heavy_requests import heavy_request
from ..telemetry.request_id import request_id
from .conditions import versions_of
from .declaration import Item
from .use_cases import UseCases, other_version

PAGE = 50  # items
LARGEST_PAGE = 1000
MOST_IDS = 500  # of one request
LARGEST_BATCH = 1000  # items


class Batch(BaseModel):
    """The body of a batch. Its items are validated one by one, so that each fails by itself."""

    model_config = ConfigDict(extra="forbid", strict=True)
    items: list[Any] = Field(min_length=1, max_length=LARGEST_BATCH)


def item_id(fixed: Collection[str]) -> type[BaseConverter]:
    """Return a converter for any segment of a path but those that are `fixed`: these allow methods of their own."""

    class ItemId(BaseConverter):
        regex = rf"(?!({'|'.join(sorted(fixed))})\Z)[^/]+"
        part_isolating = True  # it matches no slash

    return ItemId


class Routes:
    """The routes of one resource."""

    def __init__(self, use_cases: UseCases, body_limit: int) -> None:
        """`body_limit` is the largest request body in bytes."""
        self._use_cases = use_cases
        self._body_limit = body_limit
        self._resource = resource = use_cases.resource
        self._path = f"/{resource.name}"
        self._expand = {"expand": choices(*resource.embeds)} if resource.embed else {}
        self._filters = dict.fromkeys(resource.filters, number(1, MAX_ID))
        paging = {"limit": number(1, LARGEST_PAGE), "after": number(0, MAX_ID), "ids": numbers(MOST_IDS)}
        self._list_query = paging | self._filters | self._expand

    def init_app(self, app: Flask) -> None:
        """Add the routes to `app`."""
        app.url_map.converters["default"] = item_id(self._resource.fixed_segments)
        item = f"{self._path}/<id>"
        app.add_url_rule(self._path, "create", self.create, methods=["POST"])
        app.add_url_rule(f"{self._path}/batch", "create_batch", self.create_batch, methods=["POST"])
        app.add_url_rule(self._path, "list", self.list_items)
        app.add_url_rule(item, "get", self.get)
        if self._resource.change is not None:
            app.add_url_rule(item, "change", self.change, methods=["PATCH"])
            app.add_url_rule(item, "delete", self.delete, methods=["DELETE"])

    def create(self) -> Response:
        """Create one item."""
        new, key = read(request, self._resource.new, self._body_limit)
        return respond(self._use_cases.create(new, key, request_id.get()))

    def create_batch(self) -> Response:
        """Create many items; each succeeds or fails by itself."""
        batch, key = read(request, Batch, self._body_limit)
        with heavy_request(request.environ, len(batch.items)):
            checked = [self._checked(item) for item in batch.items]
        del batch  # it can be far larger than what is kept of it
        return respond(self._use_cases.create_batch(checked, key, request_id.get()))

    def _checked(self, item: Any) -> BaseModel | Problem:
        """Return an item of a batch as a model, or the problem with it."""
        try:
            return validate(self._resource.new, item)
        except Problem as problem:
            return problem.with_traceback(None)  # the traceback would keep the whole batch alive

    def list_items(self) -> Response:
        """List a page of items by id, or those with the ids given."""
        given = query(request, self._list_query)
        names = given.pop("expand", [])
        ids = given.pop("ids", None)
        if ids and given:
            wrong = [{"parameter": "ids", "detail": f"cannot be combined with {', '.join(given)}"}]
            raise Problem(kinds.VALIDATION, "The query parameters cannot be combined.", wrong)
        with heavy_request(request.environ, max(given.get("limit", 0), len(ids or ()))):
            if ids:
                page: dict[str, Any] = {"items": self._embed(self._use_cases.by_ids(ids), names), "next": None}
            else:
                page = self._page(given, names)
            return respond(json_answer(page))

    def _page(self, given: dict[str, Any], names: list[str]) -> dict[str, Any]:
        """Return a page of items by id, with a link to the next page."""
        limit, where = given.get("limit", PAGE), {name: given[name] for name in self._filters if name in given}
        items, more = self._use_cases.page(given.get("after", 0), limit, where)
        following = None
        if more:
            onward = {"limit": limit, "after": items[-1]["id"]} | where
            if names:
                onward["expand"] = ",".join(names)
            following = f"{self._path}?{urlencode(onward, safe=',')}"
        return {"items": self._embed(items, names), "next": following}

    def _embed(self, items: list[Item], names: list[str]) -> list[Item]:
        """Add to the items what `expand` names."""
        if names and self._resource.embed:
            self._resource.embed(items, names)
        return items

    def get(self, id: str) -> Response:
        """Read one item, if the request's conditions accept its version."""
        names = query(request, self._expand).get("expand", [])
        row = self._use_cases.get(path_id(id))
        tag = self._use_cases.tag(row)
        if tag:
            versions = versions_of(request)
            if not versions.wants(row[-1]):
                raise other_version(row[-1])
            if versions.excludes(row[-1]):
                return Response(status=304, headers=tag)
        (item,) = self._embed([self._use_cases.item(row)], names)
        return respond(json_answer(item, headers=tag))

    def change(self, id: str) -> Response:
        """Change one item, if the request's conditions accept its version."""
        assert self._resource.change is not None
        number = path_id(id)
        change, _ = read(request, self._resource.change, self._body_limit)
        row = self._use_cases.change(number, change, versions_of(request))
        return respond(json_answer(self._use_cases.item(row), headers=self._use_cases.tag(row)))

    def delete(self, id: str) -> Response:
        """Delete one item, if the request's conditions accept its version."""
        query(request, {})
        self._use_cases.delete(path_id(id), versions_of(request))
        return FinishedResponse(status=204)
