"""`make` sets `.venv` up again where it does not work here, and only there, and removes nothing that is not its own."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTING_UP = "Setting up .venv"


def set_up(directory: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", "setup", *arguments],
        cwd=directory, env=os.environ | env, capture_output=True, text=True, timeout=200,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that locks nothing, set up."""
    directory = tmp_path_factory.mktemp("made") / "checkout"
    (directory / "tools").mkdir(parents=True)
    (directory / "requirements").mkdir()
    (directory / "requirements/dev.txt").write_text("# nothing\n")
    shutil.copy(ROOT / "Makefile", directory)
    shutil.copy(ROOT / "tools/environment.py", directory / "tools")
    done = set_up(directory)
    assert (done.returncode, SETTING_UP in done.stdout) == (0, True), done.stderr
    return directory


@pytest.fixture
def checkout(made: Path) -> Path:
    """The same, with `.venv` as it was set up, whatever a test did before."""
    saved = made.parent / "saved"
    if not saved.exists():
        shutil.copytree(made / ".venv", saved, symlinks=True)
    if (made / ".venv").is_symlink():
        (made / ".venv").unlink()
    shutil.rmtree(made / ".venv", ignore_errors=True)
    shutil.copytree(saved, made / ".venv", symlinks=True)
    (made / "requirements/dev.txt").write_text("# nothing\n")
    return made


def stamp(checkout: Path, **changes: object) -> None:
    file = checkout / ".venv/.ready"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def assert_sets_up_again(checkout: Path) -> None:
    done = set_up(checkout)
    assert (done.returncode, SETTING_UP in done.stdout) == (0, True), done.stderr
    done = set_up(checkout)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_does_nothing_where_it_is_set_up(checkout: Path) -> None:
    done = set_up(checkout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_sets_up_again_where_the_checkout_was_copied(checkout: Path) -> None:
    copy = checkout.parent / "copy"
    shutil.copytree(checkout, copy, symlinks=True)
    assert_sets_up_again(copy)
    assert set_up(checkout).stdout == ""  # the first one is left as it was
    script = (copy / ".venv/bin/pip").read_text().splitlines()[0]
    assert str(copy) in script


def test_sets_up_again_where_the_interpreter_is_gone(checkout: Path) -> None:
    for name in ("python", "python3"):
        (checkout / ".venv/bin" / name).unlink()
    (checkout / ".venv/bin/python").symlink_to("/nowhere/python3")
    assert_sets_up_again(checkout)


def works(checkout: Path) -> bool:
    """Return True when `make` would use `.venv` as it is."""
    command = [".venv/bin/python", "-I", "tools/environment.py", "check"]
    return subprocess.run(command, cwd=checkout, capture_output=True).returncode == 0


def test_a_changed_lock_is_set_up_anew(checkout: Path) -> None:
    assert works(checkout)
    (checkout / "requirements/dev.txt").write_text("# nothing yet\n")
    assert not works(checkout)


def test_an_upgraded_python_is_set_up_anew(checkout: Path) -> None:
    stamp(checkout, version="3.11.0 (main)")
    assert not works(checkout)


def test_a_python_from_elsewhere_is_set_up_anew(checkout: Path) -> None:
    stamp(checkout, interpreter="/usr/bin/python3.11")
    assert not works(checkout)


def test_a_lost_package_is_set_up_anew(checkout: Path) -> None:
    shutil.rmtree(next(checkout.glob(".venv/lib/python*/site-packages/pip-*.dist-info")))
    assert not works(checkout)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null"])
def test_a_stamp_alone_is_not_set_up(checkout: Path, text: str) -> None:
    (checkout / ".venv/.ready").write_text(text)
    assert not works(checkout)


def test_does_not_clear_what_a_link_leads_to(checkout: Path) -> None:
    kept = checkout.parent / "kept"
    kept.mkdir()
    (kept / "thesis").write_text("the only copy")
    shutil.rmtree(checkout / ".venv")
    (checkout / ".venv").symlink_to(kept)
    done = set_up(checkout)
    assert done.returncode == 2
    assert done.stderr.startswith(f".venv is a symbolic link to {kept} and is not set up for this directory.")
    assert (kept / "thesis").read_text() == "the only copy"


def test_the_python_that_is_asked_for_is_taken(checkout: Path) -> None:
    assert set_up(checkout, f"PYTHON={sys.executable}").stdout == ""
    done = set_up(checkout, "PYTHON=/bin/false")
    assert done.returncode == 2
    assert "Threefold needs Python 3.11 or newer; '/bin/false' is" in done.stderr
    assert set_up(checkout).stdout == ""  # and what there was is still there


def test_a_failed_installation_is_not_set_up_and_says_why(checkout: Path) -> None:
    (checkout / "requirements/dev.txt").write_text("no-such-package-of-threefold==1 --hash=sha256:" + "0" * 64 + "\n")
    done = set_up(checkout, PIP_NO_INDEX="1")
    assert done.returncode == 2
    assert "No matching distribution found for no-such-package-of-threefold==1" in done.stderr
    assert not (checkout / ".venv/.ready").exists()


def test_says_that_another_make_sets_it_up_and_ends_quietly_at_ctrl_c(checkout: Path) -> None:
    (checkout / ".venv/.ready").unlink()
    with (checkout / "requirements/dev.txt").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, "-I", "tools/environment.py", "make"]
        with subprocess.Popen(
            command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as waiting:
            assert waiting.stdout is not None
            assert "Another make is setting up .venv" in waiting.stdout.readline()
            waiting.send_signal(signal.SIGINT)
            _, errors = waiting.communicate(timeout=30)
    assert (waiting.returncode, errors) == (130, "")
