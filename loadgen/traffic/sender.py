"""The only HTTP of the load generator: a request, with its line in the ledger before and after.

It uses geventhttpclient as Locust's FastHttpUser does, without FastHttpSession around it. That halves the processor
time of a request (from about 110 to 55 microseconds), which the services on the same machine need.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import gevent
from geventhttpclient.client import HTTPClient

from ..settings import SERVICES, Settings
from .arrivals import Arrivals
from .operation import Answer, Op, interpret
from .workload import Workload

REQUEST_TIMEOUT_S = 10.0  # for a whole request: twice the 5 s after which a service answers `outcome-unknown`
CONNECTIONS = 4096  # at most, to each service: more than virtual users, so that none waits for another's
RETRIES = 2  # of a GET: a kept connection may have been closed while it was idle


class Http:
    """Connections to one service, kept alive and shared by all greenlets."""

    def __init__(self, url: str, token: str = "", connections: int = CONNECTIONS) -> None:
        """`url` is the service's base URL, `token` its bearer token, if it asks for one.

        A GET whose connection is closed without an answer is sent again, at once, RETRIES times.
        """
        headers = {"User-Agent": "threefold-loadgen", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._prefix = urlsplit(url).path
        self._client = HTTPClient.from_url(
            url,
            headers=headers,
            concurrency=connections,
            connection_timeout=REQUEST_TIMEOUT_S,
            network_timeout=REQUEST_TIMEOUT_S,
        )
        # geventhttpclient retries as often as the pool is large. There is no public option for it, and thousands of
        # retries would flood a service that is just starting.
        self._client._connection_pool.size = RETRIES - 1

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any], bytes]:
        """Send one request; return the status, the headers (case does not matter) and the body of the answer.

        Raises:
            TimeoutError: it took longer than REQUEST_TIMEOUT_S.
            Exception: there is no answer; geventhttpclient chooses the type.
        """
        # The timeouts of sockets are for each piece that arrives; this one is for the whole answer.
        with gevent.Timeout(REQUEST_TIMEOUT_S) as timeout:
            try:
                response = self._client.request(method, self._prefix + path, body, headers)
                content = bytes(response.read())
                return response.get_code(), response.info(), content
            except gevent.Timeout as expired:
                if expired is not timeout:
                    raise
                raise TimeoutError(f"no answer within {REQUEST_TIMEOUT_S:g} s") from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


@dataclass(frozen=True, slots=True)
class Result:
    """One try that has ended: the operation, the action that it is counted for, the answer, its time and its size."""

    op: Op
    action: str
    answer: Answer
    milliseconds: float
    size: int  # bytes of the answer's body
    traceparent: str = ""  # as it was sent
    began: int = 0  # nanoseconds since 1970; only where it was sent with a traceparent
    late_ms: float = 0.0  # the part of the time that passed before it was sent, in an open load


class Sender:
    """Sends the operations of a workload, and writes its ledger."""

    def __init__(
        self,
        workload: Workload,
        settings: Settings,
        ended: Callable[[Result], None] = lambda result: None,
        traceparent: Callable[[], str] | None = None,
    ) -> None:
        """`ended` is called after each try. `traceparent` returns a header that begins a trace, if there are any."""
        self.workload = workload
        self.http = {service: Http(settings.urls[service], settings.token) for service in SERVICES}
        self.arrivals: Arrivals | None = None  # of an open load
        self._ended = ended
        self._traceparent = traceparent

    def send(self, op: Op, action: str | None = None, scheduled: float | None = None) -> Answer:
        """Try an operation once, under the name `action` if that is another than its own.

        Its response time counts from `scheduled` (of time.perf_counter()), where it is sent later than that.

        Raises:
            OSError: the ledger cannot be written; nothing was sent.
        """
        action = action or op.action
        op.tries += 1
        number = op.tries
        headers = {"X-Request-ID": f"{self.workload.mark}-{op.number}-{number}"}
        if op.payload:
            headers["Content-Type"] = "application/json"
        if op.key:
            headers["Idempotency-Key"] = op.key
        if op.if_match:
            headers["If-Match"] = op.if_match
        parent = ""
        if self._traceparent is not None:
            headers["traceparent"] = parent = self._traceparent()
        sent = self._write(op.sent(action))
        op.in_flight += 1
        if op.method != "GET":
            if number == 1:
                self.workload.attempted(op)
            self.workload.update(op)
        content = b""
        answer = Answer("unknown", error="stopped by the load generator")
        began = time.time_ns() if parent else 0
        started = time.perf_counter()
        if scheduled is None and self.arrivals:
            self.arrivals.extra()
        try:
            status, fields, content = self.http[op.service].request(op.method, op.path, op.payload, headers)
            answer = interpret(op, status, fields, content)
        except Exception as error:  # whatever went wrong, the request may have arrived
            answer = Answer("unknown", error=f"{type(error).__name__}: {error}"[:300])
        finally:  # also when this greenlet is killed
            milliseconds = (time.perf_counter() - started) * 1000
            op.in_flight -= 1
            self._note(op, action, number, sent, answer, milliseconds)
        late = max(0.0, started - scheduled) * 1000 if scheduled is not None else 0.0
        self._ended(Result(op, action, answer, milliseconds + late, len(content), parent, began, late))
        return answer

    def close(self) -> None:
        """Close all connections."""
        for http in self.http.values():
            http.close()

    def _write(self, line: dict[str, Any]) -> int:
        try:
            return self.workload.ledger.write(line)
        except OSError as error:
            self.workload.flaw(f"the ledger could not be written ({error})")
            raise

    def _note(self, op: Op, action: str, number: int, sent: int, answer: Answer, milliseconds: float) -> None:
        """Write the line about the end of a try, and keep its meaning for the operation."""
        line: dict[str, Any] = {
            "event": answer.outcome,
            "op": op.number,
            "try": number,
            "action": action,
            "ms": round(milliseconds, 2),
        }
        if answer.error:
            line["error"] = answer.error
        if answer.status:
            line |= {
                "status": answer.status,
                "problem": answer.problem,
                "replayed": answer.replayed,
                "etag": answer.etag,
                "location": answer.location,
                "answer": answer.body if op.method != "GET" or op.reads else None,
            }
        op.ended(answer, sent, self._write(line))
        if op.method != "GET":
            self.workload.update(op)
