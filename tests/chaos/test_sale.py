"""The sums of a sale under kills."""

from chaos.databases.stock import Stock
from chaos.sale.__main__ import units


def test_adds_up_the_units_of_all_products() -> None:
    stock = Stock(
        ordered={"a.1": (4, 2), "a.2": (5, 1)},
        sold={"a.1": (4, 2)},
        reserved={"a.2": (5, 1)},
        left={4: 8, 5: 6},
    )
    assert units({4: 10, 5: 7}, stock) == {
        "units_supplied": 17,
        "units_sold": 2,
        "units_ordered": 3,
        "units_reserved": 1,
        "units_left": 14,
    }
