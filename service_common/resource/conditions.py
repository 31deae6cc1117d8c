"""If-Match and If-None-Match (RFC 9110, section 13): which versions of an item a request accepts."""

from flask import Request

from ..storage.database import ANY_VERSION, Versions


def versions_of(request: Request) -> Versions:
    """Return the versions that the request's conditions accept.

    A tag that is not written as the RFC says matches no version: an unreadable condition must not let a write through.
    """
    match, none_match = request.environ.get("HTTP_IF_MATCH"), request.environ.get("HTTP_IF_NONE_MATCH")
    if match is None and none_match is None:
        return ANY_VERSION
    only = None if match is None or match.strip(" \t") == "*" else frozenset(_tags(match, weak=False))
    if none_match is None:
        return Versions(only)
    return Versions(only, None if none_match.strip(" \t") == "*" else frozenset(_tags(none_match, weak=True)))


def _tags(field: str, weak: bool) -> list[str]:
    """Return the versions named in a list of entity tags; weak ones (`W/"3"`) only where the comparison is weak."""
    versions = []
    for part in field.split(","):
        tag = part.strip(" \t")
        if weak:
            tag = tag.removeprefix("W/")
        if len(tag) > 1 and tag[0] == tag[-1] == '"':
            versions.append(tag[1:-1])
    return versions
