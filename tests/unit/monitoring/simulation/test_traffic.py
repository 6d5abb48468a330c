"""Simulated traffic: slices that add up, seasons, and changes where they belong."""

import numpy as np
import pytest

from monitoring.simulation.traffic import PARTS, REFERENCE_DAYS, SLICE_NAMES, Change, draw


def test_slices_of_every_dimension_add_up_to_all():
    drawn = draw(2, a_day=300, change=Change(), rng=np.random.default_rng(1))
    for counts in (drawn.hits["block"], drawn.n["block"], drawn.daily_n["novelty"]):
        for name in ("route", "tenant", "language", "model"):
            rows = [at for at, one in enumerate(SLICE_NAMES) if one.startswith(name + "=")]
            assert np.array_equal(counts[:, rows].sum(1), counts[:, 0])
    bins = drawn.bins["length in"]
    assert np.array_equal(bins[:, 1:5].sum(1), bins[:, 0])
    assert len(SLICE_NAMES) == 20


@pytest.mark.parametrize("within", [None, "tenant=2", "route=1"])
def test_a_change_comes_on_its_day_and_stays_in_its_slice(within: str | None):
    change = Change(day=5, odds={"block": 4.0}, within=within)
    drawn = draw(
        40, a_day=2_000, change=change, rng=np.random.default_rng(2), only=frozenset({"block"})
    )
    border = (REFERENCE_DAYS + 5) * PARTS
    at = SLICE_NAMES.index(within or "all")
    other = SLICE_NAMES.index("tenant=3" if within else "model=0")

    def rate(row: int, part: slice) -> float:
        return drawn.hits["block"][:, row, part].sum() / drawn.n["block"][:, row, part].sum()

    assert rate(at, slice(0, border)) == pytest.approx(0.02, rel=0.1)
    assert rate(at, slice(border, None)) > 0.06
    # Other tenants of a changed route see their share of it; other slices of its own see nothing.
    assert rate(other, slice(border, None)) == pytest.approx(
        {None: 0.077, "tenant=2": 0.02, "route=1": 0.034}[within], rel=0.12
    )


def test_a_tilt_moves_the_mean_rank():
    change = Change(day=0, tilt={"length in": 0.9})
    rng = np.random.default_rng(3)
    drawn = draw(10, a_day=1_000, change=change, rng=rng, only=frozenset({"length in"}))
    bins = drawn.bins["length in"][:, 0].astype(float)
    before, after = bins[:, :REFERENCE_DAYS].sum((0, 1)), bins[:, REFERENCE_DAYS:].sum((0, 1))
    rank = (np.cumsum(before) - before / 2) / before.sum()
    assert (after * rank).sum() / after.sum() == pytest.approx(0.5 + 0.9 / 12, abs=0.01)
