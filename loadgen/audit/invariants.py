"""The invariants: statements that no run may violate, each with the query that finds its violations.

A query gives one row a violation, with words for an example. `tables.py` describes the tables.
"""

from .invariant import Invariant
from .stock import STOCK

INVARIANTS = (
    Invariant(
        "acknowledged but missing",
        "a write was answered with 201, and its row is not under that id",
        """
        SELECT printf('%s %d (op %d)', w.service, w.ack_id, w.op) FROM writes w
        WHERE w.verb = 'create' AND w.fate = 'ok'
          AND NOT EXISTS (SELECT 1 FROM found f WHERE f.service = w.service AND f.id = w.ack_id
                          AND (f.identity IS w.identity OR NOT EXISTS (
                              SELECT 1 FROM writes o WHERE o.service = f.service AND o.identity = f.identity)))
        """,
    ),
    Invariant(
        "acknowledged but altered",
        "a row, or an acknowledgement, is not what was sent, or the row is not what was acknowledged",
        """
        SELECT printf('%s %d (op %d)', w.service, w.ack_id, w.op)
        FROM writes w JOIN found f ON f.service = w.service AND f.id = w.ack_id
        WHERE w.verb = 'create' AND w.fate = 'ok'
          AND (f.identity IS w.identity OR NOT EXISTS (
              SELECT 1 FROM writes o WHERE o.service = f.service AND o.identity = f.identity)) AND (
            f.identity IS NOT w.identity OR f.name IS NOT w.name OR f.core IS NOT w.ack_core
            OR w.service = 'products' AND (w.ack_cents IS NOT w.cents OR w.ack_units IS NOT w.units)
            OR w.service = 'products' AND f.cents IS NOT w.cents
               AND NOT EXISTS (SELECT 1 FROM writes p WHERE p.verb = 'patch' AND p.product = w.ack_id)
            OR w.service = 'orders' AND EXISTS (SELECT 1 FROM prices p WHERE p.product = f.product_id)
               AND NOT EXISTS (SELECT 1 FROM prices p WHERE p.product = f.product_id
                               AND p.name IS f.product_name AND p.cents IS f.cents))
        UNION ALL
        SELECT printf('products %d (op %d)', w.product, w.op) FROM writes w
        WHERE w.verb = 'patch' AND w.fate = 'ok'
          AND (w.ack_cents IS NOT w.cents OR w.ack_id IS NOT w.product OR w.ack_etag IS NULL)
        UNION ALL
        SELECT printf('products %d (op %d)', w.product, w.op) FROM writes w
        WHERE w.verb = 'stock' AND w.fate = 'ok' AND (w.ack_id IS NOT w.product OR w.ack_units IS NULL)
        """,
    ),
    Invariant(
        "duplicated",
        "one write made two rows or more",
        """
        SELECT printf('%s %s: %d rows, the last %d', f.service, f.identity, count(*), max(f.id))
        FROM found f
        WHERE EXISTS (SELECT 1 FROM writes w WHERE w.verb = 'create' AND w.fate IN ('ok', 'unknown')
                      AND w.service = f.service AND w.identity = f.identity)
        GROUP BY f.service, f.identity HAVING count(*) > 1
        """,
    ),
    Invariant(
        "refused but present",
        "a write was refused, and its row is there",
        """
        SELECT printf('%s %d', f.service, f.id) FROM found f
        WHERE EXISTS (SELECT 1 FROM writes w WHERE w.verb = 'create' AND w.fate = 'refused'
                      AND w.service = f.service AND w.identity = f.identity)
          AND NOT EXISTS (SELECT 1 FROM writes w WHERE w.verb = 'create' AND w.fate <> 'refused'
                          AND w.service = f.service AND w.identity = f.identity)
        """,
    ),
    Invariant(
        "never sent but present",
        "a row bears this run's mark, or is an order of this run's users, and no write explains it",
        """
        SELECT printf('%s %d', f.service, f.id) FROM found f
        WHERE f.ours
          AND NOT EXISTS (SELECT 1 FROM writes w WHERE w.verb = 'create'
                          AND w.service = f.service AND w.identity = f.identity)
          AND NOT EXISTS (SELECT 1 FROM writes w WHERE w.verb = 'create'
                          AND w.service = f.service AND w.ack_id = f.id)
        """,
    ),
    Invariant(
        "order with an unknown user or product",
        "an order of this run names a user or a product that is not there",
        """
        SELECT printf('orders %d: user %d, product %d', f.id, f.user_id, f.product_id) FROM found f
        WHERE f.service = 'orders' AND f.ours AND (
            NOT EXISTS (SELECT 1 FROM found u WHERE u.service = 'users' AND u.id = f.user_id)
            OR NOT EXISTS (SELECT 1 FROM found p WHERE p.service = 'products' AND p.id = f.product_id))
        """,
    ),
    Invariant(
        "wrong total",
        "the total of an order is not its unit price times its quantity, in whole cents",
        """
        SELECT printf('orders %d', f.id) FROM found f
        WHERE f.service = 'orders' AND f.ours AND f.total IS NOT f.cents * f.quantity
        """,
    ),
    Invariant(
        "equal e-mails",
        "two users, of this run or not, have one e-mail address after Unicode NFC and case folding",
        """
        SELECT printf('users %d and %d', min(f.id), max(f.id)) FROM found f
        WHERE f.service = 'users' AND f.email_key IS NOT NULL GROUP BY f.email_key HAVING count(*) > 1
        """,
        rows_of_others=True,
    ),
    Invariant(
        "replay that differed",
        "two answers under one key differ, or more than one is not marked as a replay, or a retry is called another"
        " request",
        """
        SELECT DISTINCT printf('op %d', w.op) FROM writes w JOIN answers a ON a.op = w.op AND a.item = w.item
        WHERE w.keyed AND a.tells
        GROUP BY w.op, w.item
        HAVING sum(a.problem IS 'idempotency-key-reused') > 0
            OR count(DISTINCT a.outcome || a.status || a.body) FILTER (WHERE a.outcome <> 'unknown') > 1
            OR sum(a.outcome <> 'unknown' AND NOT a.replayed) > 1
            OR sum(a.outcome = 'unknown') BETWEEN 1 AND count(*) - 1
        """,
        needs_rows=False,
    ),
    Invariant(
        "own write not read back",
        "a write was acknowledged, and a GET right after showed nothing or something else",
        """
        SELECT printf('%s %d (op %d)', w.service, w.ack_id, w.op)
        FROM reads r JOIN writes w ON w.op = r.of_op AND w.item = r.of_item JOIN answers a ON a.op = r.op
        WHERE w.fate = 'ok' AND a.tells AND (
            a.outcome = 'ok' AND a.body IS NOT w.ack_body OR a.outcome = 'refused' AND a.problem = 'not-found'
            OR a.outcome = 'unknown')
        """,
        needs_rows=False,
    ),
    Invariant(
        "update lost",
        "two PATCHes that named one version were both accepted, or a product's price is not the last accepted one",
        """
        SELECT printf('products %d: version %s was changed %d times', product, if_match, count(*)) FROM writes
        WHERE verb = 'patch' AND fate = 'ok' GROUP BY product, if_match HAVING count(*) > 1
        UNION ALL
        SELECT printf('products %d: the accepted changes are not one chain', w.product) FROM writes w
        WHERE w.verb = 'patch' GROUP BY w.product
        HAVING sum(w.fate = 'ok' AND NOT EXISTS (
                   SELECT 1 FROM writes n WHERE n.verb = 'patch' AND n.fate = 'ok' AND n.product = w.product
                   AND n.if_match = w.ack_etag)) > 1 + sum(w.fate IN ('maybe', 'unknown'))
           AND count(DISTINCT CASE WHEN w.fate = 'ok' THEN w.if_match END) = sum(w.fate = 'ok')
           AND count(w.ack_etag) = sum(w.fate = 'ok')
        UNION ALL
        SELECT printf('products %d: its price is not that of the last change', f.id) FROM found f
        WHERE f.service = 'products' AND f.id IN (SELECT product FROM writes WHERE verb = 'patch')
          AND NOT EXISTS (
            SELECT 1 FROM writes w WHERE w.product = f.id AND w.cents IS f.cents AND w.verb = 'patch'
            AND (w.fate = 'ok' AND NOT EXISTS (
                     SELECT 1 FROM writes n WHERE n.verb = 'patch' AND n.fate = 'ok' AND n.product = f.id
                     AND n.if_match = w.ack_etag)
                 OR w.fate IN ('maybe', 'unknown') AND NOT EXISTS (
                     SELECT 1 FROM writes n WHERE n.verb = 'patch' AND n.fate = 'ok' AND n.product = f.id
                     AND n.if_match = w.if_match)))
          AND NOT EXISTS (
            SELECT 1 FROM writes w WHERE w.verb = 'create' AND w.service = 'products' AND w.ack_id = f.id
            AND w.cents IS f.cents
            AND NOT EXISTS (SELECT 1 FROM writes n WHERE n.verb = 'patch' AND n.fate = 'ok' AND n.product = f.id))
        """,
    ),
    Invariant(
        "accepted, had to be refused",
        "a write that breaks a rule was acknowledged",
        """
        SELECT printf('%s %d (op %d, %s)', service, ack_id, op, expects) FROM writes
        WHERE fate = 'ok' AND expects NOT IN ('ok', 'any')
        """,
        needs_rows=False,
    ),
    Invariant(
        "refused without cause",
        "a write that breaks no rule was refused for good, or one that does for another reason",
        """
        SELECT printf('%s: op %d, %s', w.service, w.op, w.decision) FROM writes w
        WHERE w.fate = 'refused' AND w.decision IS NOT NULL AND w.decision IS NOT w.expects
          AND NOT (w.expects = 'any' AND w.decision = 'duplicate-email' AND EXISTS (
              SELECT 1 FROM writes o WHERE o.service = 'users' AND o.email_key = w.email_key AND o.fate <> 'refused'))
          AND NOT (w.expects = 'any' AND w.decision = 'precondition-failed' AND EXISTS (
              SELECT 1 FROM writes o WHERE o.verb = 'patch' AND o.product = w.product AND o.if_match = w.if_match
              AND o.fate <> 'refused'))
          AND NOT (w.expects = 'any' AND w.decision = 'out-of-stock' AND (w.verb = 'stock' AND w.units < 0 OR EXISTS (
              SELECT 1 FROM supplies s WHERE s.product = w.product_id)))
        """,
        needs_rows=False,
    ),
    *STOCK,
)
