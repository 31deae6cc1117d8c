"""The invariants of limited products: no unit is sold twice, none is lost, and none stays reserved.

They judge the limited products that this run made. An order of another client for such a product is counted like
any other. What changes while it is read is not judged, and costs the verdict (judge.py).
"""

from .invariant import Invariant

STOCK = (
    Invariant(
        "oversold",
        "more units of a product were acknowledged than were supplied",
        """
        SELECT printf('products %d: %d units acknowledged, %d supplied', product, acknowledged, most) FROM supplies
        WHERE acknowledged > most
        """,
        needs_rows=False,
    ),
    Invariant(
        "units lost or invented",
        "stock + reserved + sold of a product is not what was supplied",
        """
        SELECT printf('products %d: %d in stock + %d reserved + %d sold, %d supplied',
                      s.product, f.units, s.reserved, s.sold, s.most)
        FROM supplies s JOIN found f ON f.service = 'products' AND f.id = s.product
        WHERE s.quiet AND f.units + s.reserved + s.sold NOT BETWEEN s.least AND s.most AND s.acknowledged <= s.most
        """,
    ),
    Invariant(
        "still reserved",
        "units were reserved for twenty seconds after the last write had ended",
        """
        SELECT printf('products %d: %d units, token %s', product, quantity, token) FROM stuck
        WHERE product IN (SELECT product FROM supplies)
        """,
    ),
    Invariant(
        "sales and orders differ",
        "the units of a product that were sold are not those of its orders",
        """
        SELECT printf('products %d: %d sold, %d reserved, %d ordered', product, sold, reserved, ordered) FROM supplies
        WHERE quiet AND ordered NOT BETWEEN sold AND sold + reserved
        """,
    ),
    Invariant(
        "out of stock too early",
        "an order was refused as out-of-stock for units that were never sold",
        """
        SELECT printf('orders: op %d, %d of product %d, %d left', w.op, w.quantity, s.product, f.units)
        FROM writes w JOIN supplies s ON s.product = w.product_id
        JOIN found f ON f.service = 'products' AND f.id = s.product
        WHERE s.quiet AND w.fate = 'refused' AND w.decision = 'out-of-stock'
          AND w.quantity <= f.units - (SELECT coalesce(sum(max(a.units, 0)), 0) FROM added a
                                       WHERE a.product = s.product AND a.line > w.begun)
        """,
    ),
)
