from pathlib import Path

import pytest

from loadgen import readback
from loadgen.readback import ReadBackFailed, read_back, rows
from loadgen.run import Run

from .conftest import Connect


def test_every_row_from_the_first_of_the_run_on_is_read(
    run: Run, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readback, "PAGE", 3)
    client = connect(None)
    for n in range(8):
        client.send(run.write_op("users", "create_user", {"name": "Ada", "email": f"ada{n}@example.com"}))
    client.send(run.write_op("products", "create_product", {"name": "Tea", "price": "1.00"}))
    run.first_ids = {"users": 2, "products": 1}
    read_back(run, client.http, tmp_path / "rows.jsonl")
    found = list(rows(tmp_path / "rows.jsonl"))
    assert [(service, row["id"]) for service, row in found] == [*(("users", n) for n in range(2, 9)), ("products", 1)]
    assert run.audited == 8


def test_ids_that_do_not_grow_cannot_be_read(run: Run, connect: Connect, tmp_path: Path) -> None:
    client = connect("repeat_pages")
    client.send(run.write_op("users", "create_user", {"name": "Ada", "email": "ada@example.com"}))
    with pytest.raises(ReadBackFailed, match="listed the id 1 after 1"):
        read_back(run, client.http, tmp_path / "rows.jsonl")


def test_a_service_that_does_not_answer_cannot_be_read(
    run: Run, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readback, "PAUSE_S", 0.0)
    with pytest.raises(ReadBackFailed, match="users did not answer"):
        read_back(run, connect("fail_all").http, tmp_path / "rows.jsonl")
