"""The requests of a load, from the lines of its ledger as they arrive. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(slots=True)
class Try:
    """One request and its outcome; `ms` is None while it is in flight."""

    op: int
    service: str
    method: str
    path: str
    outcome: str = ""
    status: int = 0  # 0: no answer
    problem: str | None = None
    error: str = ""
    ms: float | None = None
    replayed: bool = False
    retried: bool = False  # an earlier try of the same write got no answer
    written: int = 0  # writes that it acknowledges first
    created_at: str = ""  # of the item that it created

    def behind(self) -> float:
        """Return the seconds since `created_at` by this machine's clock; 0 without it."""
        if not self.created_at:
            return 0.0
        return (datetime.now(UTC) - datetime.fromisoformat(self.created_at)).total_seconds()


Place = tuple[int, int]


class History:
    """All requests so far, in the order of their sending and in the order of their end."""

    def __init__(self) -> None:
        self.sent: list[Try] = []
        self.ended: list[Try] = []
        self.acknowledged = 0  # writes
        self.settling = False  # the load has ended, and what got no answer is sent again
        self._open: dict[tuple[int, int], Try] = {}
        self._unanswered: set[int] = set()  # operations

    def add(self, line: dict[str, Any]) -> None:
        """Add a line of the ledger: `{"event": "sent", "op": 1, "try": 1, "service": "users", …}`."""
        key = (line.get("op", 0), line.get("try", 0))
        if line["event"] == "sent":
            self.settling = self.settling or line.get("action") == "settle"
            tried = self._open[key] = Try(line["op"], line["service"], line["method"], line["path"])
            self.sent.append(tried)
        elif line["event"] in ("ok", "refused", "unknown"):
            tried = self._open.pop(key)
            tried.outcome, tried.ms = line["event"], float(line["ms"])
            tried.status, tried.problem = line.get("status") or 0, line.get("problem")
            tried.retried = tried.op in self._unanswered
            if tried.outcome == "unknown":
                self._unanswered.add(tried.op)
            tried.error, tried.replayed = line.get("error") or "", bool(line.get("replayed"))
            if tried.outcome == "ok" and tried.method != "GET" and not tried.replayed:
                made = _made(line.get("answer") or {})
                tried.written = len(made)
                creates = tried.method == "POST" and not tried.path.endswith("/stock")
                tried.created_at = str(made[0].get("created_at", "")) if made and creates else ""
                self.acknowledged += tried.written
            self.ended.append(tried)

    def place(self) -> Place:
        """Return the present: how many requests were sent, and how many ended."""
        return len(self.sent), len(self.ended)

    def ended_since(self, place: Place) -> list[Try]:
        """Return the requests that ended since then, whenever they were sent."""
        return self.ended[place[1] :]

    def in_flight(self) -> list[Try]:
        """Return the requests that have not ended."""
        return list(self._open.values())


def _made(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the items that an answer to a write acknowledges: the accepted ones of a batch, or the only one."""
    if isinstance(results := answer.get("results"), list):
        return [result["item"] for result in results if result.get("item")]
    return [answer]
