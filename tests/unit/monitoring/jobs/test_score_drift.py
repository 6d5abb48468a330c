"""Columns against a frozen reference, without a database."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pytest

from monitoring.drift.columns import Tabulated, columns_of, frozen, values_of
from monitoring.drift.evidently_report import ColumnDrift
from monitoring.drift.family import Stream
from monitoring.drift.watch import Finding
from monitoring.drift_frames import Drawn
from monitoring.drift_records import Reference
from monitoring.jobs.score_drift import judge, measure
from monitoring.types import Status, Window

MONDAY = datetime(2026, 10, 26, tzinfo=UTC)
DAY = timedelta(days=1)
SPAN = Window(MONDAY, MONDAY + 14 * DAY)
SCORE = "toxicity/insult on input"

STILL = ColumnDrift("a", 0.04, 4000, 600)
FAR = ColumnDrift("b", 0.2, 4000, 600)
FEW = ColumnDrift("c", None, 4000, 12, "12 rows", too_few=True)
BROKEN = ColumnDrift("d", None, 4000, 600, "ValueError: no")
ALARM = Finding(Stream(2, "b: rank"), True, 1.0, 20_000, None)
CALM = Finding(Stream(2, "a: rank"), False, -4.0, 20_000, None)
COUNTED = Tabulated(np.zeros((1, 1, 12)), np.zeros((1, 1)), np.array([600.0]))


def sample(rng: np.random.Generator, n: int, *, tilt: float = 1.0, german: float = 0.1):
    return [
        Drawn(
            str(number),
            MONDAY,
            (
                "all",
                f"route={'chat' if number % 2 else 'code'}",
                f"language={'de' if rng.random() < german else 'en'}",
            ),
            {},
            "x" * int(rng.integers(10, 200)),
            "y" * int(rng.integers(10, 400)),
            {SCORE: float(rng.beta(tilt, 9))},
        )
        for number in range(n)
    ]


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(6)
    taken = frozen([sample(rng, 150) for _ in range(14)], 0)
    assert taken is not None
    return Reference(uuid4(), "score_drift", "v", SPAN, *taken)


def test_reference_names_its_columns_slices_and_languages(reference: Reference):
    assert reference.arrays["columns"].tolist() == [
        "code in",
        "code out",
        "length in",
        "length out",
        SCORE,
    ]
    assert reference.arrays["slices"].tolist()[0] == "all"
    assert reference.arrays["languages"].tolist() == ["language=en", "language=de"]
    assert frozen([sample(np.random.default_rng(1), 100)], 0) is None


def test_scores_and_languages_that_move_are_drift_and_others_are_not(reference: Reference):
    rng = np.random.default_rng(7)
    state = None
    for day in range(5):
        moved = {"tilt": 1.6, "german": 0.3} if day >= 3 else {}
        start = SPAN.end + day * DAY
        state, outcome = measure(
            reference, sample(rng, 600, **moved), Window(start, start + DAY), state
        )
        if day < 3:
            assert outcome.status is Status.OK
    assert outcome.status is Status.DRIFT
    status = {figure.name: figure.status for figure in outcome.figures}
    assert status[SCORE] is Status.DRIFT
    assert status["length in"] is Status.OK
    assert status["language=de on all"] is Status.DRIFT
    assert "since 2026-11-12" in outcome.message


def test_values_of_an_exchange_without_an_answer_have_none_of_an_answer():
    one = sample(np.random.default_rng(1), 1)[0]
    assert sorted(values_of(one)) == ["code in", "code out", "length in", "length out", SCORE]
    silent = Drawn(one.id, MONDAY, ("all",), {}, one.prompt, "", {})
    assert sorted(values_of(silent)) == ["code in", "length in"]
    assert columns_of([one, silent], ["length out"]) == {"length out": [float(len(one.answer))]}


@pytest.mark.parametrize(
    ("columns", "findings", "status"),
    [
        ([FEW], [CALM], Status.NO_DATA),
        ([STILL], [CALM], Status.OK),
        ([STILL, FAR], [CALM], Status.OK),
        ([STILL, FAR, FEW], [CALM, ALARM], Status.DRIFT),
        ([STILL, BROKEN], [CALM], Status.FAILED),
        ([FAR, BROKEN], [ALARM], Status.DRIFT),
    ],
)
def test_status_of_the_whole(
    reference: Reference, columns: list[ColumnDrift], findings: list[Finding], status: Status
):
    assert judge(reference, findings, columns, COUNTED).status is status


def test_what_was_not_measured_is_named(reference: Reference):
    outcome = judge(reference, [CALM, ALARM], [STILL, FAR, FEW, BROKEN], COUNTED)
    assert "1 with too few rows (each side needs 500)" in outcome.message
    assert "not measured because of a fault: d" in outcome.message
    assert [figure.status for figure in outcome.figures] == [
        Status.OK,
        Status.DRIFT,
        Status.NO_DATA,
        Status.FAILED,
    ]
