"""Figures from two readings of /metrics that are written by hand."""

from loadgen.page.metrics import Reading, figures, links, read, restarted, together

START = "process_start_time_seconds 100.0\n"


def page(requests: int, slow: int = 0, jobs: tuple[int, int] = (0, 0), start: str = START, more: str = "") -> Reading:
    fast = requests - slow
    return read(
        f"""# HELP http_requests_total Requests answered.
http_requests_total{{method="POST",route="/orders",status="201"}} {requests}.0
http_requests_total{{method="GET",route="/metrics",status="200"}} 500.0
http_request_duration_seconds_bucket{{le="0.01",method="POST",route="/orders"}} {fast}.0
http_request_duration_seconds_bucket{{le="0.1",method="POST",route="/orders"}} {requests}.0
http_request_duration_seconds_bucket{{le="+Inf",method="POST",route="/orders"}} {requests}.0
http_request_duration_seconds_bucket{{le="+Inf",method="GET",route="/metrics"}} 900.0
write_group_jobs_count {jobs[0]}.0
write_group_jobs_sum {jobs[1]}.0
write_queue_jobs 7.0
process_resident_memory_bytes 6.5e+07
storage_engine_info{{engine="SQLite"}} 1.0
nonsense
process_cpu_seconds_total many
{start}{more}""",
        at=float(requests),
    )


def test_rates_are_those_between_two_readings_without_the_probes() -> None:
    said = figures(page(10), page(110, jobs=(20, 90)))
    assert (said["rate"], said["commits"], said["writes_per_commit"]) == (1.0, 0.2, 4.5)
    assert (said["queue"], said["memory_mb"], said["engine"], said["failed"]) == (7, 65.0, "SQLite", 0)


def test_p99_lies_in_the_bucket_of_the_slowest_hundredth() -> None:
    assert figures(page(10), page(110))["p99_ms"] == 9.9
    assert 10 < figures(page(10), page(110, slow=5))["p99_ms"] < 100
    assert figures(page(10), page(110, slow=5))["p99_ms"] == 82.0


def test_the_last_bound_stands_for_all_that_is_slower() -> None:
    slow = read('http_request_duration_seconds_bucket{le="10.0",route="/orders"} 0.0\nhttp_request_duration_seconds_bucket{le="+Inf",route="/orders"} 5.0\n', 2)  # fmt: skip
    assert figures(Reading(1, {}), slow)["p99_ms"] == 10_000


def test_says_nothing_where_there_is_one_reading_or_a_restart() -> None:
    after = page(30, start="process_start_time_seconds 200.0\n")
    assert restarted(page(10), after)
    assert not restarted(page(10), page(30))
    for said in (figures(None, page(30)), figures(page(10), after), figures(page(10), page(10))):
        assert (said["rate"], said["p99_ms"], said["writes_per_commit"]) == (None, None, None)
        assert said["queue"] == 7
    assert figures(page(10), page(30))["p99_ms"] is not None


def test_look_ups_are_told_for_each_dependency() -> None:
    def looked(ok: int, at: int, is_open: int = 0) -> Reading:
        return page(
            at,
            more=f"""lookup_attempts_total{{dependency="users",outcome="ok"}} {ok}.0
lookup_attempts_total{{dependency="users",outcome="failed"}} 0.0
lookup_attempts_total{{dependency="products",outcome="failed"}} {ok}.0
lookup_circuit_open{{dependency="products"}} {is_open}.0
lookup_round_requests_count {ok}.0
lookup_round_requests_sum {3 * ok}.0
""",
        )

    said = links(looked(0, 10), looked(40, 20, is_open=1), ("users", "products"))
    assert said["users"] == {"lookups": 4.0, "failed": 0.0, "orders_each": 3.0, "circuit": None}
    assert said["products"] == {"lookups": 4.0, "failed": 4.0, "orders_each": 3.0, "circuit": "open"}
    assert links(page(1), page(2), ("users",)) == {}


def test_replicas_are_added_up_and_one_that_cannot_write_is_told() -> None:
    def both(at: int, writable: int = 1) -> Reading:
        return together([page(at, more="storage_writable 1.0\n"), page(at, more=f"storage_writable {writable}.0\n")])

    said = figures(both(10), both(20))
    assert (said["rate"], said["queue"], said["memory_mb"], said["writable"]) == (2.0, 14, 130.0, True)
    assert figures(both(10), both(20, writable=0))["writable"] is False
    assert restarted(page(10), both(20))
