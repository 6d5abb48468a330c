"""Our account of Evidently's default rules says what Evidently itself says."""

import importlib
import os
import warnings

import numpy as np
import pytest

from monitoring.simulation.defaults import flagged
from monitoring.simulation.traffic import REFERENCE_DAYS, SLICE_NAMES, Change, draw


def evidently_says(reference: np.ndarray, current: np.ndarray, kind: str) -> bool:
    """Whether Evidently calls it drift, by the method and threshold it chooses itself."""
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evidently = importlib.import_module("evidently")
        metrics = importlib.import_module("evidently.metrics")
        pandas = importlib.import_module("pandas")
        definition = evidently.DataDefinition(**{f"{kind}_columns": ["x"]})
        sides = [
            evidently.Dataset.from_pandas(pandas.DataFrame({"x": x}), data_definition=definition)
            for x in (current, reference)
        ]
        report = evidently.Report([metrics.ValueDrift(column="x")], include_tests=True)
        return report.run(*sides).dict()["tests"][0]["status"] == "FAIL"


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("a_day", "odds"), [(400, 1.0), (400, 1.9), (400, 6.0), (20, 1.0), (20, 3.5)]
)
def test_rates_are_judged_as_evidently_judges_them(a_day: int, odds: float):
    change = Change(day=0, odds={"flag": odds})
    rng = np.random.default_rng(a_day)
    drawn = draw(1, a_day=a_day, change=change, rng=rng, only=frozenset({"flag"}))
    names, found = flagged(drawn)
    assert names == ("flag",)
    assert found.shape == (1, 1, len(SLICE_NAMES), 30)
    per_day = [x["flag"][0, 0].reshape(-1, 4).sum(1) for x in (drawn.hits, drawn.n)]
    hits, n = (x.astype(int) for x in per_day)

    def column(days: slice) -> np.ndarray:
        return np.repeat([1, 0], [hits[days].sum(), n[days].sum() - hits[days].sum()])

    for day in (0, 7):
        now = slice(REFERENCE_DAYS + day, REFERENCE_DAYS + day + 1)
        theirs = evidently_says(column(slice(0, REFERENCE_DAYS)), column(now), "categorical")
        assert bool(found[0, 0, 0, day]) == theirs


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("a_day", "tilt"), [(400, 0.0), (400, 2.0), (20, 5.0)])
def test_numbers_are_judged_as_evidently_judges_them(a_day: int, tilt: float):
    change = Change(day=0, tilt={"length in": tilt})
    rng = np.random.default_rng(a_day)
    drawn = draw(1, a_day=a_day, change=change, rng=rng, only=frozenset({"length in"}))
    bins = drawn.bins["length in"][0, 0].astype(int)
    edges = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0])

    def column(counts: np.ndarray) -> np.ndarray:
        parts = [rng.uniform(*edges[b : b + 2], count) for b, count in enumerate(counts)]
        return np.concatenate(parts)

    _, found = flagged(drawn)
    before, now = bins[:REFERENCE_DAYS].sum(0), bins[REFERENCE_DAYS]
    assert bool(found[0, 0, 0, 0]) == evidently_says(column(before), column(now), "numerical")
