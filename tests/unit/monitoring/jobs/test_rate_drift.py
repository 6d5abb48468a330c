"""Rates against a frozen reference, without a database."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pytest

from monitoring.drift_frames import RATES, Counted
from monitoring.drift_records import Reference
from monitoring.jobs.rate_drift import EVERY, frozen, judge
from monitoring.types import Status, Window

MONDAY = datetime(2026, 10, 26, tzinfo=UTC)
SPAN = Window(MONDAY, MONDAY + timedelta(days=28))


def counted(start: datetime, n: int, **hits: int) -> list[Counted]:
    of = dict.fromkeys(RATES, n)
    all_hits = dict.fromkeys(RATES, 0) | hits
    half = {name: value // 2 for name, value in all_hits.items()}
    return [
        Counted(start, "all", all_hits, of),
        Counted(start, "route=chat", half, dict.fromkeys(RATES, n // 2)),
        Counted(start, "tenant=tiny", dict.fromkeys(RATES, 0), dict.fromkeys(RATES, 1)),
    ]


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(3)
    rows = []
    for number in range(112):
        rows += counted(MONDAY + number * EVERY, 200, block=int(rng.binomial(200, 0.02)))
    taken = frozen(rows, SPAN)
    assert taken is not None
    return Reference(uuid4(), "rate_drift", "v", SPAN, *taken)


def test_reference_keeps_the_slices_that_are_large_enough(reference: Reference):
    assert reference.n == 112 * 200
    assert reference.arrays["slices"].tolist() == ["all", "route=chat"]
    assert reference.arrays["mean"].shape == (len(RATES) * 2, 28)
    assert frozen(counted(MONDAY, 400), SPAN) is None


def test_usual_windows_are_ok_and_a_doubled_rate_is_drift_with_its_date(reference: Reference):
    state = None
    rng = np.random.default_rng(4)
    for number in range(40):
        start = SPAN.end + number * EVERY
        hits = int(rng.binomial(200, 0.02 if number < 16 else 0.06))
        window = Window(start, start + EVERY)
        state, outcome = judge(reference, counted(start, 200, block=hits), window, state)
        if number < 16:
            assert outcome.status is Status.OK
        if outcome.status is Status.DRIFT:
            break
    assert 16 <= number < 24
    block = next(figure for figure in outcome.figures if figure.name == "block rate")
    assert block.status is Status.DRIFT
    assert "since 2026-11-2" in (block.note or "")
    assert "block on all since" in outcome.message


def test_few_exchanges_are_no_data_and_a_collapse_of_traffic_is_drift(reference: Reference):
    window = Window(SPAN.end, SPAN.end + EVERY)
    state, outcome = judge(reference, [], window, None)
    assert outcome.figures[0].status is Status.DRIFT
    assert outcome.status is Status.DRIFT
    assert {figure.status for figure in outcome.figures[1:]} == {Status.NO_DATA}
    assert all(figure.value is None for figure in outcome.figures[1:])
    assert state["alarmed"].sum() == 0
