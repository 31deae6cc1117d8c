from loadgen.traffic.scenario import steady
from loadgen.traffic.workload import Budget, Workload


def test_a_budget_is_used_to_the_last_write_and_no_further() -> None:
    budget = Budget(10)
    assert [budget.take(4), budget.take(4)] == [4, 4]
    assert not budget.exhausted.is_set()
    assert [budget.take(4), budget.take(4), budget.take()] == [2, 0, 0]
    assert budget.exhausted.is_set()
    assert budget.taken == 10


def test_a_budget_without_a_limit_has_no_end() -> None:
    budget = Budget(None)
    assert budget.take(1_000_000) == 1_000_000
    assert not budget.exhausted.is_set()


def test_gives_out_every_kind_of_action_once(workload: Workload) -> None:
    kinds = list(steady().actions)
    assert sorted(filter(None, (workload.unused_kind() for _ in kinds))) == sorted(kinds)
    assert workload.unused_kind() is None


def test_every_write_has_its_own_key(workload: Workload) -> None:
    assert len({workload.write_op("users", "create_user", {}).key for _ in range(100)}) == 100


def test_tells_writes_in_flight_from_those_without_an_answer(workload: Workload) -> None:
    for in_flight in (True, False, False):
        op = workload.write_op("orders", "batch_orders", {"items": [{}, {}]}, ["ok", "ok"])
        workload.attempted(op)
        op.in_flight, op.doubt = int(in_flight), None if in_flight else 7
        workload.update(op)
    tally = workload.count_open()["orders"]
    assert (tally.attempted, tally.in_flight, tally.unanswered) == (6, 2, 4)
