from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitoring.rollout.evidence import (
    BLOCK,
    METRICS,
    WEIGHTS,
    Evidence,
    Seen,
    add,
    add_feedback,
    next_step,
)


def traffic(
    n: int, *, share: float, champion: float, candidate: float, seed: int = 1, metric: str = "block"
) -> list[Seen]:
    rng = np.random.default_rng(seed)
    arms = rng.random(n) < share
    rates = np.where(arms, candidate, champion)
    hits = rng.random(n) < rates
    return [Seen(bool(arm), {metric: bool(hit)}) for arm, hit in zip(arms, hits, strict=True)]


def first_breach(seen: list[Seen], threshold: float = 100.0) -> int | None:
    """How many of the candidate's conversations it took."""
    evidence, candidates = Evidence(), 0
    for one in seen:
        evidence = add(evidence, [one])
        candidates += one.candidate
        if evidence.strength >= threshold:
            return candidates
    return None


def test_all_stakes_together_are_one():
    assert WEIGHTS.sum() * len(METRICS) == pytest.approx(1.0)
    assert Evidence().strength == pytest.approx(1.0)


def test_a_candidate_that_is_blocked_each_time_is_found_within_a_few_conversations():
    assert first_breach(traffic(2_000, share=0.01, champion=0.01, candidate=1.0)) <= 8
    assert first_breach(traffic(400, share=0.5, champion=0.01, candidate=1.0)) <= 20


@pytest.mark.parametrize("share", [0.01, 0.05, 0.25, 0.5])
def test_a_candidate_that_is_alike_is_not_called_harmful(share):
    assert first_breach(traffic(4_000, share=share, champion=0.05, candidate=0.05)) is None


def test_a_day_that_is_bad_for_both_is_no_evidence():
    calm = traffic(1_000, share=0.5, champion=0.01, candidate=0.01)
    storm = traffic(1_000, share=0.5, champion=0.6, candidate=0.6, seed=2)
    assert first_breach(calm + storm + calm) is None


def test_a_candidate_that_is_better_loses_the_bets():
    evidence = add(Evidence(), traffic(2_000, share=0.5, champion=0.3, candidate=0.05))
    assert evidence.strength < 1.0


def test_what_is_tolerated_is_no_harm():
    seen = traffic(4_000, share=0.5, champion=0.05, candidate=0.15)
    assert add(Evidence(), seen).strength > 100
    assert add(Evidence(), seen, tolerated={"block": 4.0}).strength < 100


def test_nothing_is_bet_on_before_a_block_has_both_versions():
    alone = [Seen(True, {"block": True})] * 500
    assert add(Evidence(), alone).log_won == {}
    assert add(Evidence(), alone).seen == 500
    one_more = add(Evidence(), [*alone[: BLOCK - 1], Seen(False, {"block": False})])
    assert one_more.totals == {"block": (9, 9, 0, 1)}
    assert (one_more.block, one_more.block_size) == ({}, (0, 0))


def slow(n: int, *, candidate: float) -> list[Seen]:
    rng = np.random.default_rng(3)
    return [
        Seen(bool(arm), {}, {"slow": float(time) * (candidate if arm else 1.0)})
        for arm, time in zip(rng.random(n) < 0.3, rng.gamma(4, 0.25, n), strict=True)
    ]


def test_numbers_are_held_against_the_champions_own_from_before():
    early = add(Evidence(), slow(40, candidate=9.0))
    assert "slow" not in early.log_won, "too few of the champion's are known yet"
    assert add(Evidence(), slow(600, candidate=2.0)).strength > 100
    assert add(Evidence(), slow(600, candidate=1.0)).strength < 10
    assert add(Evidence(), slow(600, candidate=1.0)).limits["slow"] == pytest.approx(1.7, abs=0.3)


def test_what_people_said_is_bet_on_when_there_is_enough_of_it():
    few = add_feedback(Evidence(), (3, 3, 0, 3))
    assert few == Evidence()
    bad = add_feedback(Evidence(), (10, 10, 1, 30))
    assert bad.totals == {"feedback": (10, 10, 1, 30)}
    assert bad.strength > 100
    # The same counts again are nothing new.
    assert add_feedback(bad, (10, 10, 1, 30)) == bad


def test_a_step_counts_anew_and_keeps_the_evidence():
    evidence = add(Evidence(), traffic(300, share=0.5, champion=0.1, candidate=0.1))
    assert evidence.seen == evidence.checked > 100
    after = next_step(evidence)
    assert (after.seen, after.checked, after.log_won) == (0, 0, evidence.log_won)


def test_a_conversation_whose_answer_was_not_checked_counts_as_seen_only():
    evidence = add(Evidence(), [Seen(True, {"error": False})] * 3)
    assert (evidence.seen, evidence.checked) == (3, 0)


def test_evidence_survives_its_record_and_goes_on_the_same():
    seen = traffic(205, share=0.3, champion=0.1, candidate=0.2) + slow(205, candidate=1.1)
    half = add(Evidence(), seen[:173])
    stored = msgspec.convert(msgspec.to_builtins(half), Evidence)
    assert add(stored, seen[173:]) == add(Evidence(), seen)
