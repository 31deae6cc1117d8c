"""The metrics of look-ups and of reservations. What is asked is the label `dependency`: Prometheus sets `service`."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from service_common.telemetry.measures import NUMBERS, Counter, Gauge, Histogram, Labels

DEPENDENCY = ("dependency",)


class LookupMetrics:
    """What rounds and their attempts count and time."""

    def __init__(self, registry: CollectorRegistry, circuits: Callable[[], dict[Labels, float]]) -> None:
        """`circuits` returns by dependency whether its circuit is open."""
        self.attempts = Counter(
            "lookup_attempts", "Requests to other services.", registry, (*DEPENDENCY, "outcome")
        )  # fmt: skip
        self.attempt_seconds = Histogram(
            "lookup_attempt_duration_seconds", "Time of one request to another service.", registry, labels=DEPENDENCY
        )
        self.opened = Counter("lookup_circuit_opened", "Failures that opened a circuit.", registry, DEPENDENCY)
        self.round_seconds = Histogram("lookup_round_duration_seconds", "Time of a round of look-ups.", registry)
        self.round_requests = Histogram(
            "lookup_round_requests", "Requests that shared a round of look-ups.", registry, NUMBERS
        )
        Gauge(
            "lookup_circuit_open", "1 while a service failed repeatedly and is not asked.", registry, circuits,
            DEPENDENCY, combine=max,
        )  # fmt: skip


class StockMetrics:
    """What attempts and sweeps count."""

    def __init__(self, registry: CollectorRegistry, live: Callable[[], int], stopped: Callable[[], int]) -> None:
        """`live` returns the number of live tokens, `stopped` that of products of which nothing may be reserved."""
        Gauge("stock_attempts_live", "Reservations whose order may still be written.", registry, live)
        Gauge(
            "stock_stopped_products", "Products not sold, because a restored backup contradicts them.", registry,
            stopped, combine=max,
        )  # fmt: skip
        self.held = Counter("stock_held", "Orders refused because others held the units.", registry)
        self.swept = Counter("stock_swept", "Reservations that a sweep found to be settled.", registry)
        self.unreconciled = Counter(
            "stock_unreconciled", "Tokens that orders and products do not agree about.", registry
        )
        self.settled = Counter("stock_settled", "Reservations settled at products.", registry, ("outcome",))
        for outcome in ("confirmed", "released"):
            self.settled.add(outcome, count=0)
