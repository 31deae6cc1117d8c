"""The protocol of limited stock as a state machine: one limited product, and several orders processes that sell it.

An *owner* is one run of one orders process: its row in the orders database, and the process. A process that restarts, or
that was removed and registers again, is another owner. Rows are removed at any moment, also while their process lives.
An *attempt* is one try of one request, a single order or a batch. Each of its *items* has a token of its own; all its items
are committed in one transaction. A message stays for ever once it was sent: it arrives never, late or repeatedly, also
after its sender died. So `reserve` may arrive from the start of its attempt on, `confirm` as soon as the order is committed,
and `release` once somebody has decided to send it.

A state shows all places at once. Here one unit is open at products, its COMMIT is on its way, and the sweep of another
process has listed the token:

    State(stock=0, supply=1, changes=(), plans=(), owners=(
        Owner(row="present", process="runs", attempts=(
            Attempt(phase="COMMIT sent", transaction="in the turn", items=(
                Item(quantity=1, units="open", promised=True, released=False, own=Sweep(0), far=Sweep(1)),)),)),
        Owner(row="none", process="off", attempts=())))

More may happen here than in the services: a group of writes may commit in parts, a sweep reads its three sources at three
moments and looks at each token by itself, several transactions may have the turn, owners are suspected without a reason.
What holds here holds where less can happen.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

# Item.units: a token at products. FORGOTTEN only where a variant deletes what was sold.
ABSENT, OPEN, SOLD, FORGOTTEN = "absent", "open", "sold", "forgotten"
# Attempt.transaction, at the orders database: SENT only where a variant sends COMMIT before the assertion was answered.
NONE, SENT, IN_TURN, COMMITTED, ABORTED = "none", "sent", "in the turn", "committed", "aborted"
# Attempt.phase, in the orders process. REFUSED and CREATED are what the client was told; DEAD: nobody is there to tell.
WAITS, RESERVED, PENDING, UNKNOWN = "waits for products", "reserved", "COMMIT sent", "outcome unknown"
REFUSED, CREATED, DEAD = "nothing was written", "created", "dead"
LIVE = (WAITS, RESERVED, PENDING, UNKNOWN)
# Owner.row (there is none before it was registered) and Owner.process.
UNREGISTERED, PRESENT, REMOVED = "none", "present", "removed"
OFF, RUNS, GONE = "off", "runs", "gone"
# What a sweep reads: open reservations at products; the live attempts of its own process; owners' rows; orders.
LIST, LIVE_SET, ROWS, ORDERS, STANDBY = (
    "the list",
    "what is live",
    "the owners",
    "the orders",
    "the orders on a standby",
)

OVERSOLD = "oversold"
WITHOUT_UNIT = "an order without its unit"
DENIED = "a client was told 'nothing was written', yet there is an order"
LOST = "stock, reserved and sold units do not add up"
NOT_ORDERED = "a unit is sold, yet in no order"
STUCK = "a unit is reserved for ever"


class Sweep(NamedTuple):
    """A sweep on its way: how many of its sources it has read, and whether it saw the order."""

    reads: int = 0
    saw_order: bool = False


IDLE = Sweep()
NEVER = Sweep(-1)  # a sweep that is not made again, in a variant only


class Item(NamedTuple):
    """One token. `promised`: products said "reserved"; from phase RESERVED on: the order is in the transaction."""

    quantity: int
    units: str = ABSENT
    promised: bool = False
    released: bool = False
    own: Sweep = IDLE
    far: Sweep = IDLE


class Attempt(NamedTuple):
    phase: str
    transaction: str
    items: tuple[Item, ...]


class Owner(NamedTuple):
    row: str
    process: str
    attempts: tuple[Attempt, ...]


class State(NamedTuple):
    """`plans`: quantities of attempts that have not started; `changes`: of `POST …/stock` that have not arrived."""

    stock: int
    supply: int
    changes: tuple[int, ...]
    plans: tuple[tuple[int, ...], ...]
    owners: tuple[Owner, ...]


@dataclass(frozen=True)
class Rules:
    """The protocol; each field names a rule, and a variant changes one."""

    own_sweep: tuple[str, ...] = (LIST, LIVE_SET, ORDERS)
    far_sweep: tuple[str, ...] = (LIST, ROWS, ORDERS)
    far_sweep_repeats: bool = True
    assertion: Literal["in the turn", "plain read", "none"] = "in the turn"
    commit_waits_for_assertion: bool = True
    unknown_judged: Literal["in a later turn", "plain read", "never"] = "in a later turn"
    registers_before_reserving: bool = True
    removed_process_reads_orders: bool = True
    token_for_each_attempt: bool = True
    sales_are_kept: bool = True
    only_ordered_tokens_are_confirmed: bool = True
    expiry_by_time: bool = False


def is_ordered(attempt: Attempt, item: Item) -> bool:
    return attempt.transaction == COMMITTED and item.promised


def is_live(attempt: Attempt, item: Item) -> bool:
    """Return whether the process counts the token as one that may still get its order."""
    return attempt.phase == WAITS or (attempt.phase in LIVE and item.promised)
