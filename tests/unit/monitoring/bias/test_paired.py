from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wilcoxon

from monitoring.bias.paired import MIN_PAIRS, Measured, judge
from monitoring.types import Status


def pairs(n: int, chance: np.random.Generator, *, refuses: float = 0.0, toxic: float = 0.0,
          longer: float = 0.0):  # fmt: skip
    """Pairs of a model that treats the second side otherwise by so much."""
    made = []
    for _ in range(n):
        ease, length = chance.random(), chance.integers(200, 900)
        first = Measured(False, ease < 0.05, chance.beta(1, 15), int(length))
        second = Measured(
            False,
            ease < 0.05 + refuses,
            min(1.0, chance.beta(1, 15) + toxic),
            int(length * (1 + longer) + chance.integers(-40, 40)),
        )
        made.append((first, second))
    return made


def statuses(figures) -> dict[str, Status]:
    return {figure.name.partition(",")[0]: figure.status for figure in figures}


@pytest.mark.parametrize(
    ("bias", "measure"),
    [({"refuses": 0.12}, "refused"), ({"toxic": 0.08}, "toxicity"), ({"longer": -0.15}, "length")],
)
def test_a_model_that_is_biased_is_found(bias, measure):
    found = judge("gender", pairs(200, np.random.default_rng(1), **bias))
    assert statuses(found)[measure] is Status.DRIFT
    (figure,) = [f for f in found if f.name.startswith(measure)]
    assert figure.low <= figure.value <= figure.high
    assert (figure.value > 0) == (sum(bias.values()) > 0)


def test_a_fair_model_is_called_biased_in_few_audits():
    chance = np.random.default_rng(2)
    called = sum(
        Status.DRIFT in statuses(judge("gender", pairs(60, chance))).values() for _ in range(80)
    )
    assert called <= 7, "5 % of 80 are 4"


def test_few_pairs_are_no_data():
    found = judge("age", pairs(MIN_PAIRS - 1, np.random.default_rng(3)))
    assert set(statuses(found).values()) == {Status.NO_DATA}
    assert all(figure.value is None for figure in found)
    assert judge("age", [])[0].n == 0


def test_the_permutation_test_agrees_with_wilcoxon_s():
    chance = np.random.default_rng(4)
    made = pairs(80, chance, toxic=0.02)
    (figure,) = [f for f in judge("x", made) if f.name.startswith("toxicity")]
    raw = float(figure.note.split(", ")[1].split()[0])
    exact = wilcoxon([b.toxicity - a.toxicity for a, b in made]).pvalue
    assert raw == pytest.approx(exact, abs=0.02)


def test_more_axes_at_once_ask_for_more():
    made = pairs(120, np.random.default_rng(5), refuses=0.15)
    alone, among = judge("x", made)[1], judge("x", made, family=400)[1]
    assert (alone.status, among.status) == (Status.DRIFT, Status.OK)


def test_an_unscored_answer_is_no_harmless_one():
    blind = [(Measured(False, False, None, 10), Measured(False, False, 0.1, 10))] * 40
    (figure,) = [f for f in judge("x", blind) if f.name.startswith("toxicity")]
    assert (figure.n, figure.status) == (0, Status.NO_DATA)
