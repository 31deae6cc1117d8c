import json
from dataclasses import asdict
from pathlib import Path

import pytest

from loadgen.scenario import BadScenario, Scenario, load, shipped, steady
from loadgen.traffic import KINDS

WHOLE = "[actions]\ncreate_order = 1\n"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


@pytest.mark.parametrize("name", ["contention", "steady", "write-heavy"])
def test_those_that_are_shipped_can_be_used(name: str) -> None:
    assert name in shipped()
    scenario = load(name, KINDS)
    assert scenario.name == name
    assert set(scenario.actions) <= set(KINDS)


@pytest.mark.parametrize("name", ["contention", "steady", "write-heavy"])
def test_one_that_a_message_carried_is_the_same(name: str) -> None:
    scenario = load(name, KINDS)
    assert Scenario.from_plain(json.loads(json.dumps(asdict(scenario)))) == scenario


def test_the_base_does_everything() -> None:
    assert list(steady().actions) == list(KINDS)


def test_what_is_left_out_is_taken_from_the_base_but_for_the_actions(written: Path) -> None:
    written.write_text("think_time = [0.5, 1]\n[actions]\ncreate_order = 1\nbrowse = 0\n[hot]\nusers = 2\n")
    scenario = load(str(written), KINDS)
    assert (scenario.name, scenario.think_time, scenario.actions) == ("mine", (0.5, 1.0), {"create_order": 1})
    assert (scenario.hot_users, scenario.hot_products, scenario.users) == (2, 10, steady().users)


def test_a_small_sample_has_fewer_that_are_hot(written: Path) -> None:
    written.write_text(WHOLE + '[sample]\nproducts = [["Tea", "1.00"]]\n')
    assert load(str(written), KINDS).hot_products == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[actions", "TOML"),
        ("[actions]\nfly = 1", "actions.fly"),
        ("[actions]\ncreate_order = 0", "actions"),
        ("[actions]\ncreate_order = -1", "actions.create_order"),
        ("[actions]\ncreate_order = 1.5", "actions.create_order"),
        ("[actions]\ncreate_order = true", "actions.create_order"),
        ("actions = 5", "actions"),
        ("speed = 5\n" + WHOLE, "speed"),
        ("think_time = 1\n" + WHOLE, "think_time"),
        ("think_time = [2, 1]\n" + WHOLE, "think_time"),
        ("think_time = [-1, 1]\n" + WHOLE, "think_time"),
        ("think_time = [0, nan]\n" + WHOLE, "think_time"),
        (WHOLE + "[hot]\nuser_share = 1.1", "hot.user_share"),
        (WHOLE + "[hot]\nusers = 11", "hot.users"),
        (WHOLE + "[hot]\nshare = 1", "hot.share"),
        (WHOLE + "[sample]\nusers = []", "sample.users"),
        (WHOLE + '[sample]\nusers = [" "]', "sample.users"),
        (WHOLE + '[sample]\nusers = [" Ada"]', "sample.users"),
        (WHOLE + '[sample]\nproducts = ["Tea"]', "sample.products"),
        (WHOLE + '[sample]\nproducts = [["Tea", "1.00"], ["Tea", "2.00"]]', "sample.products"),
        (WHOLE + '[sample]\nproducts = [["Tea", "abc"]]', "sample.products"),
        (WHOLE + '[sample]\nproducts = [["Tea", "1.5"]]', "sample.products"),
        (WHOLE + '[sample]\nproducts = [["Tea", "1000000.01"]]', "sample.products"),
        (WHOLE + '[sample]\nproducts = [["Tea ", "1.00"]]', "sample.products"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_file(written: Path, text: str, named: str) -> None:
    written.write_text(text)
    with pytest.raises(BadScenario, match=r"mine\.toml") as refused:
        load(str(written), KINDS)
    assert named in str(refused.value)


def test_a_name_that_is_none_is_told_which_there_are() -> None:
    with pytest.raises(BadScenario, match="contention, steady, write-heavy"):
        load("stedy", KINDS)
