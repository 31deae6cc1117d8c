"""What the README and the API page show is what real services answer."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import requests

from testbed import Fleet

from .pages import ROOT, blocks, text

(CALLS,) = [block for block in blocks(ROOT / "README.md", "sh") if "curl" in block]
SHELLS = [shell for shell in ("bash", "dash", "zsh") if shutil.which(shell)]


def pasted(calls: str, fleet: Fleet, shell: str = "bash") -> str:
    """The standard output of `calls` in a shell, with the ports of `fleet`."""
    for port, process in ((8001, fleet.users), (8002, fleet.products), (8003, fleet.orders)):
        calls = calls.replace(f"localhost:{port}", f"localhost:{process.port}")
    done = subprocess.run([shell], input=calls, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def shape(value: Any) -> Any:
    """A JSON value without its content: the members and their types."""
    return {name: shape(member) for name, member in value.items()} if isinstance(value, dict) else type(value)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_calls_work_on_a_system_that_is_in_use(fleet: Fleet, shell: str) -> None:
    first, second = (json.loads(pasted(CALLS, fleet, shell)) for _ in range(2))
    assert second["id"] != first["id"]
    assert second["user"]["id"] == second["user_id"] != first["user_id"]
    assert second["product"]["id"] == second["product_id"] != first["product_id"]


def test_the_shown_order_looks_like_a_real_one(fleet: Fleet) -> None:
    shown = json.loads(blocks(ROOT / "README.md", "json")[0])
    real = json.loads(pasted(CALLS, fleet))
    assert shape(shown) == shape(real)
    assert [shown[field] for field in ("product_name", "unit_price", "total")] == ["Tea", "19.99", "39.98"]


def test_the_third_call_sent_again_makes_no_second_order(fleet: Fleet) -> None:
    (third,) = re.findall(r"^order=.*?(?=\n\n)", CALLS, re.MULTILINE | re.DOTALL)
    first, again = (
        pasted(f'{CALLS}\n\nfirst=$order\n{third}\nprintf "\\n$first $order"', fleet).splitlines()[-1].split()
    )
    assert first == again


def test_the_shown_problem_looks_like_a_real_one(fleet: Fleet) -> None:
    shown = json.loads(blocks(ROOT / "docs/api.md", "json")[0])
    user = requests.post(
        f"{fleet.users.url}/users", json={"name": "Ada", "email": "problem@example.com"}, timeout=5
    ).json()
    body = {"user_id": user["id"], "product_id": 999999, "quantity": 2}
    real = requests.post(f"{fleet.orders.url}/orders", json=body, timeout=5).json()
    assert real | {"request_id": shown["request_id"]} == shown


def test_the_chart_and_the_screenshot_are_shown() -> None:
    shown = re.findall(r"!\[[^\]]+\]\((\S+)\)", text(ROOT / "README.md"))
    assert "bench/results/peers.svg" in shown
    assert any(picture.startswith("docs/images/") for picture in shown)
