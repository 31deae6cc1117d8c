"""The lessons, in their order."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .events import Deleter, Event, Follower, Witness

Report = dict[str, Any]

# Orders alone, so that nothing else waits where users or orders hang.
ORDERS_ONLY = """
[actions]
create_order = 1
[hot]
users = 10
user_share = 1.0
limited_share = 0.0
"""

# Many things of which there are few: at any moment some of them are about to be sold out.
LAST_UNITS = f"""
[actions]
create_order = 60
create_user = 10
race_same_key = 10
[hot]
users = 0
products = 0
limited_share = 1.0
[sample]
products = [["Programme", "5.00"], {", ".join(f'["Seat {number}", "60.00", 20]' for number in range(1, 41))}]
"""


@dataclass(frozen=True)
class Lesson:
    """A question, the fault that answers it, and the load that shows the fault."""

    name: str  # of the fault, of the page and on the command line
    question: str
    service: str  # that has the fault
    line: str  # of the report, in which the fault is found
    look: str  # what the line means
    writes: int = 1500
    users: int = 24
    rate: float | None = None  # makes the load open
    scenario: str = "steady"  # a name, or the text of one
    events: tuple[Event, ...] = ()
    on_disk: bool = False  # a kill is a power cut: the disk forgets what is not synced
    postgres: Literal["", "replicas", "standby"] = ""  # on PostgreSQL: two replicas, each with a load; or a standby
    witness: type[Witness] | None = None  # who counts `line`, where the load generator does not
    shows: Callable[[Report], float] | None = None  # the figure of `line`, where it is no invariant
    worse: Callable[[float], bool] = bool  # whether that figure is the fault's

    def figure(self, report: Report) -> float:
        """Return the figure of the lesson's line; of an invariant the number of violations."""
        if self.witness is not None:
            return float(report["witness"])
        if self.shows is not None:
            return self.shows(report)
        return next(each["count"] or 0 for each in report["invariants"] if each["name"] == self.line)

    def is_caught(self, report: Report) -> bool:
        """Return True if the report shows the fault."""
        return self.worse(self.figure(report))


def latency(action: str, which: str) -> Callable[[Report], float]:
    """Return what finds the response time of an action in ms, such as its p99."""
    return lambda report: max(each[which] for each in report["latencies_ms"] if each["action"] == action)


LESSONS = (
    Lesson(
        "retry-without-a-key",
        "A client gets no answer and sends its order again. How many orders are there?",
        "orders",
        "duplicated",
        "Each violation is one write that made two rows: the row, and the row of its retry.",
    ),
    Lesson(
        "key-in-memory",
        "The service remembers which keys it has seen, in a dictionary. Is that enough?",
        "orders",
        "duplicated",
        "All keys from before the kill were forgotten. An order that was sent again was written a second time.",
        writes=4000,
        events=(Event(1000, "kill", "orders"),),
    ),
    Lesson(
        "answer-before-commit",
        "The database is slow. May the service answer first, and commit a moment later?",
        "orders",
        "acknowledged but missing",
        "Each violation is an order that its client holds a 201 for, and that no longer exists.",
        writes=2500,
        events=(Event(600, "kill", "orders"), Event(1200, "kill", "orders")),
    ),
    Lesson(
        "no-sync",
        "COMMIT has returned. Is the write on the disk?",
        "orders",
        "acknowledged but missing",
        "The orders of the last moment before the power went were committed, acknowledged, and not on the disk.",
        writes=4000,
        events=(Event(1500, "kill", "orders"),),
        on_disk=True,
    ),
    Lesson(
        "check-then-insert",
        "The service looks whether an e-mail address is free, then inserts. Can two users have one address?",
        "users",
        "equal e-mails",
        "Two requests looked at the same moment. Both found the address free, and both inserted it.",
    ),
    Lesson(
        "read-change-write",
        "Two people change one price at once, both from the same version. What becomes of the first change?",
        "products",
        "update lost",
        "Two changes of one version were both accepted: one of them is gone, and its client was told 200.",
        scenario="contention",
    ),
    Lesson(
        "cached-look-up",
        "Users seldom change, so orders keeps them for a while. What can go wrong?",
        "orders",
        "orders for users who were deleted before",
        "The user had been deleted before the order was sent. Orders still had a copy.",
        witness=Deleter,
    ),
    Lesson(
        "float-prices",
        "A total is a price times a quantity. Why not with floating point?",
        "orders",
        "wrong total",
        "Each violation is an order whose total is a cent less than its price times its quantity.",
    ),
    Lesson(
        "lagging-replica",
        "Reads go to a copy that lags 0.2 s behind. Who notices?",
        "users",
        "own write not read back",
        "A client wrote, was told 201, read at once what the answer pointed to, and found nothing.",
    ),
    Lesson(
        "no-deadline",
        "One service hangs. How long does the other one wait?",
        "orders",
        "longest create_order, ms",
        "Users hung for 8 s. An order waited just as long, although its client could have been told after 2 s.",
        writes=6000,
        scenario=ORDERS_ONLY,
        events=(Event(300, "pause", "users", 8),),
        shows=latency("create_order", "max"),
        worse=lambda milliseconds: milliseconds > 6500,
    ),
    Lesson(
        "times-from-sending",
        "The service hung for two seconds of eight. Does the report show it?",
        "loadgen",
        "p99 of create_order, ms",
        "A quarter of the run was an outage. The 99th percentile shows nothing of it.",
        writes=800,
        users=4,
        rate=100,
        scenario=ORDERS_ONLY,
        events=(Event(200, "pause", "orders", 2),),
        shows=latency("create_order", "p99"),
        worse=lambda milliseconds: milliseconds < 500,
    ),
    Lesson(
        "ids-by-sequence",
        "A reader asks for all rows after the last id that it has seen. Does it see every row?",
        "users",
        "rows never seen",
        "A row with a smaller id was committed after a row with a larger one. The reader had gone past it.",
        writes=3000,
        users=64,
        postgres="replicas",
        witness=Follower,
    ),
    Lesson(
        "warnings-ignored",
        "COMMIT was answered, with a warning. Is the write safe if the server is lost?",
        "orders",
        "acknowledged but missing",
        "Their COMMIT had waited for the standby, and the wait was cancelled: they were on the lost server alone.",
        writes=6000,
        scenario=ORDERS_ONLY,
        events=(Event(800, "fail over", "orders"),),
        postgres="standby",
    ),
    Lesson(
        "stock-only-checked",
        "Orders checks that enough units are left, then writes the order. Can it sell more than there are?",
        "products",
        "oversold",
        "Each violation is a product of which more units were ordered than supplied.",
        writes=800,
        scenario="flash-sale",
    ),
    Lesson(
        "reservation-expires",
        "Units are reserved for a second, then they come back. What if the order needs longer?",
        "products",
        "oversold",
        "Orders paused between its reservation and its commit. The units had gone to somebody else by then.",
        writes=4000,
        users=64,
        scenario=LAST_UNITS,
        events=tuple(Event(after, "pause", "orders", 2) for after in (120, 200, 280)),
    ),
)


def find(wanted: str) -> Lesson | None:
    """Return a lesson by its number, from 1, or its name; None: there is none."""
    if wanted.isdecimal() and 0 < int(wanted) <= len(LESSONS):
        return LESSONS[int(wanted) - 1]
    return next((lesson for lesson in LESSONS if lesson.name == wanted), None)
