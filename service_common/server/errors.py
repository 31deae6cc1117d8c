"""Errors of the server, and the requests that it refuses itself. The application maps them to its answers."""

from dataclasses import dataclass


class ServerError(Exception):
    """The server could not hand a request's body to the application, or had no room for the request."""


class TooManyLargeRequests(ServerError):
    """All connections together hold too much, or too many large requests wait. Nothing was written."""


class BrokenBody(ServerError):
    """The body ended early, arrived too slowly, or its framing is wrong."""


class BodyTooLarge(ServerError):
    """The body is longer than the application accepts."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that never reached the application, because its headers cannot be read or are too long."""

    status: int  # the HTTP status
    detail: str  # why
    field: str = ""  # the header field that is wrong, in capitals; empty where none is to blame


@dataclass(frozen=True, slots=True)
class RefusalAnswer:
    """The application's answer to a refusal."""

    status: str  # such as "400 BAD REQUEST"
    headers: list[tuple[str, str]]
    body: bytes
