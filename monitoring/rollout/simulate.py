"""How often is a rollout rolled back for nothing, and how soon where there is a reason?

Conversations arrive one by one and each draws its version by the share of the step, as in service;
the test is the one that runs, with the plan that is usual.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from monitoring.rollout.evidence import Evidence, Seen, add, next_step
from monitoring.rollout.plan import Plan

USUAL = {"error": 0.01, "block": 0.02, "flag": 0.05}
PLAN = Plan()


class Scenario(Struct, frozen=True):
    """A candidate: its rates where they are not the champion's, and how much slower it is."""

    name: str
    rates: dict[str, float] = {}
    slower: float = 1.0
    scores: float = 0.0
    storms: bool = False


SCENARIOS = (
    Scenario("alike"),
    Scenario("alike, with storms that hit both", storms=True),
    Scenario(
        "as bad as is tolerated", {m: 1.25 * r / (1 - r + 1.25 * r) for m, r in USUAL.items()}
    ),
    Scenario("blocked 4 % instead of 2 %", {"block": 0.04}),
    Scenario("blocked 10 %", {"block": 0.10}),
    Scenario("blocked each time", {"block": 1.0, "flag": 1.0}),
    Scenario("5 % of requests fail", {"error": 0.05}),
    Scenario("every request fails", {"error": 1.0}),
    Scenario("half as slow again", slower=1.5),
    Scenario("twice as slow", slower=2.0),
    Scenario("scores higher by one deviation", scores=1.0),
)


class Result(Struct, frozen=True):
    """What came of a scenario's trials.

    `median` and `p90` count the candidate's conversations until it was rolled back, `median_all`
    those of both versions, `share` the step in which most were.
    """

    name: str
    trials: int
    rolled_back: float
    median: int | None
    p90: int | None
    median_all: int | None
    share: float | None


def run(trials: int, seed: int) -> list[Result]:
    """Every scenario. Cost: about 0.5 s a trial where nothing is found."""
    rng = np.random.default_rng(seed)
    return [_result(scenario, trials, rng) for scenario in SCENARIOS]


def _result(scenario: Scenario, trials: int, rng: np.random.Generator) -> Result:
    ended = [end for end in (trial(scenario, rng) for _ in range(trials)) if end is not None]
    if not ended:
        return Result(scenario.name, trials, 0.0, None, None, None, None)
    mine, everybody, shares = zip(*ended, strict=True)
    return Result(
        scenario.name,
        trials,
        len(ended) / trials,
        int(np.quantile(mine, 0.5, method="inverted_cdf")),
        int(np.quantile(mine, 0.9, method="inverted_cdf")),
        int(np.quantile(everybody, 0.5, method="inverted_cdf")),
        max(set(shares), key=shares.count),
    )


def trial(scenario: Scenario, rng: np.random.Generator) -> tuple[int, int, float] | None:
    """One rollout: after how many of the candidate's conversations, and of all, at which share it
    was rolled back; None where it was promoted.
    """
    evidence, mine, everybody = Evidence(), 0, 0
    for step in PLAN.steps:
        while evidence.seen < step.conversations:
            for one in _arrivals(scenario, step.share, rng):
                evidence = add(evidence, [one])
                mine, everybody = mine + one.candidate, everybody + 1
                closed = evidence.block_size == (0, 0)
                if closed and evidence.strength >= 1 / PLAN.false_rollback:
                    return mine, everybody, step.share
                if evidence.seen >= step.conversations:
                    break
        evidence = next_step(evidence)
    return None


def _arrivals(scenario: Scenario, share: float, rng: np.random.Generator) -> list[Seen]:
    """Some hundred conversations; in a storm everything is five times as frequent for both."""
    n = 500
    candidate = rng.random(n) < share
    storm = 5.0 if scenario.storms and rng.random() < 0.3 else 1.0
    hits = {
        name: rng.random(n)
        < np.minimum(storm * np.where(candidate, scenario.rates.get(name, rate), rate), 1.0)
        for name, rate in USUAL.items()
    }
    seconds = rng.gamma(4.0, 0.25, n) * storm * np.where(candidate, scenario.slower, 1.0)
    logits = rng.normal(-3.0, 1.0, n) + np.where(candidate, scenario.scores, 0.0)
    scores = 1 / (1 + np.exp(-logits))
    return [
        Seen(
            bool(candidate[i]),
            {name: bool(hit[i]) for name, hit in hits.items()},
            {"slow": float(seconds[i]), "toxicity": float(scores[i])},
        )
        for i in range(n)
    ]
