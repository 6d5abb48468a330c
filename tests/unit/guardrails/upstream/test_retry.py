"""Pauses and budgets of retries."""

import random

import pytest

from guardrails.upstream.retry import (
    LONGEST_DELAY_SECONDS,
    RETRY_AFTER_CAP_SECONDS,
    RetryBudget,
    delay_seconds,
    retry_after_seconds,
)


@pytest.mark.parametrize("retry", range(12))
def test_the_delay_doubles_with_jitter_up_to_its_limit(retry: int) -> None:
    longest = min(0.1 * 2**retry, LONGEST_DELAY_SECONDS)
    delays = [delay_seconds(retry, random.Random(seed)) for seed in range(200)]
    assert all(longest / 2 <= delay <= longest for delay in delays)
    assert max(delays) - min(delays) > longest / 4


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        ([(b"retry-after", b"3")], 3.0),
        ([(b"retry-after", b" 0 ")], 0.0),
        ([(b"retry-after", b"9"), (b"retry-after-ms", b"250")], 0.25),
        ([(b"retry-after-ms", b"soon")], None),
    ],
)
def test_retry_after_is_read_in_seconds(
    headers: list[tuple[bytes, bytes]], seconds: float | None
) -> None:
    assert retry_after_seconds(headers) == seconds


@pytest.mark.parametrize("value", [b"Fri, 31 Dec 2027 23:59:59 GMT", b"-1", b"1e3", b""])
def test_a_retry_after_that_is_no_number_is_longer_than_we_wait(value: bytes) -> None:
    asked = retry_after_seconds([(b"retry-after", value)])
    assert asked is not None
    assert asked > RETRY_AFTER_CAP_SECONDS


def test_retries_stay_a_share_of_the_requests() -> None:
    budget = RetryBudget(lambda: 0.0, share=0.2, per_second=1.0, most=10)
    spent = 0
    for _ in range(1_000):
        budget.earn()
        spent += budget.spend()
    assert 200 <= spent <= 210


def test_time_alone_gives_a_little_back() -> None:
    seconds = 0.0
    budget = RetryBudget(lambda: seconds, share=0.0, per_second=1.0, most=3)
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]
    seconds = 2.0
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    seconds = 1_000.0
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]
