"""Kinds of problems (RFC 9457) that every service can answer with. A service declares its own in its `Resource`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind of problem. `GET /problems/<slug>` shows `meaning` and `action`."""

    slug: str  # the last part of the problem's `type`
    status: int  # the HTTP status
    title: str
    meaning: str  # what happened, and whether anything was written
    action: str  # what the client should do
    retry_after: int | None = None  # seconds, sent as Retry-After


MALFORMED_JSON = ProblemKind(
    "malformed-json", 400, "The body is not I-JSON",
    "The body is not valid I-JSON (RFC 7493), for example because a member name is repeated. Nothing was written.",
    "Correct the JSON. The detail says what is wrong and where.",
)  # fmt: skip
MALFORMED_BODY = ProblemKind(
    "malformed-body", 400, "The request is not framed correctly",
    "The request breaks the rules of HTTP, or its body ended early. Nothing was written.",
    "Check Content-Length, Transfer-Encoding and the header fields, then send the request again.",
)  # fmt: skip
IDEMPOTENCY_KEY_INVALID = ProblemKind(
    "idempotency-key-invalid", 400, "The Idempotency-Key cannot be used",
    "The key is empty, too long, not visible ASCII, or was sent twice. Nothing was written.",
    "Send one key of 1 to 255 visible ASCII characters, for example a UUID.",
)  # fmt: skip
UNAUTHORIZED = ProblemKind(
    "unauthorized", 401, "A bearer token is needed",
    "This service asks for a token, and the request has none or a wrong one. Nothing was written.",
    "Send `Authorization: Bearer <token>` with a token from API_TOKEN or API_TOKEN_FILE.",
)  # fmt: skip
NOT_FOUND = ProblemKind(
    "not-found", 404, "There is no such resource",
    "Nothing exists at this address. The item may have been deleted.",
    "Check the path and the id. `GET /` lists the links of the service.",
)  # fmt: skip
METHOD_NOT_ALLOWED = ProblemKind(
    "method-not-allowed", 405, "The method is not allowed here",
    "The address exists, but not with this method.",
    "Use one of the methods in the Allow header.",
)  # fmt: skip
OUT_OF_STOCK = ProblemKind(
    "out-of-stock", 409, "Too few units are left",
    "Units are limited, and fewer are left than were asked for. Nothing was written.",
    "`errors` says how many are left. Ask for fewer, or wait until stock is added.",
)  # fmt: skip
PRECONDITION_FAILED = ProblemKind(
    "precondition-failed", 412, "The resource has another version",
    "If-Match names a version that is not the current one. Nothing was changed.",
    "Read the item again, decide again, and send the change with the new ETag.",
)  # fmt: skip
BODY_TOO_LARGE = ProblemKind(
    "body-too-large", 413, "The body is too large",
    "The body is longer than MAX_BODY_BYTES (1 MiB by default). Nothing was written.",
    "Send less, for example a large batch in several parts.",
)  # fmt: skip
UNSUPPORTED_MEDIA_TYPE = ProblemKind(
    "unsupported-media-type", 415, "The body must be application/json",
    "The body is not declared as JSON in UTF-8, or it is compressed. Nothing was written.",
    "Send `Content-Type: application/json` and an uncompressed body.",
)  # fmt: skip
RANGE_NOT_SATISFIABLE = ProblemKind(
    "requested-range-not-satisfiable", 416, "The range is not there",
    "The Range header names bytes that the file does not have.",
    "Leave the Range header out.",
)  # fmt: skip
URI_TOO_LONG = ProblemKind(
    "uri-too-long", 414, "URI Too Long",
    "The request line is longer than 8190 bytes. Nothing was written.",
    "Send less in the query, for example fewer ids.",
)  # fmt: skip
EXPECTATION_FAILED = ProblemKind(
    "expectation-failed", 417, "Expectation Failed",
    "The Expect header asks for something that this service does not do. Nothing was written.",
    "Leave the Expect header out, or send `100-continue`.",
)  # fmt: skip
HEADER_FIELDS_TOO_LARGE = ProblemKind(
    "request-header-fields-too-large", 431, "Request Header Fields Too Large",
    "The request has too many header fields, or they are too long. Nothing was written.",
    "Send fewer or shorter header fields.",
)  # fmt: skip
VALIDATION = ProblemKind(
    "validation", 422, "The request is well-formed but wrong",
    "A field or a query parameter is wrong, missing or unknown. Nothing was written.",
    "`errors` names each one and says what is accepted. Correct them and send the request again.",
)  # fmt: skip
IDEMPOTENCY_KEY_REUSED = ProblemKind(
    "idempotency-key-reused", 422, "The Idempotency-Key was used for another request",
    "This key was sent before with another path or another JSON value. Nothing was written.",
    "Use a new key for a new request, and the same key only to repeat a request.",
)  # fmt: skip
RATE_LIMITED = ProblemKind(
    "rate-limited", 429, "Too many requests from one address",
    "RATE_LIMIT is set, and this address sent more requests than it allows. Nothing was written.",
    "Wait for the seconds in Retry-After, then send the request again.",
)  # fmt: skip
OVERLOADED = ProblemKind(
    "overloaded", 503, "Too much is waiting; nothing was written",
    "The service has more work waiting than it accepts. Nothing was written.",
    "Send the request again after the seconds in Retry-After.",
    retry_after=1,
)  # fmt: skip
DEPENDENCY_UNAVAILABLE = ProblemKind(
    "dependency-unavailable", 503, "Another service could not be asked; nothing was written",
    "A service that this one asks did not answer in time. Nothing was written.",
    "Send the request again after the seconds in Retry-After, with the same Idempotency-Key.",
    retry_after=1,
)  # fmt: skip
STORAGE_UNAVAILABLE = ProblemKind(
    "storage-unavailable", 503, "The database could not be written; nothing was written",
    "The database refused the write, for example because the disk is full. It was rolled back.",
    "Send the request again after the seconds in Retry-After, with the same Idempotency-Key.",
    retry_after=2,
)  # fmt: skip
OUTCOME_UNKNOWN = ProblemKind(
    "outcome-unknown", 503, "The write may or may not have been made",
    "The write was queued, and it was not confirmed in time. It may be written or not.",
    "Send the request again with the same Idempotency-Key: it is written at most once.",
)  # fmt: skip
INTERNAL = ProblemKind(
    "internal", 500, "The service failed",
    "The service has a defect. The log has the cause under this request_id.",
    "Report it with the request_id. A keyed request can be sent again safely.",
)  # fmt: skip

COMMON = (
    MALFORMED_JSON, MALFORMED_BODY, IDEMPOTENCY_KEY_INVALID, UNAUTHORIZED, NOT_FOUND, METHOD_NOT_ALLOWED,
    PRECONDITION_FAILED, BODY_TOO_LARGE, URI_TOO_LONG, UNSUPPORTED_MEDIA_TYPE, RANGE_NOT_SATISFIABLE,
    EXPECTATION_FAILED, VALIDATION, IDEMPOTENCY_KEY_REUSED, RATE_LIMITED, HEADER_FIELDS_TOO_LARGE, INTERNAL,
    OVERLOADED, DEPENDENCY_UNAVAILABLE, STORAGE_UNAVAILABLE, OUTCOME_UNKNOWN,
)  # fmt: skip
