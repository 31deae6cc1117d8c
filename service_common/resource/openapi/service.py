"""The paths that every service has in its OpenAPI document: one function a path."""

from prometheus_client import CONTENT_TYPE_LATEST

from .parts import INTEGER, STRING, Schema, answer, operation, parameter

TAG = "service"
REFUSED = (401, 422, 429, 500)
STATUS: Schema = {"type": "object", "required": ["status"], "properties": {"status": STRING}}


def about() -> Schema:
    described: Schema = {
        "type": "object", "required": ["service", "version", "links"],
        "properties": {"service": STRING, "version": STRING, "links": {"type": "object"}},
    }  # fmt: skip
    return {
        "get": operation(
            "about", TAG, "Name the service, its version and its links", {200: answer(200, described)}, REFUSED
        )
    }


def problem() -> Schema:
    kind: Schema = {
        "type": "object", "required": ["type", "title", "status", "meaning", "action"],
        "properties": {"type": STRING, "title": STRING, "status": INTEGER, "meaning": STRING, "action": STRING},
    }  # fmt: skip
    slug = parameter("slug", STRING | {"examples": ["validation"]}, "The last part of a problem's `type`.", "path")
    summary = "Explain a kind of problem"
    return {"get": operation("explainProblem", TAG, summary, {200: answer(200, kind)}, (*REFUSED, 404), (slug,))}


def metrics() -> Schema:
    found = {200: answer(200, STRING, media_type=CONTENT_TYPE_LATEST)}
    return {"get": operation("metrics", TAG, "Read the metrics, for Prometheus", found, REFUSED)}


def livez() -> Schema:
    summary = "Check that the process and its writer are alive"
    return {"get": operation("livez", TAG, summary, {200: answer(200, STATUS)}, (422, 500)) | {"security": []}}


def readyz() -> Schema:
    summary = "Check that the service accepts writes"
    return {"get": operation("readyz", TAG, summary, {200: answer(200, STATUS)}, (422, 500, 503)) | {"security": []}}
