"""A load's requests, from the lines of its ledger as they come. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(slots=True)
class Try:
    """One request and what came of it; `ms` is None while it is in flight."""

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
    written: int = 0  # writes that it acknowledges, and none before it
    created_at: str = ""  # of what it made

    def behind(self) -> float:
        """How many seconds ago, by this machine's clock, the service says that it was made; 0 where it does not."""
        if not self.created_at:
            return 0.0
        return (datetime.now(UTC) - datetime.fromisoformat(self.created_at)).total_seconds()


Place = tuple[int, int]


class History:
    """All requests so far, in the order in which they were sent and in that in which they ended."""

    def __init__(self) -> None:
        self.sent: list[Try] = []
        self.ended: list[Try] = []
        self.acknowledged = 0  # writes
        self._open: dict[tuple[int, int], Try] = {}
        self._unanswered: set[int] = set()  # operations

    def add(self, line: dict[str, Any]) -> None:
        """Take in one line of the ledger."""
        key = (line.get("op", 0), line.get("try", 0))
        if line["event"] == "sent":
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
                tried.created_at = str(made[0].get("created_at", "")) if made and tried.method == "POST" else ""
                self.acknowledged += tried.written
            self.ended.append(tried)

    def place(self) -> Place:
        """Now: how many were sent, and how many ended."""
        return len(self.sent), len(self.ended)

    def ended_since(self, place: Place) -> list[Try]:
        """Those that ended since then, whenever they were sent."""
        return self.ended[place[1] :]

    def in_flight(self) -> list[Try]:
        """Those that have not ended."""
        return list(self._open.values())


def _made(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """What an answer to a write acknowledges: the accepted items of a batch, or the one."""
    if isinstance(results := answer.get("results"), list):
        return [result["item"] for result in results if result.get("item")]
    return [answer]
