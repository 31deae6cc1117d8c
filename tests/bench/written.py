"""Results as a run writes them, written by hand and as small as possible."""

from typing import Any

MACHINE = {
    "cores": 2, "cpu": "A CPU", "memory_gb": 8.0, "kernel": "Linux 6", "python": "3.13.1", "sqlite": "3.51.3",
    "file_system": "ext4", "sync_ms": 0.5,
}  # fmt: skip


def series(*rates: float, **metrics: list[float]) -> dict[str, list[float]]:
    """Return the series of interleaved rounds of wrk."""
    rounds = len(rates)
    wrk = {
        "p50_ms": [20.0] * rounds,
        "p99_ms": [80.0] * rounds,
        "wrk_share": [0.1] * rounds,
        "requests": [500.0] * rounds,
    }
    return {"rate": list(rates), **wrk, **metrics}


FIGURES: dict[str, dict[str, Any]] = {
    "peers": {
        "series": {
            "tutorial orders": series(90, 100, 110),
            "fastapi orders": series(100, 200, 150),
            "threefold orders": series(1200, 1400, 1300, **{"cpu_us.orders": [600.0] * 3, "cpu_us.users": [20.0] * 3}),
            "threefold users": series(1800, 1700, 1750),
            "echo": series(2000, 2000, 2000),
        },
        "durability": {"tutorial": "write-ahead log, synced 5 times by 5 orders in turn"},
    },
    "sqlite": {"series": {"1": {"rate": [5000.0]}, "1000": {"rate": [500_000.0]}}},
    "bulk": {
        "series": {
            "users": series(30_000), "sqlite users": {"rate": [100_000.0]},
            "products": series(60_000), "sqlite products": {"rate": [100_000.0]},
            "orders": series(20_000), "sqlite orders": {"rate": [100_000.0]},
        },
    },
    "open-load": {
        "series": {
            "closed": series(2000),
            "open": {"p50_ms": [4.0, 5.0], "p99_ms": [12.0, 30.0], "highest_ms": [40.0, 60.0], "kept": [1.0, 1.0]},
        },
        "due_rate": 1000.0,
    },
    "memory": {
        "before_mb": {"users": 40.0, "products": 40.0, "orders": 44.0},
        "after_mb": {"users": 50.0, "products": 50.0, "orders": 60.5},
        "orders": 100_321,
    },
    "rows": {
        "series": {"0": series(1000, 1000), "10000": series(990, 1010), "10000000": series(880, 900)},
        "file_mb": {"0": 1.0, "10000": 2.0, "10000000": 900.0},
    },
    "connections": {"series": {"1": series(300), "64": series(1000), "512": series(950)}},
    "batches": {"series": {"1": series(300), "1000": series(20_000)}},
    "slow-disk": {
        "series": {
            f"{disk}, {way}": series(rate, group=[30.0], commit_ms=[6.0])
            for disk, way, rate in (
                ("this disk", "group commit", 2000), ("this disk", "a commit each", 500),
                ("5 ms a sync", "group commit", 1500), ("5 ms a sync", "a commit each", 100),
            )
        },
    },
    "postgres": {
        "series": {
            f"orders with keys: {place}": series(
                rate, rate, **{f"cpu_us.{part}": [cpu, cpu] for part in ("services", "client", *more)}
            )
            for place, rate, cpu, more in (
                ("SQLite", 2000, 300.0, ()), ("1 replica, without front door", 1700, 200.0, ("database",)),
                ("1 replica", 1500, 100.0, ("database", "front doors")),
                ("3 replicas", 1200, 150.0, ("database", "front doors")),
            )
        },
        "before_mb": {"SQLite": {"services": 150.0}, "1 replica": {"services": 160.0, "front doors": 40.0}},
        "after_mb": {"SQLite": {"services": 180.0}, "1 replica": {"services": 190.0, "front doors": 50.0}},
        "rows": {"SQLite": 10_000, "1 replica": 8_000},
        "engine": "28.0",
    },
    "images": {
        "above_base_mb": {"users": 50.0, "products": 50.0, "orders": 51.0, "loadgen": 70.0},
        "base_mb": 177.0, "base": "python:3.13-slim", "engine": "28.0",
    },
    "start": {
        "healthy_s": {"users": [2.0, 2.5], "products": [2.1, 2.4], "orders": [3.9, 4.2]},
        "up_returned_s": [3.0, 3.1],
        "engine": "28.0",
    },
}  # fmt: skip


def measured(commit: str = "abc", short: bool = False, **machine: Any) -> dict[str, Any]:
    """Return when and where a part was measured."""
    return {
        "at": "2026-11-25 02:20 UTC", "commit": commit, "machine": MACHINE | machine, "seconds": 60.0, "load_before": 0.1,
        "others": 0.01, "options": {"short": short, "rounds": 3, "seconds": 5.0},
    }  # fmt: skip


def results(*parts: str, short: bool = False) -> dict[str, Any]:
    """Return the JSON of a run of these parts; of all where none is named."""
    return {"parts": {name: {"measured": measured(short=short), "figures": FIGURES[name]} for name in parts or FIGURES}}
