"""Recording the tries of a load as they end, in our measurements and in Locust's statistics."""

from collections.abc import Callable
from typing import Any

from ..traffic.sender import Result
from .state import Run

NOT_SERVED = ("dependency-unavailable", "storage-unavailable")  # answers that belong to an outage


def record(run: Run, result: Result, fire: Callable[..., Any]) -> None:
    """Record a try that has ended, if the load still goes on; `fire` fires Locust's request event.

    An expected refusal is a success.
    """
    if run.phase != "load":
        return
    op, answer, at = result.op, result.answer, run.load_seconds()
    failure = op.failure(answer)
    measurements = run.measurements
    measurements.add(op.service, result.action, op.method, result.milliseconds, failure)
    fresh = op.method != "GET" and not answer.replayed
    measurements.timeline.add(at, result.milliseconds, answer.outcome, op.accepted(answer) if fresh else 0)
    if op.method != "GET":
        if answer.outcome == "unknown" or answer.problem in NOT_SERVED:
            sent = max(0.0, at - (result.milliseconds - result.late_ms) / 1000)
            measurements.timeline.not_served(op.service, sent, at, failure or "")
        else:
            measurements.timeline.served(op.service, at)
    if result.traceparent and run.slowest is not None:
        run.slowest.add(result)
    fire(
        request_type=op.method,
        name=result.action,
        response_time=result.milliseconds,
        response_length=result.size,
        exception=failure and RuntimeError(failure),
        context={},
    )
