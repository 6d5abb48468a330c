"""The circuit breaker, with a clock that the test turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.upstream.breaker import Breaker, State


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock, failures_in_a_row=3, window=10, open_seconds=2.0, longest_seconds=8.0)


def trip(breaker: Breaker) -> None:
    for _ in range(3):
        breaker.fail()


def test_it_opens_after_so_many_failures_in_a_row(breaker: Breaker) -> None:
    breaker.fail()
    breaker.fail()
    assert breaker.allows()
    breaker.fail()
    assert not breaker.allows()
    assert breaker.state is State.OPEN
    assert breaker.wait_seconds == 2.0


def test_a_success_between_failures_starts_the_row_anew(breaker: Breaker) -> None:
    for _ in range(3):
        breaker.succeed()
        breaker.fail()
        breaker.fail()
    assert breaker.state is State.CLOSED


def test_half_of_a_full_window_failing_opens_it(breaker: Breaker) -> None:
    for _ in range(5):
        breaker.succeed()
        breaker.fail()
    assert breaker.state is State.OPEN


def test_doubtful_failures_count_in_the_share_and_not_in_the_row(breaker: Breaker) -> None:
    for _ in range(9):
        breaker.fail(doubtful=True)
    assert breaker.state is State.CLOSED
    breaker.fail(doubtful=True)
    assert breaker.state is State.OPEN


def test_one_probe_goes_through_when_its_time_has_come(breaker: Breaker, clock: Clock) -> None:
    trip(breaker)
    clock.seconds += 1.9
    assert not breaker.allows()
    clock.seconds += 0.2
    assert breaker.state is State.HALF_OPEN
    assert breaker.allows()
    assert breaker.begin() is True
    assert not breaker.allows()


def test_the_probes_success_closes_it(breaker: Breaker, clock: Clock) -> None:
    trip(breaker)
    clock.seconds += 3
    breaker.succeed(probe=breaker.begin())
    assert breaker.state is State.CLOSED
    assert breaker.begin() is False


def test_the_probes_failure_opens_it_for_twice_as_long_up_to_a_limit(
    breaker: Breaker, clock: Clock
) -> None:
    trip(breaker)
    waits = []
    for _ in range(4):
        clock.seconds += breaker.wait_seconds
        breaker.fail(probe=breaker.begin())
        waits.append(breaker.wait_seconds)
    assert waits == [4.0, 8.0, 8.0, 8.0]


def test_a_probe_that_was_cancelled_makes_room_for_another(breaker: Breaker, clock: Clock) -> None:
    trip(breaker)
    clock.seconds += 3
    breaker.give_up(probe=breaker.begin())
    assert breaker.allows()


def test_late_answers_of_older_requests_do_not_move_an_open_breaker(
    breaker: Breaker, clock: Clock
) -> None:
    trip(breaker)
    breaker.succeed()
    breaker.fail()
    assert breaker.state is State.OPEN
    assert breaker.wait_seconds == 2.0


@given(st.lists(st.sampled_from(["succeed", "fail", "tick"]), max_size=60))
def test_at_most_one_request_passes_while_it_is_not_closed(steps: list[str]) -> None:
    clock = Clock()
    breaker = Breaker(clock, failures_in_a_row=2, window=4)
    probing = False
    for step in steps:
        if step == "tick":
            clock.seconds += 1
        elif breaker.allows():
            assert not probing
            probe = breaker.begin()
            assert probe == (breaker.state is not State.CLOSED)
            probing = probe
            getattr(breaker, step)(probe=probe)
            probing = False
