"""Reviewers who overrule the filters, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pytest

from monitoring.drift_records import Reference
from monitoring.jobs.human_drift import EVERY, Judgement, frozen, judge
from monitoring.types import Status, Window

MONDAY = datetime(2026, 10, 26, tzinfo=UTC)
SPAN = Window(MONDAY, MONDAY + timedelta(days=28))
RARE = "patterns/secret"


def a_day(
    rng: np.random.Generator, day: int, share: float, n: int = 20, filter_: str = "compact/toxicity"
) -> list[Judgement]:
    start = MONDAY + day * EVERY
    return [
        Judgement(start + timedelta(minutes=at), bool(rng.random() < share), (filter_,))
        for at in range(n)
    ]


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(3)
    said = [one for day in range(28) for one in a_day(rng, day, 0.15)]
    said += a_day(rng, 3, 0.5, n=5, filter_=RARE)
    taken = frozen(said, SPAN)
    assert taken is not None
    return Reference(uuid4(), "human_drift", "v", SPAN, *taken)


def test_a_reference_knows_the_filters_with_enough_labels(reference: Reference):
    assert reference.arrays["slices"].tolist() == ["all", "filter=compact/toxicity"]
    assert frozen(a_day(np.random.default_rng(1), 0, 0.1, n=99), SPAN) is None


def test_usual_days_are_ok_and_a_filter_that_is_overruled_often_is_found(reference: Reference):
    rng = np.random.default_rng(4)
    state, found = None, None
    for day in range(28, 70):
        start = MONDAY + day * EVERY
        said = a_day(rng, day, 0.15 if day < 42 else 0.5)
        state, outcome = judge(reference, said, Window(start, start + EVERY), state)
        if day < 42:
            assert outcome.status is Status.OK, day
        elif outcome.status is Status.DRIFT:
            found = day
            break
    assert found is not None
    assert found < 50
    alarm = outcome.figures[0].alarm
    assert alarm is not None
    assert (alarm.metric, alarm.slice, alarm.layer) == ("overruled", "all", 5)
    assert outcome.figures[0].threshold < 0.5 < outcome.figures[0].high


def test_a_day_of_few_labels_is_no_data_and_counts_all_the_same(reference: Reference):
    start = SPAN.end
    window = Window(start, start + EVERY)
    said = a_day(np.random.default_rng(5), 28, 1.0, n=4)
    state, outcome = judge(reference, said, window, None)
    assert outcome.status is Status.NO_DATA
    calm, _ = judge(reference, [], window, None)
    assert state["log_sr0"].max() > calm["log_sr0"].max()
