"""The whole load generator as a process, against services in memory."""

import fcntl
import json
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

from loadgen.scenario import load
from loadgen.traffic import KINDS

from ..fleet import free_port, wait_until
from .fake import running

ARGUMENTS = ("--headless", "--writes", "300", "-u", "8", "-r", "8")
TIMEOUT_S = 60


def start(urls: dict[str, str], directory: Path, *arguments: str) -> subprocess.Popen[str]:
    env = os.environ | {"REPORT_DIR": str(directory), "READY_TIMEOUT": "1"} | urls
    command = [sys.executable, "-m", "loadgen", *arguments]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    return process.returncode, out, err


def only_report(directory: Path) -> dict[str, Any]:
    (path,) = directory.glob("report-*.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_sound_services_pass_after_exactly_that_many_writes(tmp_path: Path) -> None:
    with running() as urls:
        status, out, err = finish(start(urls, tmp_path, *ARGUMENTS))
    assert (status, err) == (0, ""), out
    *_, verdict, page, path = out.splitlines()
    assert verdict.startswith("PASS: 333 writes attempted")
    report = only_report(tmp_path)
    assert path == f"Report: {tmp_path}/report-{report['run']}.json"
    assert page == f"Report to look at: {path.removeprefix('Report: ').replace('.json', '.html')}"
    assert report["load"]["writes"] == 300
    assert sum(service["attempted"] for service in report["services"].values()) == 300 + 33


def test_answers_that_are_lost_on_the_way_do_not_make_it_fail(tmp_path: Path) -> None:
    with running("drop_answers") as urls:
        status, out, _ = finish(start(urls, tmp_path, *ARGUMENTS))
    assert status == 0, out


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("lose", "acknowledged but missing"),
        ("forget_keys", "duplicated"),
        ("ignore_if_match", "update lost"),
        ("compare_case", "equal e-mails"),
    ],
)
def test_a_fault_fails_in_its_line(tmp_path: Path, fault: str, name: str) -> None:
    with running(fault) as urls:
        status, out, _ = finish(start(urls, tmp_path, *ARGUMENTS))
    assert status == 1, out
    counts = {invariant["name"]: invariant["count"] for invariant in only_report(tmp_path)["invariants"]}
    assert counts[name] > 0
    assert "FAIL: " in out


def test_services_that_serve_nothing_get_no_verdict(tmp_path: Path) -> None:
    with running("refuse_all") as urls:
        status, out, _ = finish(start(urls, tmp_path, *ARGUMENTS))
    assert status == 2
    assert "NO VERDICT: the first write to users was not acknowledged" in out


def test_with_nothing_listening_it_says_so_in_one_line(tmp_path: Path) -> None:
    urls = {"USERS_URL": f"http://127.0.0.1:{free_port()}"}
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
def test_what_cannot_be_used_is_named_in_one_line(
    tmp_path: Path, env: dict[str, str], arguments: tuple[str, ...], named: str
) -> None:
    status, out, err = finish(start(env, tmp_path, "--headless", *arguments))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert named in err


def test_the_help_names_our_option_among_those_of_locust(tmp_path: Path) -> None:
    status, out, err = finish(start({}, tmp_path, "--help"))
    assert (status, err) == (0, "")
    assert "--writes" in out
    assert "--headless" in out


@pytest.mark.parametrize("name", ["contention", "write-heavy"])
def test_a_scenario_says_what_is_done(tmp_path: Path, name: str) -> None:
    with running() as urls:
        status, out, _ = finish(start(urls, tmp_path, *ARGUMENTS, "--scenario", name))
    assert status == 0, out
    report = only_report(tmp_path)
    assert report["settings"]["scenario"] == name
    done = {latency["action"] for latency in report["latencies_ms"]}
    assert done - {"read_version"} == set(load(name, KINDS).actions)


def on_terminal(command: list[str], env: dict[str, str], interrupt_at: bytes = b"") -> tuple[int, str]:
    """Exit status and output of a command whose output is a terminal of 100 columns."""
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
def test_a_terminal_shows_the_run_as_it_goes_and_is_given_back(tmp_path: Path, interrupt_at: bytes) -> None:
    with running() as urls:
        env = os.environ | urls | {"REPORT_DIR": str(tmp_path), "TERM": "xterm-256color"}
        command = [sys.executable, "-m", "loadgen", "--headless", "--writes", "3000", "-u", "8", "-r", "8"]
        status, shown = on_terminal(command, env, interrupt_at)
    assert status == 0, shown
    assert " of 3,000 writes" in shown
    assert "unknown or in flight" in shown
    assert "PASS: " in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back


def test_an_open_load_keeps_its_rate(tmp_path: Path) -> None:
    with running() as urls:
        status, out, _ = finish(start(urls, tmp_path, *ARGUMENTS, "--rate", "100"))
    assert status == 0, out
    load = only_report(tmp_path)["load"]
    assert (load["kind"], load["rate"], load["writes"]) == ("open", 100, 300)
    assert 0.9 < load["share_of_rate"] < 1.1
    assert "Open load: 100 requests/s were due" in out


def test_a_run_time_ends_the_run_instead_of_a_number_of_writes(tmp_path: Path) -> None:
    with running() as urls:
        status, out, _ = finish(start(urls, tmp_path, "--headless", "-u", "8", "-r", "8", "--run-time", "2s"))
    assert status == 0, out
    assert "without a limit of writes" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_is_judged_by_what_it_did(tmp_path: Path, number: signal.Signals) -> None:
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
        # The page's field for --writes, once emptied and once filled.
        form = {"user_count": "4", "spawn_rate": "4", "host": ""}
        assert requests.post(f"{page}/swarm", data=form | {"writes": ""}, timeout=5).json()["success"]
        wait_until(lambda: requests.get(f"{page}/audit/state", timeout=5).json()["writes"]["attempted"])
        assert requests.get(f"{page}/audit/state", timeout=5).json()["writes"]["of"] == 10_000
        assert requests.post(f"{page}/stop", timeout=20).json()["success"]
        second = wait_until(lambda: judged(first["run"]))
        assert requests.post(f"{page}/swarm", data=form | {"writes": "200"}, timeout=5).json()["success"]
        third = wait_until(lambda: judged(second["run"]))
        assert third["report"]["summary"].startswith("PASS: 233")
        process.send_signal(signal.SIGINT)
        status, _, _ = finish(process)
    assert status == 0
    assert len(list(tmp_path.glob("ledger-*.jsonl"))) == 3
