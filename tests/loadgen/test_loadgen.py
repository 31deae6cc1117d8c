"""The whole load generator as a process, against services in memory."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from loadgen.audit.ledger import read
from loadgen.traffic.actions import KINDS
from loadgen.traffic.scenario import load
from testbed import free_port, wait_until

from .fake import running
from .process import ARGUMENTS, TIMEOUT_S, finish, only_report, start


def test_passes_sound_services_after_exactly_the_given_number_of_writes(tmp_path: Path) -> None:
    with running() as urls:
        status, out, err = finish(start(urls, tmp_path, *ARGUMENTS))
    assert (status, err) == (0, ""), out
    *_, page, path, verdict = out.splitlines()
    assert verdict.startswith("PASS: 333 writes attempted (300 of the load + 33 of the sample data), ")
    report = only_report(tmp_path)
    assert page == f"Report: {tmp_path}/report-{report['run']}.html"
    assert path == f"As JSON: {tmp_path}/report-{report['run']}.json"
    assert report["sample_writes"] == 33
    assert report["load"]["writes"] == 300
    assert sum(service["attempted"] for service in report["services"].values()) == 300 + 33


@pytest.mark.parametrize("fault", ["drop_answers", "early_answers", "hold_units"])
def test_lost_and_early_answers_are_no_violation(tmp_path: Path, fault: str) -> None:
    with running(fault) as urls:
        status, out, _ = finish(start(urls, tmp_path, *ARGUMENTS, "--writes", "1000"))
    assert status == 0, out


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("lose", "acknowledged but missing"),
        ("forget_keys", "duplicated"),
        ("forget_refusals", "replay that differed"),
        ("ignore_if_match", "update lost"),
        ("compare_case", "equal e-mails"),
        ("oversell", "oversold"),
        ("keep_reserved", "still reserved"),
    ],
)
def test_each_fault_violates_its_own_invariant(tmp_path: Path, fault: str, name: str) -> None:
    with running(fault) as urls:
        # In a steady run of 300 writes the orders of a limited product may add up to less than there is of it.
        scenario = ("--scenario", "flash-sale") if fault == "oversell" else ()
        status, out, _ = finish(start(urls, tmp_path, *ARGUMENTS, *scenario))
    assert status == 1, out
    counts = {invariant["name"]: invariant["count"] for invariant in only_report(tmp_path)["invariants"]}
    assert counts[name] > 0
    assert "FAIL: " in out


def test_gives_no_verdict_on_services_that_refuse_everything(tmp_path: Path) -> None:
    with running("refuse_all") as urls:
        status, out, _ = finish(start(urls, tmp_path, *ARGUMENTS))
    assert status == 2
    assert "NO VERDICT: the first write to users was not acknowledged (401 unauthorized)" in out


def test_names_a_service_that_does_not_listen_in_one_line(tmp_path: Path) -> None:
    urls = {"USERS_URL": f"http://127.0.0.1:{free_port()}", "READY_TIMEOUT": "1"}
    status, out, err = finish(start(urls, tmp_path, *ARGUMENTS))
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "users service" in err
    assert "USERS_URL" in err


@pytest.mark.parametrize(
    ("env", "arguments", "named"),
    [
        ({"ORDERS_URL": "orders"}, (), "ORDERS_URL"),
        ({"LOADGEN_WRITES": "many"}, (), "--writes"),
        ({}, ("--writes", "0"), "--writes"),
        ({}, ("--rate", "0"), "--rate"),
        ({"LOADGEN_RATE": "fast"}, (), "--rate"),
        ({}, ("--scenario", "stedy"), "stedy"),
        ({}, ("--nonsense",), "--nonsense"),
    ],
)
def test_names_a_bad_setting_or_option_in_one_line(
    tmp_path: Path, env: dict[str, str], arguments: tuple[str, ...], named: str
) -> None:
    status, out, err = finish(start(env, tmp_path, "--headless", *arguments))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert named in err


def test_the_help_begins_with_our_own_options(tmp_path: Path) -> None:
    status, out, err = finish(start({}, tmp_path, "--help"))
    assert (status, err) == (0, "")
    assert out.startswith("Usage: python -m loadgen [options]\n")
    headings = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings[0] == "Load generator options:"
    ours, theirs = out.index("--writes"), out.index("--headless", out.index("Common options:"))
    assert out.index("Load generator options:") < ours < out.index("Common options:") < theirs
    assert "locust [options]" not in out


@pytest.mark.parametrize("name", ["contention", "flash-sale", "write-heavy"])
def test_does_the_actions_of_a_scenario(tmp_path: Path, name: str) -> None:
    with running() as urls:
        status, out, _ = finish(start(urls, tmp_path, *ARGUMENTS, "--scenario", name))
    assert status == 0, out
    report = only_report(tmp_path)
    assert report["settings"]["scenario"] == name
    done = {latency["action"] for latency in report["latencies_ms"]}
    assert done - {"read_version"} == set(load(name, KINDS).actions)


def on_terminal(command: list[str], env: dict[str, str], interrupt_at: bytes = b"") -> tuple[int, str]:
    """Run a command on a terminal of 100 columns; return its exit status and output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen(command, env=env, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the terminal ends with its last process
        while piece := os.read(ours, 1 << 16):
            shown += piece
            if interrupt_at and interrupt_at in shown:
                process.send_signal(signal.SIGINT)
                interrupt_at = b""
    os.close(ours)
    return process.wait(TIMEOUT_S), shown.decode()


@pytest.mark.parametrize("interrupt_at", [b"", b" of 3,000 writes"], ids=["to its end", "interrupted"])
def test_shows_the_run_on_a_terminal_and_restores_it(tmp_path: Path, interrupt_at: bytes) -> None:
    with running() as urls:
        env = os.environ | urls | {"REPORT_DIR": str(tmp_path), "TERM": "xterm-256color"}
        command = [sys.executable, "-m", "loadgen", "--headless", "--writes", "3000", "-u", "8", "-r", "8"]
        status, shown = on_terminal(command, env, interrupt_at)
    assert status == 0, shown
    assert " of 3,000 writes" in shown
    assert "in flight" in shown
    assert "PASS: " in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back


def test_statistics_that_are_reset_do_not_change_the_report(tmp_path: Path) -> None:
    with running() as urls:
        slow = ("--headless", "--writes", "300", "-u", "8", "-r", "8", "--rate", "150", "--reset-stats")
        process = start(urls | {"LOCUST_AUTOSTART": "true"}, tmp_path, *slow)
        status, out, _ = finish(process)
    assert status == 0, out
    report = only_report(tmp_path)
    sent = [
        line for line in ledger_of(tmp_path) if line["event"] == "sent" and line["action"] not in ("sample", "settle")
    ]
    assert report["load"]["requests"] == len(sent) == sum(each["requests"] for each in report["latencies_ms"])
    assert sum(report["timeline"]["requests"]) == len(sent)


def ledger_of(directory: Path) -> list[dict[str, Any]]:
    """Return the lines of the only ledger in `directory`."""
    (path,) = directory.glob("ledger-*.jsonl")
    return list(read(path))


@pytest.mark.parametrize("variable", [{}, {"NO_COLOR": "1"}])
def test_a_terminal_has_colours_unless_they_are_not_wanted(tmp_path: Path, variable: dict[str, str]) -> None:
    with running() as urls:
        env = os.environ | urls | {"REPORT_DIR": str(tmp_path), "TERM": "xterm-256color"} | variable
        command = [sys.executable, "-m", "loadgen", *ARGUMENTS]
        status, shown = on_terminal(command, env)
    assert status == 0, shown
    last = shown.rstrip().splitlines()[-1]
    assert "PASS: 333" in last
    assert ("\x1b[1;32m" in last) == (not variable)


def test_prints_paths_as_the_user_knows_them(tmp_path: Path) -> None:
    with running() as urls:
        status, out, _ = finish(
            start(urls | {"REPORT_HINT": "reports", "REPORT_COPY": "cp here ."}, tmp_path, *ARGUMENTS)
        )
    assert status == 0, out
    mark = only_report(tmp_path)["run"]
    assert out.splitlines()[-3:-1] == [f"Report: reports/report-{mark}.html", f"As JSON: reports/report-{mark}.json"]
    assert f"ledger reports/ledger-{mark}.jsonl" in out
    assert "Copy the reports out of the container: cp here .\nReport: " in out


def test_an_open_load_keeps_its_rate(tmp_path: Path) -> None:
    with running() as urls:
        status, out, _ = finish(start(urls, tmp_path, *ARGUMENTS, "--rate", "100"))
    assert status == 0, out
    load = only_report(tmp_path)["load"]
    assert (load["kind"], load["rate"], load["writes"]) == ("open", 100, 300)
    assert 0.9 < load["share_of_rate"] < 1.1
    assert "Open load: 100 requests/s were scheduled" in out


def test_a_run_time_replaces_the_number_of_writes(tmp_path: Path) -> None:
    with running() as urls:
        status, out, _ = finish(start(urls, tmp_path, "--headless", "-u", "8", "-r", "8", "--run-time", "2s"))
    assert status == 0, out
    assert "any number of writes" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_judges_the_writes_of_a_run_that_was_stopped(tmp_path: Path, number: signal.Signals) -> None:
    with running() as urls:
        process = start(urls, tmp_path, "--headless", "--writes", "1000000", "-u", "8", "-r", "8")
        ledger = wait_until(lambda: next(tmp_path.glob("ledger-*.jsonl"), None))
        wait_until(lambda: ledger.stat().st_size > 400_000)
        process.send_signal(number)
        status, out, _ = finish(process)
    assert status == 0, out
    assert "PASS: " in out


def test_the_page_shows_the_run_and_starts_another(tmp_path: Path) -> None:
    port = free_port()
    page = f"http://127.0.0.1:{port}"

    def judged(other_than: str = "") -> Any:
        try:
            state = requests.get(f"{page}/audit/state", timeout=5).json()
        except requests.ConnectionError:
            return None
        return state if state["phase"] == "done" and state["run"] != other_than else None

    with running() as urls:
        process = start(urls, tmp_path, "--web-host", "127.0.0.1", "--web-port", str(port), *ARGUMENTS[1:])
        first = wait_until(judged)
        assert first["report"]["summary"].startswith("PASS: 333")
        # The page's field for --writes, first empty and then filled in.
        form = {"user_count": "4", "spawn_rate": "4", "host": ""}
        assert requests.post(f"{page}/locust/swarm", data=form | {"writes": ""}, timeout=5).json()["success"]
        wait_until(lambda: requests.get(f"{page}/audit/state", timeout=5).json()["writes"]["attempted"])
        assert requests.get(f"{page}/audit/state", timeout=5).json()["writes"]["of"] == 10_000
        assert requests.post(f"{page}/locust/stop", timeout=20).json()["success"]
        second = wait_until(lambda: judged(first["run"]))
        assert requests.post(f"{page}/locust/swarm", data=form | {"writes": "200"}, timeout=5).json()["success"]
        third = wait_until(lambda: judged(second["run"]))
        assert third["report"]["summary"].startswith("PASS: 233")
        process.send_signal(signal.SIGINT)
        status, _, _ = finish(process)
    assert status == 0
    assert len(list(tmp_path.glob("ledger-*.jsonl"))) == 3
