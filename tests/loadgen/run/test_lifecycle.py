"""How a run ends when somebody asks twice, or at a bad moment. In processes of their own: Locust patches all of Python."""

import subprocess
import sys
from pathlib import Path

from testbed import ROOT

# A run whose virtual users are being stopped.
BEGIN = """
import sys
from pathlib import Path
from types import SimpleNamespace

import gevent
from locust.runners import STATE_CLEANUP, STATE_STOPPED

from loadgen.run.lifecycle import Lifecycle
from loadgen.run.state import Run
from loadgen.settings import Settings
from loadgen.traffic.actions import KINDS
from loadgen.traffic.scenario import load

runner = SimpleNamespace(state=STATE_CLEANUP, stop=lambda: None)
environment = SimpleNamespace(runner=runner, web_ui=object(), process_exit_code=None)
lifecycle = Lifecycle(environment, Settings.from_env(), load("steady", KINDS), lambda: None)
lifecycle.run = Run(Path(sys.argv[1]), None)
lifecycle._release()
"""
SIGNAL = """
def judge():
    gevent.sleep(0.05)
    print("judged")

def stopped():
    runner.state = STATE_STOPPED
    gevent.sleep(0.1)  # as a master waits between the two
    lifecycle._stopping = False
    lifecycle._judging = gevent.spawn(judge)

gevent.spawn_later(0.1, stopped)
lifecycle._quit()
print("over")
"""
GIVEN_UP = """
lifecycle._abandon("Interrupted again: no verdict.")
lifecycle.sender = object()
lifecycle._end()
print(lifecycle.run.load_ended, lifecycle._judging, environment.process_exit_code)
"""


def printed(script: str, directory: Path) -> str:
    command = [sys.executable, "-c", BEGIN + script, str(directory)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout


def test_a_signal_while_virtual_users_are_being_stopped_waits_for_the_verdict(tmp_path: Path) -> None:
    assert printed(SIGNAL, tmp_path) == "judged\nover\n"


def test_a_run_that_was_given_up_is_not_judged(tmp_path: Path) -> None:
    assert printed(GIVEN_UP, tmp_path) == "Interrupted again: no verdict.\nNone None 2\n"
