"""Worker processes that share a database, and their metrics."""

import os
import signal
from pathlib import Path

import requests
from prometheus_client.parser import text_string_to_metric_families

from testbed import Process, wait_until
from testbed.kernel import tree

ENOUGH = 40  # requests on connections of their own: each worker process gets some


def test_the_metrics_are_those_of_all_worker_processes(url: str, tmp_path: Path) -> None:
    def asked(path: str) -> str:
        return requests.get(f"{processes.url}{path}", timeout=10).text

    def counted(name: str, **labels: str) -> float:
        return sum(
            sample.value
            for family in text_string_to_metric_families(asked("/metrics"))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def requests_counted() -> float:
        return counted("http_requests_total", route="/users/<id>")

    env = {"DATABASE_URL": url, "WEB_CONCURRENCY": "3"}
    processes = Process("users", "users_service.app:create_app()", tmp_path, env).start()
    try:
        for number in range(ENOUGH):
            asked(f"/users/{number + 1}")
        seen = [requests_counted()]
        while seen[-1] < ENOUGH:
            seen.append(requests_counted())
        assert seen == sorted(seen)
        assert seen[-1] == ENOUGH
        assert [requests_counted() for _ in range(10)] == [ENOUGH] * 10
        assert counted("http_request_duration_seconds_count", route="/users/<id>") == ENOUGH
        assert counted("storage_engine_info") == counted("service_ready") == counted("service_build_info") == 1
        assert counted("write_queue_limit_jobs") == 1000
        memory, started = counted("process_resident_memory_bytes"), counted("process_start_time_seconds")
        assert memory > 3 * 20e6
        _, *workers = sorted(tree(processes.pid))
        os.kill(workers[0], signal.SIGKILL)
        assert wait_until(lambda: len(set(tree(processes.pid)) - {workers[0]}) == 1 + 3, what="another worker")
        assert requests_counted() == ENOUGH
        wait_until(lambda: counted("process_resident_memory_bytes") > 0.8 * memory, what="the new worker's memory")
        assert counted("process_resident_memory_bytes") < 1.2 * memory
        assert counted("process_start_time_seconds") < started + 60
        for number in range(ENOUGH):
            asked(f"/users/{number + 1}")
        wait_until(lambda: requests_counted() == 2 * ENOUGH, what="all requests")
    finally:
        shared = set(Path("/dev/shm").glob("metrics-*"))
        processes.stop()
    assert len(shared - set(Path("/dev/shm").glob("metrics-*"))) >= 1
