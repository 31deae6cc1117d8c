"""A model of the three services and of their clients: histories without a violation."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from ..loadgen.histories import MARK, History, Json, order, product, user

FIRST = 1000  # ids of rows and numbers of operations begin here: below are those of histories made by hand
# The end of one try: it is answered; its answer is lost; it is lost itself; it is answered before it is looked at.
EARLY: dict[str, tuple[str, int, str | None]] = {
    "overloaded": ("refused", 503, "overloaded"),
    "rate-limited": ("refused", 429, "rate-limited"),
    "unauthorized": ("refused", 401, "unauthorized"),
    "malformed": ("refused", 400, "malformed-body"),
    "turned away by a proxy": ("refused", 403, None),
    "answered by a proxy": ("unknown", 404, None),
}
TRY = st.sampled_from(["answered", "answer lost", "lost", *EARLY])
KINDS = st.sampled_from(["user", "product", "order", "same e-mail", "invalid", "unknown", "batch", "patch", "read"])
# An operation: its kind, which of the earlier things it concerns, its tries, and whether a last one settles it.
OPERATION = st.tuples(
    KINDS, st.integers(0, 50), st.lists(TRY, min_size=1, max_size=4), st.sampled_from([True, True, True, False])
)
Outcome = tuple[bool, int, Any, Json]  # true if it wrote; the status; the body or the kind of problem; the rest


class Shop:
    """Services that keep the contract, and the history of what was asked of them."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.next_id = self.next_op = FIRST
        self.users, self.products = [1], [1, 2]  # of `clean()`
        self.versions: dict[int, int] = {}
        self.emails: list[tuple[str, int]] = []  # and how often it was written
        self.written = self.attempted = 0
        self.made: list[tuple[int, str, Json]] = []  # acknowledged: the operation, the service, the row

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id

    def keep(self, service: str, row: Json) -> Json:
        """Write a row; what is answered is a copy of it."""
        self.history.rows[service, row["id"]] = dict(row)
        self.written += 1
        return row

    def play(self, operation: tuple[str, int, list[str], bool]) -> None:
        """Do an operation with all its tries."""
        kind, which, tries, settled = operation
        self.next_op += 1
        getattr(self, kind.replace(" ", "_").replace("-", ""))(which, tries if not settled else [*tries, "answered"])

    def user(self, which: int, tries: list[str]) -> None:
        body = {"name": "Ada", "email": f"ada.{MARK}.{self.next_op}@example.com"}

        def write() -> Outcome:
            row = self.keep("users", user(self.new_id(), **body))
            self.emails.append((body["email"], 1))
            self.users.append(row["id"])
            return True, 201, row, {}

        self.keyed("users", body, tries, write)

    def product(self, which: int, tries: list[str]) -> None:
        body = {"name": f"Tea {MARK}-{self.next_op}", "price": f"{which}.50"}

        def write() -> Outcome:
            row = self.keep("products", product(self.new_id(), **body))
            self.products.append(row["id"])
            self.versions[row["id"]] = 1
            return True, 201, row, {}

        self.keyed("products", body, tries, write)

    def order(self, which: int, tries: list[str]) -> None:
        sold = self.products[which % len(self.products)]
        body = {"user_id": self.users[which % len(self.users)], "product_id": sold, "quantity": self.next_op}

        def write() -> Outcome:
            wanted = self.history.rows["products", sold]
            cents = int(wanted["price"].replace(".", "")) * body["quantity"]
            row = order(self.new_id(), **body, product_name=wanted["name"], unit_price=wanted["price"])
            row["total"] = f"{cents // 100}.{cents % 100:02}"
            return True, 201, self.keep("orders", row), {}

        self.keyed("orders", body, tries, write)

    def same_email(self, which: int, tries: list[str]) -> None:
        if self.emails:
            email = self.emails[which % len(self.emails)][0].upper()
            self.keyed(
                "users",
                {"name": "Eve", "email": email},
                tries,
                lambda: (False, 409, "duplicate-email", {}),
                expects="any",
            )

    def invalid(self, which: int, tries: list[str]) -> None:
        body = {"name": f"Tea {MARK}-{self.next_op}", "price": "-1.00"}
        self.keyed("products", body, tries, lambda: (False, 422, "validation", {}), expects="validation")

    def unknown(self, which: int, tries: list[str]) -> None:
        body = {"user_id": 9 * 10**15, "product_id": 1, "quantity": 1 + which}
        self.keyed("orders", body, tries, lambda: (False, 422, "unknown-reference", {}), expects="unknown-reference")

    def batch(self, which: int, tries: list[str]) -> None:
        bodies = [{"name": f"Tea {MARK}-{self.next_op}.{place}", "price": "3.00"} for place in range(2)]
        bodies.insert(which % 3, {"name": f"Tea {MARK}-{self.next_op}.bad", "price": "1.999"})
        expects = ["validation" if body["price"] == "1.999" else "ok" for body in bodies]

        def write() -> Outcome:
            results: list[Json] = []
            for body in bodies:
                if body["price"] == "1.999":
                    results.append({"status": 422, "problem": {"type": "/problems/validation"}})
                else:
                    results.append({"status": 201, "item": self.keep("products", product(self.new_id(), **body))})
            return True, 200, {"results": results}, {}

        self.keyed("products", {"items": bodies}, tries, write, expects=expects, path="/products/batch")

    def keyed(self, service: str, body: Json, tries: list[str], write: Callable[[], Outcome], **sent: Any) -> None:
        """A write with a key: decided at most once, answered as often as it is sent."""
        op, kept = self.next_op, None
        self.attempted += len(sent["expects"]) if isinstance(sent.get("expects"), list) else 1
        for number, became in enumerate(tries, start=1):
            if number == 1:
                self.history.sent(op, service, body, **sent)
            else:
                self.history.again(op, number)
            if became in EARLY:
                self.early(op, became, number)
                continue
            if became == "lost":
                self.history.unknown(op, number)
                continue
            replayed = kept is not None
            outcome = kept or write()
            kept = None if outcome[2] == "validation" else outcome  # which is decided before the key is looked at
            if became == "answer lost":
                self.history.unknown(op, number)
            elif outcome[0]:
                self.history.ok(op, outcome[2], number, outcome[1], replayed=replayed)
                if outcome[1] == 201:
                    self.made.append((op, service, outcome[2]))
            else:
                self.history.refused(op, outcome[1], outcome[2], number, replayed=replayed)

    def early(self, op: int, became: str, number: int) -> None:
        """Answer a try before its key or its row is looked at."""
        event, status, problem = EARLY[became]
        if event == "refused":
            self.history.refused(op, status, problem, number)
        else:
            self.history.ended(event, op, number, status=status, problem=problem, replayed=False, answer=None)

    def patch(self, which: int, tries: list[str]) -> None:
        """A PATCH of the present version or of an old one; it has no key."""
        own = self.products[2:]  # those made by hand have a history of their own
        if not own:
            return
        op, id = self.next_op, own[which % len(own)]
        based_on, price = max(1, self.versions[id] - which % 2), f"{op}.25"
        self.attempted += 1
        for number, became in enumerate(tries, start=1):
            if number == 1:
                self.history.patch_sent(op, id, price, f'"{based_on}"')
            else:
                self.history.again(op, number)
            if became in EARLY:
                self.early(op, became, number)
                continue
            written = became != "lost" and based_on == self.versions[id]
            if written:
                self.versions[id] += 1
                self.history.rows["products", id]["price"] = price
                self.written += 1
            if became != "answered":
                self.history.unknown(op, number)
            elif written:
                row = dict(self.history.rows["products", id])
                self.history.ok(op, row, number, 200, etag=f'"{self.versions[id]}"')
                return  # a client does not send an accepted PATCH again
            else:
                self.history.refused(op, 412, "precondition-failed", number)

    def read(self, which: int, tries: list[str]) -> None:
        """Read an acknowledged write at once; sometimes the read is answered early."""
        if self.made and self.made[-1][1] != "products":  # their prices change
            made, service, row = self.made[-1]
            status, problem = ((200, None), (429, "rate-limited"), (401, "unauthorized"))[which % 3]
            self.history.read(self.next_op, made, service, status, dict(row), problem)
