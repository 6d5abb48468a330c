"""With the real Evidently; its import takes some seconds."""

import os
import random
import re

import pytest

from monitoring.drift.evidently_report import THRESHOLD, value_drift, whole_report

pytestmark = pytest.mark.timeout(300)


def _scores(seed: int, n: int, *, spoiled: float = 0.0) -> list[float]:
    """Mostly near 0, as a detector's scores are; a share of `spoiled` near 1."""
    chance = random.Random(seed)
    return [
        chance.betavariate(6, 2) if chance.random() < spoiled else chance.betavariate(0.3, 6)
        for _ in range(n)
    ]


@pytest.fixture(scope="module")
def drifts():
    reference = {
        "still": _scores(1, 2000),
        "moved": _scores(2, 2000),
        "constant": [0.0] * 2000,
        "broken": [float("nan")] * 2000,
        "few": _scores(3, 2000),
        "gone": _scores(4, 2000),
    }
    current = {
        "still": _scores(5, 600),
        "moved": _scores(6, 600, spoiled=0.08),
        "constant": [0.0] * 600,
        "broken": _scores(7, 600),
        "few": _scores(8, 40, spoiled=1.0),
        "new": _scores(9, 600),
    }
    return {drift.column: drift for drift in value_drift(reference, current)}


def test_scores_of_the_same_kind_stay_below_the_threshold(drifts):
    assert 0 <= drifts["still"].distance < THRESHOLD


def test_scores_that_moved_rise_above_it(drifts):
    assert drifts["moved"].distance >= THRESHOLD


def test_column_that_never_changes_has_no_distance_to_itself(drifts):
    assert drifts["constant"].distance == 0


def test_column_that_evidently_refuses_leaves_the_others_measured(drifts):
    assert drifts["broken"].distance is None
    assert "ValueError" in drifts["broken"].error
    assert not drifts["broken"].too_few


@pytest.mark.parametrize("column", ["few", "gone", "new"])
def test_too_few_rows_on_either_side_are_not_measured(drifts, column):
    assert drifts[column].distance is None
    assert drifts[column].too_few


def test_telemetry_is_off(drifts):
    assert os.environ["DO_NOT_TRACK"] == "1"


def test_the_whole_report_needs_nothing_from_elsewhere_and_has_its_columns():
    reference = {"still": _scores(1, 900), "moved": _scores(2, 700)}
    current = {"still": _scores(5, 600), "moved": _scores(6, 500, spoiled=0.08)}
    html = whole_report(reference, current, ["still", "moved"]).decode()
    assert "moved" in html
    assert not re.search(r'(?:<script|<link)[^>]*(?:src|href)="http', html)
    assert len(html) < 12_000_000
