"""The sizes in which the protocol is checked, and its wrong variants: each breaks one rule and must fail for it."""

from .protocol import Plan, StockProtocol
from .search import Case
from .state import (
    DENIED,
    LIST,
    LIVE_SET,
    LOST,
    NOT_ORDERED,
    ORDERS,
    OVERSOLD,
    ROWS,
    STANDBY,
    STUCK,
    WITHOUT_UNIT,
    Rules,
)

ONE: Plan = (1,)
TWO_UNITS: Plan = (2,)
BATCH: Plan = (1, 1)


def size(name: str, *plans: Plan, owners: int = 2, supply: int = 2, changes: tuple[int, ...] = ()) -> Case:
    return Case(f"the protocol: {name}", StockProtocol(Rules(), plans, owners, supply, changes))


SIZES = (
    size("three orders, two owners, one unit", ONE, ONE, ONE, supply=1),
    size("three orders, two owners, two units", ONE, ONE, ONE),
    size("orders of one and of two units, two owners, two units", ONE, TWO_UNITS),
    size("a batch of two items, two owners, two units", BATCH),
    size("two orders, one owner, stock added and taken away", ONE, ONE, owners=1, supply=1, changes=(1, -1)),
)

BIG_SIZES = (
    size("two orders, three owners, two units", ONE, ONE, owners=3),
    size("a batch and an order, two owners, two units", BATCH, ONE),
    size("two orders, two owners, stock added and taken away", ONE, ONE, supply=1, changes=(1, -1)),
    size("orders of one, one and two units, two owners, three units", ONE, ONE, TWO_UNITS, supply=3),
    size("three orders, three owners, two units", ONE, ONE, ONE, owners=3),
    size("four orders, two owners, two units", ONE, ONE, ONE, ONE),
)


def wrong(
    name: str, violation: str, why: str, rules: Rules, *plans: Plan, supply: int = 1, only: str | None = None
) -> Case:
    return Case(name, StockProtocol(rules, plans or (ONE,), owners=2, supply=supply, only=only), violation, why)


VARIANTS = (
    wrong(
        "reservations expire by time",
        WITHOUT_UNIT,
        "A reservation is dead when its order can no longer be written, and no clock knows when that is.",
        Rules(expiry_by_time=True),
    ),
    wrong(
        "reservations expire by time: until a unit is sold twice",
        OVERSOLD,
        "An order that has lost its unit is no matter of book-keeping: the next order takes the unit.",
        Rules(expiry_by_time=True),
        ONE,
        ONE,
        only=OVERSOLD,
    ),
    wrong(
        "sold tokens are deleted",
        LOST,
        "A reserve that arrives after its confirm must find that its token was sold; otherwise it takes a second unit.",
        Rules(sales_are_kept=False),
        supply=2,
    ),
    wrong(
        "all attempts of a key share a token",
        WITHOUT_UNIT,
        "The release of an attempt that was given up must not reach the reservation of the next one.",
        Rules(token_for_each_attempt=False),
    ),
    wrong(
        "a batch confirms items that it did not order",
        NOT_ORDERED,
        "A token is confirmed where it is in an order row, and not because its batch was committed.",
        Rules(only_ordered_tokens_are_confirmed=False),
        BATCH,
        supply=2,
    ),
    # Read order of a sweep
    wrong(
        "own sweep: does not ask what is live",
        WITHOUT_UNIT,
        "A token that is in no order may still get one while its attempt lives (also: two processes with one owner).",
        Rules(own_sweep=(LIST, ORDERS)),
    ),
    wrong(
        "own sweep: reads the orders before what is live",
        WITHOUT_UNIT,
        "An attempt that commits between the two reads looks dead and without an order.",
        Rules(own_sweep=(LIST, ORDERS, LIVE_SET)),
    ),
    wrong(
        "own sweep: reads what is live before the list",
        WITHOUT_UNIT,
        "An attempt that starts between the two reads is listed, and is missing in the older set of what is live.",
        Rules(own_sweep=(LIVE_SET, LIST, ORDERS)),
    ),
    wrong(
        "no own sweep",
        STUCK,
        "A reserve that arrives after its release opens the reservation again, and only a later sweep can find it.",
        Rules(own_sweep=()),
    ),
    wrong(
        "far sweep: does not ask for the owner's row",
        WITHOUT_UNIT,
        "While the owner's row is there, its process may still commit the order.",
        Rules(far_sweep=(LIST, ORDERS)),
    ),
    wrong(
        "far sweep: reads the orders before the owners",
        WITHOUT_UNIT,
        "An order that is committed between the two reads, just before its owner is removed, is overlooked.",
        Rules(far_sweep=(LIST, ORDERS, ROWS)),
    ),
    wrong(
        "far sweep: reads the owners before the list",
        WITHOUT_UNIT,
        "An owner that registers between the two reads is taken for one that was removed.",
        Rules(far_sweep=(ROWS, LIST, ORDERS)),
    ),
    wrong(
        "far sweep: once, when the owner is removed",
        STUCK,
        "A reserve of a dead process may arrive after any sweep, so sweeps never end.",
        Rules(far_sweep_repeats=False),
    ),
    wrong(
        "no far sweep",
        STUCK,
        "Nobody but another process can release what a killed process reserved.",
        Rules(far_sweep=()),
    ),
    # Where to read
    wrong(
        "own sweep: reads the orders on a standby",
        WITHOUT_UNIT,
        "A standby may not have the order yet, although its commit was answered.",
        Rules(own_sweep=(LIST, LIVE_SET, STANDBY)),
    ),
    wrong(
        "far sweep: reads the orders on a standby",
        WITHOUT_UNIT,
        "A standby may not have the order yet, although its owner was removed after it.",
        Rules(far_sweep=(LIST, ROWS, STANDBY)),
    ),
    # The assertion of the owner's row
    wrong(
        "no assertion of the owner's row",
        WITHOUT_UNIT,
        "A process that was removed while it lives still commits, after others have released its units.",
        Rules(assertion="none"),
        only=WITHOUT_UNIT,
    ),
    wrong(
        "the owner's row is asserted by a plain read",
        WITHOUT_UNIT,
        "The row may be removed between the read and COMMIT; both must take the turn.",
        Rules(assertion="plain read"),
        only=WITHOUT_UNIT,
    ),
    wrong(
        "COMMIT is sent together with the assertion",
        WITHOUT_UNIT,
        "The message may lie in the network while the attempt is judged, and commit afterwards.",
        Rules(commit_waits_for_assertion=False),
        only=WITHOUT_UNIT,
    ),
    wrong(
        "a process reserves before its row is committed",
        WITHOUT_UNIT,
        "A token whose owner has no row yet looks like one whose owner was removed.",
        Rules(registers_before_reserving=False),
    ),
    # Unknown outcomes and removed processes
    wrong(
        "an unknown COMMIT is judged by a plain read",
        DENIED,
        "The COMMIT may land after the read; only who has taken the turn knows that it was decided.",
        Rules(unknown_judged="plain read"),
    ),
    wrong(
        "an unknown COMMIT is no longer live",
        WITHOUT_UNIT,
        "An attempt ends when its COMMIT is decided, and not when its client has stopped waiting.",
        Rules(unknown_judged="never"),
    ),
    wrong(
        "a removed process says 'nothing was written' to all",
        DENIED,
        "A COMMIT that was sent before the removal may have landed; the orders say so, and are final by then.",
        Rules(removed_process_reads_orders=False),
    ),
)
