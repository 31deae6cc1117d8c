"""The circuit breaker."""

from orders_service.upstream.breaker import Breaker
from testbed import wait_until


def test_the_circuit_opens_after_three_failures_in_a_row() -> None:
    breaker = Breaker(3, cooldown=60)
    breaker.failed()
    breaker.failed()
    assert not breaker.is_open()
    breaker.succeeded()
    breaker.failed()
    breaker.failed()
    assert not breaker.is_open()
    breaker.failed()
    assert breaker.is_open()


def test_after_the_cooldown_a_failure_reopens_and_a_success_closes_the_circuit() -> None:
    breaker = Breaker(3, cooldown=0.5)
    for _ in range(3):
        breaker.failed()
    assert breaker.is_open()
    wait_until(lambda: not breaker.is_open(), what="the end of the cooldown")
    breaker.failed()
    assert breaker.is_open()
    wait_until(lambda: not breaker.is_open(), what="the end of the cooldown")
    breaker.succeeded()
    breaker.failed()
    assert not breaker.is_open()
