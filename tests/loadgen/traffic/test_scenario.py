import json
from dataclasses import asdict
from pathlib import Path

import pytest

from loadgen.traffic.actions import KINDS
from loadgen.traffic.scenario import BadScenario, Scenario, load, shipped, steady

WHOLE = "[actions]\ncreate_order = 1\n"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


@pytest.mark.parametrize("name", ["contention", "flash-sale", "steady", "write-heavy"])
def test_the_shipped_scenarios_can_be_used(name: str) -> None:
    assert name in shipped()
    scenario = load(name, KINDS)
    assert scenario.name == name
    assert set(scenario.actions) <= set(KINDS)


@pytest.mark.parametrize("name", ["contention", "flash-sale", "steady", "write-heavy"])
def test_a_scenario_survives_a_message(name: str) -> None:
    scenario = load(name, KINDS)
    assert Scenario.from_plain(json.loads(json.dumps(asdict(scenario)))) == scenario


def test_the_base_scenario_does_every_kind_of_action() -> None:
    assert list(steady().actions) == list(KINDS)


def test_takes_missing_values_from_the_base_except_actions(written: Path) -> None:
    written.write_text("think_time = [0.5, 1]\n[actions]\ncreate_order = 1\nbrowse = 0\n[hot]\nusers = 2\n")
    scenario = load(str(written), KINDS)
    assert (scenario.name, scenario.think_time, scenario.actions) == ("mine", (0.5, 1.0), {"create_order": 1})
    assert (scenario.hot_users, scenario.hot_products, scenario.users) == (2, 10, steady().users)


def test_a_small_sample_has_fewer_hot_rows(written: Path) -> None:
    written.write_text(WHOLE + '[sample]\nproducts = [["Tea", "1.00"]]\n')
    assert load(str(written), KINDS).hot_products == 1


def test_a_product_may_have_a_stock(written: Path) -> None:
    written.write_text(WHOLE + '[sample]\nproducts = [["Tea", "1.00"], ["Pen", "2.00", 5]]\n')
    assert load(str(written), KINDS).products == (("Tea", "1.00", None), ("Pen", "2.00", 5))


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
        (WHOLE + '[sample]\nproducts = [["Tea", "1.00", 5]]', "sample.products"),  # the first has no stock
        (WHOLE + '[sample]\nproducts = [["Tea", "1.00"], ["Pen", "2.00", 0]]', "sample.products"),
        (WHOLE + '[sample]\nproducts = [["Tea", "1.00"], ["Pen", "2.00", "5"]]', "sample.products"),
        (WHOLE + "[hot]\nlimited_share = 2", "hot.limited_share"),
        ('[actions]\nadd_stock = 1\n[sample]\nproducts = [["Tea", "1.00"]]', "actions.add_stock"),
    ],
)
def test_names_the_file_and_the_key_of_a_bad_scenario(written: Path, text: str, named: str) -> None:
    written.write_text(text)
    with pytest.raises(BadScenario, match=r"mine\.toml") as refused:
        load(str(written), KINDS)
    assert named in str(refused.value)


def test_lists_the_known_scenarios_for_an_unknown_name() -> None:
    with pytest.raises(BadScenario, match="contention, flash-sale, steady, write-heavy"):
        load("stedy", KINDS)
