"""The only HTTP of the load generator: a request, with its line in the ledger before and after.

It uses geventhttpclient as Locust's FastHttpUser does, without FastHttpSession around it: that halves the
processor time of a request (from about 110 to 55 microseconds), which the services on the same machine need.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import gevent
from geventhttpclient.client import HTTPClient

from .arrivals import Arrivals
from .ledger import Answer, Op, classify, settles
from .run import Run
from .settings import SERVICES, Settings

REQUEST_TIMEOUT_S = 10.0  # for a whole request: twice the 5 s after which a service answers `outcome-unknown`
DEEPEST = 50  # levels of an answer: deeper ones could be read here, but perhaps not written or judged later
CONNECTIONS = 4096  # at most, to each service: more than shoppers, so that none waits for another's

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
        # It takes from here how often; that would be as often as there may be connections, which no service that is
        # starting, and no machine, has to bear. Of public options there is none.
        self._client._connection_pool.size = RETRIES - 1

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any], bytes]:
        """Send one request; its status, its headers (by any case), its body.

        Raises:
            TimeoutError: it took longer than REQUEST_TIMEOUT_S.
            Exception: there is no answer; which one is geventhttpclient's to say.
        """
        # The sockets' own time-outs are for each piece that arrives; this one is for all of it.
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


class Client:
    """Sends the operations of a run, and keeps its ledger and its counters."""

    def __init__(self, run: Run, settings: Settings, tell: Callable[..., None] | None = None) -> None:
        """`tell` fires Locust's request event, for its statistics; it hears of requests of the load only."""
        self.run = run
        self.http = {service: Http(settings.urls[service], settings.token) for service in SERVICES}
        self._tell = tell
        self.arrivals: Arrivals | None = None  # of an open load

    def send(self, op: Op, action: str | None = None, due: float | None = None) -> Answer:
        """Try an operation once, under the name `action` if that is another than its own.

        Its response time counts from `due` (of time.perf_counter()), where it had to be sent earlier than it was.

        Raises:
            OSError: the ledger cannot be written; nothing was sent.
        """
        action = action or op.action
        op.tries += 1
        number = op.tries
        headers = {"X-Request-ID": f"{self.run.mark}-{op.number}-{number}"}
        if op.payload:
            headers["Content-Type"] = "application/json"
        if op.key:
            headers["Idempotency-Key"] = op.key
        if op.if_match:
            headers["If-Match"] = op.if_match
        sent = self._write(op.sent(action))
        if op.method != "GET":
            if number == 1:
                self.run.tallies[op.service].attempted += op.size
            self.run.open[op.number] = op
        op.in_flight += 1
        content = b""
        answer = Answer("unknown", error="stopped by the generator")
        started = time.perf_counter()
        if due is None and self.arrivals:
            self.arrivals.extra()
        try:
            status, fields, content = self.http[op.service].request(op.method, op.path, op.payload, headers)
            answer = interpret(op, status, fields, content)
        except Exception as error:  # whatever went wrong, the request may have arrived
            answer = Answer("unknown", error=f"{type(error).__name__}: {error}"[:300])
        finally:  # also when this greenlet is killed
            milliseconds = (time.perf_counter() - started) * 1000
            op.in_flight -= 1
            answer = self._ended(op, action, number, sent, answer, milliseconds)
        late = max(0.0, started - due) * 1000 if due is not None else 0.0
        self._measure(op, action, answer, milliseconds + late, len(content))
        return answer

    def close(self) -> None:
        """Close all connections."""
        for http in self.http.values():
            http.close()

    def _write(self, line: dict[str, Any]) -> int:
        try:
            return self.run.ledger.write(line)
        except OSError as error:
            self.run.flaw(f"the ledger could not be written ({error})")
            raise

    def _ended(self, op: Op, action: str, number: int, sent: int, answer: Answer, milliseconds: float) -> Answer:
        """Write the line about the end of a try, and keep what it says of the operation."""
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
        line_number = self._write(line)
        op.last = answer
        if op.method == "GET":
            return answer
        if answer.outcome == "ok":
            op.answer = op.answer or replace(answer, line=line_number)
        elif answer.outcome == "unknown":
            op.doubt = line_number
        elif settles(answer.status):
            op.refusal = sent
        if op.fate == "unknown":
            self.run.open[op.number] = op
        else:
            self.run.open.pop(op.number, None)
            if not op.counted:
                self._count(op)
        return answer

    def _count(self, op: Op) -> None:
        op.counted = True
        tally = self.run.tallies[op.service]
        accepted = _accepted(op, op.answer) if op.answer else 0
        tally.acknowledged += accepted
        tally.refused += op.size - accepted

    def _measure(self, op: Op, action: str, answer: Answer, milliseconds: float, size: int) -> None:
        """Tell Locust's statistics. A refusal that had to come is a success."""
        if self._tell is None or self.run.phase != "load":
            return
        self._note(op, answer, milliseconds)
        failure = None
        if answer.outcome == "unknown":
            failure = answer.error or f"{answer.status} {answer.problem or 'without a problem'}"
        elif answer.outcome == "refused" and (answer.status >= 500 or op.expects not in ("any", answer.problem)):
            failure = f"{answer.status} {answer.problem or 'without a problem'}"
        elif answer.outcome == "ok" and isinstance(op.expects, str) and op.expects not in ("ok", "any"):
            failure = f"{answer.status} where {op.expects} had to come"
        self._tell(
            request_type=op.method,
            name=action,
            response_time=milliseconds,
            response_length=size,
            exception=failure and RuntimeError(failure),
            context={},
        )

    def _note(self, op: Op, answer: Answer, milliseconds: float) -> None:
        """Keep what ended when."""
        run = self.run
        at = run.load_seconds()
        run.requests[op.service] += 1
        fresh = op.method != "GET" and answer.outcome == "ok" and not answer.replayed
        run.timeline.add(at, milliseconds, answer.outcome, _accepted(op, answer) if fresh else 0)
        if op.method == "GET":
            return
        if answer.outcome == "unknown" or answer.problem in ("dependency-unavailable", "storage-unavailable"):
            why = answer.error or f"{answer.status} {answer.problem or 'without a problem'}"
            run.timeline.not_served(op.service, max(0.0, at - milliseconds / 1000), at, why)
        else:
            run.timeline.served(op.service, at)


def _accepted(op: Op, answer: Answer) -> int:
    """How many writes an answer acknowledges; of a batch its accepted items."""
    if not isinstance(op.expects, list):
        return 1
    return sum(result["status"] == 201 for result in answer.body["results"])


def interpret(op: Op, status: int, headers: Mapping[str, Any], content: bytes) -> Answer:
    """What an answer to `op` says: pure, so that garbage of every sort can be tried on it."""
    try:
        body = json.loads(content) if content else None
    except (ValueError, RecursionError):
        return Answer(classify(status, None, False), status, error=f"{status} with a body that is not JSON")
    if too_deep(body):
        return Answer(classify(status, None, False), status, error=f"{status} with a body that is nested too deeply")
    problem = None
    if status >= 400 and isinstance(body, dict) and isinstance(body.get("type"), str):
        problem = body["type"].rpartition("/")[2]
    sound = _sound(op, body)
    return Answer(
        classify(status, problem, sound),
        status,
        problem,
        body,
        headers.get("idempotency-replayed") == "true",
        _one(headers.get("etag")),
        _one(headers.get("location")),
        None if sound or status >= 400 else f"{status} with another body than promised",
    )


def too_deep(value: Any) -> bool:
    """Whether parsed JSON is nested in more than DEEPEST levels."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _sound(op: Op, body: Any) -> bool:
    """Whether a body is what the contract promises for a 2xx answer to `op`."""
    if not isinstance(body, dict):
        return False
    if isinstance(op.expects, list):
        results = body.get("results")
        return isinstance(results, list) and len(results) == len(op.expects) and all(map(_sound_result, results))
    if op.method == "GET" and not op.path.partition("?")[0].rpartition("/")[2].isdigit():
        return isinstance(body.get("items"), list)
    return _is_id(body.get("id"))


def _sound_result(result: Any) -> bool:
    if not isinstance(result, dict) or type(result.get("status")) is not int:
        return False
    if result["status"] == 201:
        return isinstance(result.get("item"), dict) and _is_id(result["item"].get("id"))
    return result["status"] >= 400 and isinstance(result.get("problem"), dict)


def _is_id(value: Any) -> bool:
    return type(value) is int and value > 0


def _one(value: Any) -> str | None:
    """A header's value; of one sent twice the last."""
    return str(value[-1] if isinstance(value, list) else value) if value else None
