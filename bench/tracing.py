"""What traces cost: orders a second and processor time of an order, with traces off, at 1 % and at 100 %.

All are measured by turns, in short slices: `python -m bench.tracing [CHECKOUT]`. With the path of another checkout, its
services are measured, too.
"""

import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests

from testbed import ROOT, Fleet, kernel

from .tools import wrk

ROUNDS = 12
SLICE_S = 3
WARM_UP_S = 2
SENT_S = 0.8  # seconds after a slice, within which the last spans are sent
SHARES = {"off": None, "1 %": 0.01, "100 %": 1.0}


class Sink(BaseHTTPRequestHandler):
    """A receiver that takes spans and forgets them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        return None


@contextmanager
def sink() -> Iterator[str]:
    """Run a receiver, and return its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


class Measured:
    """Services with one setting of traces, and what was measured of them."""

    def __init__(self, directory: Path, env: dict[str, str], root: Path = ROOT) -> None:
        self.fleet = Fleet(directory, env=env, root=root)
        self.rates: list[float] = []
        self.costs: list[float] = []  # CPU milliseconds of all services for an order

    def start(self) -> None:
        self.fleet.start()
        for process, body in (
            (self.fleet.users, {"name": "Ada", "email": "a@example.com"}),
            (self.fleet.products, {"name": "Tea", "price": "1.00"}),
        ):
            requests.post(f"{process.url}/{process.service}", json=body, timeout=10).raise_for_status()

    def measure(self, seconds: float) -> None:
        before = self._cpu()
        sample = wrk.post(
            f"{self.fleet.orders.url}/orders", '{"user_id": 1, "product_id": 1, "quantity": 1}', seconds=seconds
        )
        time.sleep(SENT_S)
        self.rates.append(sample.rate)
        self.costs.append((self._cpu() - before) / sample.requests * 1000)

    def _cpu(self) -> float:
        return sum(kernel.cpu_seconds(process.pid) for process in self.fleet.all)


def main() -> None:
    """Measure by turns, and print a table."""
    with tempfile.TemporaryDirectory() as place, sink() as receiver, ExitStack() as stack:
        measured: dict[str, Measured] = {}
        if sys.argv[1:]:
            measured[sys.argv[1]] = Measured(Path(place, "other"), {}, Path(sys.argv[1]).resolve())
        for name, share in SHARES.items():
            env = (
                {}
                if share is None
                else {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver, "OTEL_TRACES_SAMPLER_ARG": str(share)}
            )
            measured[name] = Measured(Path(place, str(len(measured))), env)
        for each in measured.values():
            stack.callback(each.fleet.stop)
            each.start()
            each.measure(WARM_UP_S)
            each.rates.clear()
            each.costs.clear()
        turns = list(measured.values())
        for _ in range(ROUNDS):
            for each in random.sample(turns, len(turns)):
                each.measure(SLICE_S)
        off = measured["off"]
        for name, each in measured.items():
            print(
                f"{name:30} {compared(each.rates, off.rates, 'orders/s', 0)} {compared(each.costs, off.costs, 'ms CPU an order', 3)}",
                flush=True,
            )


def compared(values: list[float], base: list[float], unit: str, decimals: int) -> str:
    """Return a median, and how it compares with another round by round: the median and the middle half."""
    ratios = [value / other for value, other in zip(values, base, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{statistics.median(values):8,.{decimals}f} {unit}, {middle:.3f} of off ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
