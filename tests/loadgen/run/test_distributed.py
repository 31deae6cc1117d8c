"""A master and workers as processes on this machine, against services in memory."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, expect

from testbed import free_port, wait_until

from ..browser import browser  # noqa: F401 - a fixture
from ..fake import running
from ..process import finish, only_report, start

WORKERS = 2
USERS = ("-u", "8", "-r", "8")


class Cluster:
    """A master and its workers, each with its own directory of reports."""

    def __init__(self, urls: dict[str, str], directory: Path, *options: str, workers: int = WORKERS) -> None:
        self.urls, self.directory, self.port = urls, directory, str(free_port())
        bind = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", self.port)
        wanted = ("--expect-workers", str(workers or 1))
        self.master = start(urls, directory / "master", *bind, *wanted, *USERS, *options)
        self.workers = [self.add(number) for number in range(1, workers + 1)]

    def add(self, number: int) -> subprocess.Popen[str]:
        options = ("--worker", "--master-host", "127.0.0.1", "--master-port", self.port)
        return start(self.urls, self.directory / str(number), *options)

    def report(self) -> dict[str, Any]:
        return only_report(self.directory / "master")

    def under_way(self, number: int, size: int = 100_000) -> None:
        """Wait until the ledger of a worker has `size` bytes."""
        directory = self.directory / str(number)
        ledger = wait_until(lambda: next(directory.glob("ledger-*.jsonl"), None), what="a ledger")
        wait_until(lambda: ledger.stat().st_size > size, what="a load")

    def end(self) -> tuple[int, list[int], str]:
        """Return the exit status of the master, those of the workers, and the output of the master."""
        status, out, err = finish(self.master)
        return status, [finish(worker)[0] for worker in self.workers], out + err


@contextmanager
def cluster(directory: Path, *options: str, fault: str | None = None, workers: int = WORKERS) -> Iterator[Cluster]:
    with running(fault) as urls:
        made = Cluster(urls, directory, *options, workers=workers)
        try:
            yield made
        finally:
            for process in (made.master, *made.workers):
                process.kill()
                process.communicate()


def named(report: dict[str, Any], pid: int) -> dict[str, Any]:
    """Return the part of a report on the worker with that process id."""
    (found,) = (each for each in report["workers"] if f"(pid {pid})" in each["worker"])
    return found  # type: ignore[no-any-return]


def test_workers_make_exactly_the_given_writes_and_the_master_adds_up(tmp_path: Path) -> None:
    with cluster(tmp_path, "--headless", "--writes", "901", workers=3) as three:
        status, others, out = three.end()
    assert (status, others) == (0, [0, 0, 0]), out
    report = three.report()
    assert report["load"]["writes"] == 901
    assert sorted(each["writes"]["of"] for each in report["workers"]) == [300, 300, 301]
    parts = [only_report(tmp_path / str(number)) for number in (1, 2, 3)]
    assert len({part["run"] for part in (*parts, report)}) == 4
    for service, counts in report["services"].items():
        for name, count in counts.items():
            assert count == sum(part["services"][service][name] for part in parts), (service, name)
    attempted = 901 + 3 * 33
    assert out.splitlines()[-1].startswith(
        f"PASS: {attempted:,} writes attempted (901 of the load + 99 of the sample data), "
    )
    requests_ = sum(part["load"]["requests"] for part in parts)
    assert report["load"]["requests"] == requests_ == sum(each["requests"] for each in report["latencies_ms"])
    assert requests_ == sum(sum(part["timeline"]["requests"]) for part in parts)
    assert requests_ == sum(report["timeline"]["requests"])
    assert [each["worker"].split(" on ")[0] for each in report["workers"]] == ["worker 1", "worker 2", "worker 3"]
    assert [each["process"] for each in report["costs"]][:4] == [
        "master",
        *(each["worker"] for each in report["workers"]),
    ]
    assert (tmp_path / "master" / f"report-{report['run']}.html").is_file()


def test_gives_no_verdict_and_names_a_killed_worker(tmp_path: Path) -> None:
    with cluster(tmp_path, "--headless", "--writes", "2000") as two:
        two.under_way(1)
        lost = two.workers[0]
        lost.kill()
        status, (_, other), out = two.end()
    assert (status, other) == (2, 0), out
    report = two.report()
    assert named(report, lost.pid)["verdict"] == 2
    assert named(report, two.workers[1].pid)["verdict"] == 0
    assert named(report, two.workers[1].pid)["writes"] == {"attempted": 1000, "of": 1000}
    assert re.search(rf"NO VERDICT: worker \d on \S+ \(pid {lost.pid}\) was lost: .* of its 1,000 writes", out)
    assert report["load"]["writes"] < 2000


def test_fails_if_one_worker_finds_a_violation(tmp_path: Path) -> None:
    with cluster(tmp_path, "--headless", "--writes", "600", fault="lose") as two:
        status, others, out = two.end()
    assert (status, max(others)) == (1, 1), out
    report = two.report()
    counts = {each["name"]: each["count"] for each in report["invariants"]}
    assert counts["acknowledged but missing"] == 1
    (guilty,) = (each for each in report["workers"] if each["verdict"] == 1)
    assert f"of run {guilty['run']}" in out


def test_ctrl_c_on_the_master_stops_and_audits_every_worker(tmp_path: Path) -> None:
    with cluster(tmp_path, "--headless", "--run-time", "1h", "--rate", "100") as two:
        two.under_way(1)
        two.under_way(2)
        two.master.send_signal(signal.SIGINT)
        status, others, out = two.end()
    assert (status, others) == (0, [0, 0]), out
    report = two.report()
    assert (report["load"]["kind"], report["load"]["rate"]) == ("open", 100)
    assert [only_report(tmp_path / number)["load"]["rate"] for number in "12"] == [50, 50]


def test_the_page_continues_without_a_lost_worker_and_the_next_run_uses_a_late_one(
    tmp_path: Path,
    browser: Browser,  # noqa: F811
) -> None:
    port = free_port()
    page = f"http://127.0.0.1:{port}"

    def state() -> Any:
        try:
            return requests.get(f"{page}/audit/state", timeout=5).json()
        except requests.ConnectionError:
            return {"phase": None}

    def judged(earlier: int) -> Any:
        return (now := state())["phase"] == "done" and len(now["earlier"]) == earlier and now

    def timeline(run: str) -> Any:
        figures = requests.get(f"{page}/timeline", {"run": run}, timeout=5).json()
        return figures["requests"] and figures

    def seen_by_locust() -> Any:
        return requests.get(f"{page}/locust/stats/requests", timeout=5).json()

    with cluster(tmp_path, "--web-host", "127.0.0.1", "--web-port", str(port), "--writes", "100000") as two:
        wait_until(lambda: all(each["phase"] == "load" for each in state().get("workers", [{"phase": ""}])))
        lost, third = two.workers[0], two.add(3)
        two.workers.append(third)
        wait_until(lambda: len(seen_by_locust()["workers"]) == 3, what="three workers")
        lost.kill()
        seen = state()["writes"]["attempted"]
        figures = wait_until(lambda: timeline(state()["run"]), what="figures of the workers' load so far")
        assert sum(figures["requests"]) > 0
        wait_until(lambda: state()["writes"]["attempted"] > seen, what="sums that grow")
        assert requests.post(f"{page}/locust/stop", timeout=60).json()["success"]
        first = wait_until(lambda: judged(0))
        assert (first["verdict"], len(first["workers"])) == (2, 2)
        assert named(first, lost.pid)["summary"].startswith("NO VERDICT")
        tab = browser.new_page(viewport={"width": 375, "height": 800})
        tab.goto(page)
        expect(tab.locator("#verdict.open")).to_contain_text("was lost")
        workers = tab.get_by_role("region", name="Workers").locator("tbody tr")
        expect(workers).to_have_count(2)
        expect(workers.filter(has_text=f"(pid {lost.pid})")).to_contain_text("NO VERDICT")
        expect(tab.locator("#charts figure")).to_have_count(3)
        assert tab.evaluate("document.documentElement.scrollWidth") == 375
        wait_until(lambda: seen_by_locust()["state"] == "stopped", what="a page that is ready for a run")
        form = {"user_count": "6", "spawn_rate": "6", "host": "", "writes": "901"}
        assert requests.post(f"{page}/locust/swarm", data=form, timeout=5).json()["success"]
        second = wait_until(lambda: judged(1))
        assert (second["verdict"], second["report"]["load"]["writes"]) == (0, 901)
        assert [named(second, each.pid)["writes"]["of"] for each in two.workers[1:]] == [451, 450]
        two.master.send_signal(signal.SIGINT)
        status, others, _ = two.end()
    assert (status, others) == (0, [-9, 0, 0])


def test_gives_no_verdict_if_no_worker_comes(tmp_path: Path) -> None:
    with cluster(tmp_path, "--headless", "--expect-workers-max-wait", "1", workers=0) as none:
        none.workers = []
        status, _, out = none.end()
    assert status == 2
    assert "0 of 1 workers came within 1 s" in out


def test_gives_no_verdict_if_the_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        bind = ("--master-bind-host", "127.0.0.1", "--master-bind-port", port)
        status, out, err = finish(start({}, tmp_path, "--headless", "--master", *bind))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "--master-bind-port" in err


def test_gives_no_verdict_if_interrupted_before_workers_came(tmp_path: Path) -> None:
    with cluster(tmp_path, "--headless", workers=0) as none:
        assert none.master.stdout is not None
        assert none.master.stdout.readline().startswith("Waiting for workers")
        none.master.send_signal(signal.SIGINT)
        status, out, err = finish(none.master)
    assert (status, out) == (2, "")
    assert err == "loadgen: Interrupted before the workers were there: no verdict.\n"


def test_starts_workers_on_one_machine_by_itself(tmp_path: Path) -> None:
    with running() as urls:
        number = str(free_port())
        port = ("--master-bind-port", number, "--master-port", number)
        env = os.environ | urls | {"REPORT_DIR": str(tmp_path)}
        command = [sys.executable, "-m", "loadgen", "--headless", "--processes", "2", "--writes", "600", *USERS, *port]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
