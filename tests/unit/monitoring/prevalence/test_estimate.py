from __future__ import annotations

import numpy as np
import pytest

from monitoring.prevalence.estimate import Judged, quality

# stratum: how many there are, how many fire, harm where it fired, harm where not, share drawn
WORLD = {
    "blocked": (400, 1.0, 0.80, 0.0, 0.30),
    "flagged": (900, 0.5, 0.45, 0.20, 0.15),
    "near": (3_000, 0.0, 0.0, 0.04, 0.05),
    "plain": (30_000, 0.0, 0.0, 0.003, 0.012),
}


def draw(chance: np.random.Generator, world=WORLD) -> tuple[list[Judged], dict[str, float], int]:
    """A sample of a world, that world's true shares, and how many fired in it."""
    items, harm, harm_fired, n, fired_n = [], 0, 0, 0, 0
    for stratum, (size, fires, if_fired, if_not, share) in world.items():
        fired = chance.random(size) < fires
        harmful = chance.random(size) < np.where(fired, if_fired, if_not)
        taken = chance.random(size) < share
        items += [
            Judged(stratum, bool(f), 1 / share, float(h))
            for f, h in zip(fired[taken], harmful[taken], strict=True)
        ]
        harm, harm_fired = harm + harmful.sum(), harm_fired + (harmful & fired).sum()
        n, fired_n = n + size, fired_n + fired.sum()
    truth = {"prevalence": harm / n, "precision": harm_fired / fired_n,
             "recall": harm_fired / harm}  # fmt: skip
    return items, truth, int(fired_n)


@pytest.mark.parametrize("counted", [True, False], ids=["log counted", "weights only"])
def test_the_95_percent_intervals_cover_at_least_93_percent(counted):
    chance = np.random.default_rng(11)
    covered = dict.fromkeys(("prevalence", "precision", "recall"), 0)
    worlds = 300
    for _ in range(worlds):
        items, truth, fired = draw(chance)
        totals = {"fired": fired, "others": 34_300 - fired} if counted else {}
        found = quality(items, **totals)
        for name, true in truth.items():
            one = getattr(found, name)
            covered[name] += one.low <= true <= one.high
    assert min(covered.values()) >= 0.93 * worlds, covered


def test_small_samples_cover_too():
    small = {name: (*row[:4], row[4] / 3) for name, row in WORLD.items()}
    chance = np.random.default_rng(12)
    covered = {name: [] for name in ("prevalence", "precision", "recall")}
    for _ in range(200):
        items, truth, fired = draw(chance, small)
        found = quality(items, fired=fired, others=34_300 - fired)
        for name, true in truth.items():
            one = getattr(found, name)
            if one.value is not None:
                covered[name].append(one.low <= true <= one.high)
    assert all(np.mean(one) >= 0.93 for one in covered.values()), covered


def test_the_estimate_is_weighted_and_right_on_average():
    chance = np.random.default_rng(13)
    apart = []
    for _ in range(100):
        items, truth, _ = draw(chance)
        apart.append(quality(items).prevalence.value - truth["prevalence"])
    assert abs(np.mean(apart)) < 3 * np.std(apart) / len(apart) ** 0.5 + 1e-4


def test_no_miss_seen_is_not_a_recall_of_one_for_sure():
    items = [Judged("blocked", True, 2, 1.0)] * 40 + [Judged("plain", False, 100, 0.0)] * 60
    found = quality(items).recall
    assert found.value == 1
    assert found.low < 0.4


def test_too_few_items_say_nothing():
    found = quality([Judged("plain", False, 10, 0.0)] * 29)
    assert found.prevalence.value is None
    assert found.prevalence.n == 29
    few_harmful = quality([Judged("plain", False, 10, 0.0)] * 60)
    assert few_harmful.prevalence.value == 0
    assert few_harmful.prevalence.high > 0
    assert (few_harmful.recall.value, few_harmful.precision.value) == (None, None)


def test_what_nobody_labelled_is_missing_and_does_not_count_as_harmless():
    labelled = [Judged("blocked", True, 1, 1.0)] * 50
    found = quality([*labelled, *[Judged("blocked", True, 1, None)] * 50])
    assert (found.missing, found.precision.value, found.prevalence.n) == (50, 1.0, 50)


def test_nothing_sampled_is_no_data():
    assert quality([]).prevalence.value is None


def test_the_same_labels_give_the_same_bounds():
    items, _, fired = draw(np.random.default_rng(1))
    assert quality(items, fired=fired) == quality(items, fired=fired)
