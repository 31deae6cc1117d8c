"""Ledgers written by hand, line by line, and the rows that the services hold."""

from typing import Any

from loadgen.audit.judge import Report, audit
from loadgen.audit.ledger import Line

MARK = "k3f9z2"
KINDS = ["create_user", "create_product", "create_order", "race_patch"]
Json = dict[str, Any]


def user(id: int, email: str = "ada.k3f9z2.1@example.com", name: str = "Ada Lovelace") -> Json:
    return {"id": id, "name": name, "email": email, "created_at": "2026-01-02T03:04:05.678Z"}


def product(id: int, name: str = "Tea k3f9z2-2", price: str = "19.99", **other: Any) -> Json:
    return {"id": id, "name": name, "price": price, "created_at": "2026-01-02T03:04:05.678Z"} | other


def order(id: int, user_id: int = 1, product_id: int = 1, quantity: int = 2, **other: Any) -> Json:
    cents = 1999 * quantity
    return {
        "id": id,
        "user_id": user_id,
        "product_id": product_id,
        "quantity": quantity,
        "product_name": "Tea k3f9z2-2",
        "unit_price": "19.99",
        "total": f"{cents // 100}.{cents % 100:02}",
        "created_at": "2026-01-02T03:04:05.678Z",
    } | other


def as_sent(row: Json) -> Json:
    """Return the body that makes `row`."""
    sent = ("name", "email", "price", "stock", "user_id", "product_id", "quantity")
    return {key: row[key] for key in sent if key in row}


ACTIONS = {"users": "create_user", "products": "create_product", "orders": "create_order"}


class History:
    """The lines of a ledger so far, and the rows found at its end."""

    def __init__(self, kinds: list[str] | None = None) -> None:
        self.lines: list[Line] = [{"event": "run", "run": MARK, "kinds": KINDS if kinds is None else kinds}]
        self.rows: dict[tuple[str, int], Json] = {}
        self.tokens: dict[str, dict[str, Json]] = {"reserved": {}, "sold": {}, "stuck": {}}
        self.changes: dict[int, int] = {}  # of the stock of a product, while it is read back
        self.sent_as: dict[int, Line] = {}

    def sent(self, op: int, service: str, body: Any, try_: int = 1, **other: Any) -> None:
        line = {
            "event": "sent",
            "op": op,
            "try": try_,
            "service": service,
            "action": ACTIONS[service],
            "method": "POST",
            "path": f"/{service}",
            "key": f"key-{op}",
            "if_match": None,
            "reads": None,
            "expects": "ok",
            "body": body,
        } | other
        self.sent_as.setdefault(op, line)
        self.lines.append(line)

    def again(self, op: int, try_: int = 2) -> None:
        """Send the same operation once more."""
        self.lines.append(self.sent_as[op] | {"try": try_})

    def ended(self, event: str, op: int, try_: int = 1, **other: Any) -> None:
        line = {"event": event, "op": op, "try": try_, "action": self.sent_as[op]["action"], "ms": 1}
        self.lines.append(line | other)

    def ok(self, op: int, answer: Any, try_: int = 1, status: int = 201, **other: Any) -> None:
        self.ended("ok", op, try_, **{"status": status, "problem": None, "replayed": False, "answer": answer} | other)

    def refused(self, op: int, status: int, problem: str | None, try_: int = 1, **other: Any) -> None:
        answer = {"type": f"/problems/{problem}", "request_id": f"{op}-1"}
        line = {"status": status, "problem": problem, "replayed": False, "answer": answer}
        self.ended("refused", op, try_, **line | other)

    def unknown(self, op: int, try_: int = 1) -> None:
        self.ended("unknown", op, try_, error="TimeoutError: no answer within 10 s")

    def created(self, op: int, service: str, row: Json, **other: Any) -> None:
        """Send a write that is acknowledged and stored."""
        self.sent(op, service, as_sent(row), **other)
        self.ok(op, row)
        self.rows[service, row["id"]] = dict(row)

    def patch_sent(self, op: int, id: int, price: str, if_match: str) -> None:
        patch: Json = {"method": "PATCH", "path": f"/products/{id}", "key": None, "if_match": if_match}
        self.sent(op, "products", {"price": price}, expects="any", action="race_patch", **patch)

    def patched(self, op: int, id: int, price: str, if_match: str, etag: str) -> None:
        """Send a PATCH that is acknowledged and stored."""
        self.patch_sent(op, id, price, if_match)
        self.rows["products", id]["price"] = price
        self.ok(op, dict(self.rows["products", id]), status=200, etag=etag)

    def limited(self, op: int, id: int, stock: int, name: str = "") -> None:
        """Make a limited product."""
        self.created(op, "products", product(id, name or f"Vase k3f9z2-{op}", stock=stock))

    def stock_sent(self, op: int, id: int, add: int, expects: str = "ok") -> None:
        path = f"/products/{id}/stock"
        self.sent(op, "products", {"add": add}, expects=expects, action="add_stock", path=path)

    def stocked(self, op: int, id: int, add: int) -> None:
        """Add to the stock of a product; it is acknowledged."""
        self.stock_sent(op, id, add)
        self.rows["products", id]["stock"] += add
        self.ok(op, dict(self.rows["products", id]), status=200)

    def limited_order(self, op: int, id: int, quantity: int, product_id: int = 50) -> None:
        """Make an order of a limited product; its units are sold."""
        name = self.rows["products", product_id]["name"]
        row = order(id, product_id=product_id, quantity=quantity, product_name=name)
        self.created(op, "orders", row, expects="any")
        self.rows["products", product_id]["stock"] -= quantity
        self.token("sold", f"a.{op}", quantity, product_id)

    def out_of_stock(self, op: int, quantity: int, product_id: int = 50) -> None:
        """Send an order of a limited product that is refused."""
        self.sent(op, "orders", {"user_id": 1, "product_id": product_id, "quantity": quantity}, expects="any")
        self.refused(op, 409, "out-of-stock")

    def token(self, kind: str, token: str, quantity: int, product_id: int = 50) -> None:
        self.tokens[kind][token] = {"token": token, "product_id": product_id, "quantity": quantity}

    def read(self, op: int, of: int, service: str, status: int, answer: Any, problem: str | None = "not-found") -> None:
        """Read the row that the operation `of` made."""
        self.sent(op, service, None, method="GET", key=None, reads=[of, 0], action="read_own", path=f"/{service}/1")
        if status == 200:
            self.ok(op, answer, status=200)
        else:
            self.refused(op, status, problem)

    def audit(self, flaws: tuple[str, ...] = (), read_back: bool = True) -> Report:
        found = [(service, row) for (service, _), row in sorted(self.rows.items())]
        found += [(kind, row) for kind, rows in self.tokens.items() for row in rows.values()]
        for (service, id_), row in self.rows.items():
            if service == "products" and row.get("stock") is not None:
                found.append(("at_rest", {"product_id": id_, "stock": row["stock"] + self.changes.get(id_, 0)}))
        return audit(self.lines, found if read_back else None, flaws)


def clean() -> History:
    """Return a run without violations: users 1, products 1 and 2 (the second is raced for), order 1."""
    history = History()
    history.created(1, "users", user(1))
    history.created(2, "products", product(1))
    history.created(3, "products", product(2, "Lamp k3f9z2-3", "45.90"))
    history.created(4, "orders", order(1))
    history.patched(5, 2, "46.00", '"1"', '"2"')
    history.patch_sent(6, 2, "47.00", '"1"')
    history.refused(6, 412, "precondition-failed")
    history.patched(7, 2, "48.00", '"2"', '"3"')
    history.sent(8, "orders", {"user_id": 9 * 10**15, "product_id": 1, "quantity": 1}, expects="unknown-reference")
    history.refused(8, 422, "unknown-reference")
    history.again(8)
    history.refused(8, 422, "unknown-reference", try_=2, replayed=True)
    history.again(4)
    history.ok(4, order(1), try_=2, replayed=True)
    history.read(9, 1, "users", 200, user(1))
    return history


def with_stock(history: History) -> None:
    """Add product 50, which is limited: 10 units and 5 more, of which 4 and 3 are sold and 8 are in stock."""
    history.limited(100, 50, 10)
    history.limited_order(101, 500, 4)
    history.out_of_stock(102, 7)
    history.stocked(103, 50, 5)
    history.limited_order(104, 501, 3)
    history.out_of_stock(105, 20)
    history.stock_sent(106, 50, -9, expects="any")
    history.refused(106, 409, "out-of-stock")
    history.sent(107, "orders", {"user_id": 1, "product_id": 50, "quantity": 8}, expects="any")
    history.refused(107, 503, "stock-held")
