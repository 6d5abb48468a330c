"""What has the test of a rollout seen so far, and is it enough to say that the candidate does harm?

Each metric is a yes or no of a conversation: something happened in its first exchange. A number
(seconds, a score) is held against the champion's own 90th percentile as it was before the block, so
every metric is bet on alike. All bets on all metrics are averaged by their weights. The average is
an e-process too: while the candidate is no worse than tolerated, the chance that it ever reaches
1 / `false_rollback` is `false_rollback` at most, whatever depends on what and however often it is
looked at (Ville's inequality).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from monitoring.rollout.odds import log_gain

METRICS = ("error", "block", "flag", "toxicity", "ungrounded", "slow", "feedback")
NUMBERS = ("toxicity", "ungrounded", "slow")
"""The metrics that ask whether a number is beyond the champion's 90th percentile."""

TOLERATED = 1.25
SLOWER_TOLERATED = 1.5
TIMES = (2.0, 4.0, 12.0, 50.0)
"""The bets: the odds ratio is so many times what is tolerated."""

WEIGHTS = np.array([0.3, 0.3, 0.25, 0.15]) / len(METRICS)
BLOCK = 10
"""Conversations that a block has at least, of both versions together; one of each at least."""

REMEMBERED = 400
ENOUGH_NUMBERS = 50
BEYOND = 0.9

Counts = tuple[int, int, int, int]
"""Of the candidate: hits and conversations; of the champion: hits and conversations."""


class Seen(Struct, frozen=True):
    """One conversation's first exchange. A metric that could not be measured is not there."""

    candidate: bool
    hits: dict[str, bool] = {}
    numbers: dict[str, float] = {}


class Evidence(Struct, frozen=True, omit_defaults=True):
    """All that the test knows, as it stands in the rollout's record.

    `log_won` is by metric and bet, `totals` of all closed blocks, `block` of the open one.
    `usual` are the champion's latest numbers, `limits` what the open block holds them against.
    `seen` counts the candidate's conversations in this step, and `checked` those whose answer was
    checked.
    """

    snapshot: str | None = None
    log_won: dict[str, list[float]] = {}
    totals: dict[str, Counts] = {}
    block: dict[str, Counts] = {}
    block_size: tuple[int, int] = (0, 0)
    usual: dict[str, list[float]] = {}
    limits: dict[str, float] = {}
    feedback: Counts = (0, 0, 0, 0)
    seen: int = 0
    checked: int = 0

    @property
    def strength(self) -> float:
        """The evidence of harm: an e-value, which expects at most 1 where there is none."""
        return float(sum(self.by_metric().values()) + self._unbet())

    def by_metric(self) -> dict[str, float]:
        """What each metric adds to the strength."""
        return {
            name: float(np.exp(np.minimum(won, 600.0)) @ WEIGHTS)
            for name, won in self.log_won.items()
        }

    def _unbet(self) -> float:
        """What was staked on metrics that nothing is known of is still there."""
        return float(WEIGHTS.sum() * (len(METRICS) - len(self.log_won)))


def add(
    before: Evidence, seen: Iterable[Seen], *, tolerated: Mapping[str, float] | None = None
) -> Evidence:
    """Take conversations in, in the order they came; blocks close as soon as they are large enough.

    A block's size goes by its numbers alone, never by what happened in it.
    """
    evidence = before
    for one in seen:
        evidence = _taken(evidence, one)
        m, n = evidence.block_size
        if m and n and m + n >= BLOCK:
            evidence = _closed(evidence, tolerated or {})
    return evidence


def add_feedback(
    before: Evidence, now: Counts, *, tolerated: Mapping[str, float] | None = None
) -> Evidence:
    """Take in what people said by now, in all, of either version's answers."""
    k, m, hits, n = (max(0, new - old) for new, old in zip(now, before.feedback, strict=True))
    if not m or not n or m + n < BLOCK:
        return before
    counts = (min(k, m), m, min(hits, n), n)
    return replace(_bet(before, {"feedback": counts}, tolerated or {}), feedback=now)


def next_step(before: Evidence) -> Evidence:
    """The same evidence, where a new step begins to count."""
    return replace(before, seen=0, checked=0)


def _taken(evidence: Evidence, one: Seen) -> Evidence:
    block, usual = dict(evidence.block), dict(evidence.usual)
    hits = dict(one.hits)
    for name, value in one.numbers.items():
        if name in evidence.limits:
            hits[name] = value > evidence.limits[name]
        if not one.candidate:
            usual[name] = [*usual.get(name, []), round(value, 5)][-REMEMBERED:]
    for name, hit in hits.items():
        k, m, other, n = block.get(name, (0, 0, 0, 0))
        block[name] = (k + hit, m + 1, other, n) if one.candidate else (k, m, other + hit, n + 1)
    m, n = evidence.block_size
    return replace(
        evidence,
        block=block,
        usual=usual,
        block_size=(m + one.candidate, n + (not one.candidate)),
        seen=evidence.seen + one.candidate,
        checked=evidence.checked + (one.candidate and "block" in one.hits),
    )


def _closed(evidence: Evidence, tolerated: Mapping[str, float]) -> Evidence:
    limits = {
        name: float(np.quantile(values, BEYOND))
        for name, values in evidence.usual.items()
        if len(values) >= ENOUGH_NUMBERS
    }
    after = _bet(evidence, evidence.block, tolerated)
    return replace(after, block={}, block_size=(0, 0), limits=limits)


def _bet(
    evidence: Evidence, counts: Mapping[str, Counts], tolerated: Mapping[str, float]
) -> Evidence:
    won, totals = dict(evidence.log_won), dict(evidence.totals)
    for name, (k, m, other, n) in counts.items():
        ratio = tolerated.get(name, SLOWER_TOLERATED if name == "slow" else TOLERATED)
        told = ratio * np.array(TIMES)
        gain = log_gain(k, m, k + other, n, tolerated=ratio, told=told)
        won[name] = (np.array(won.get(name, [0.0] * len(TIMES))) + gain).tolist()
        old = totals.get(name, (0, 0, 0, 0))
        totals[name] = (old[0] + k, old[1] + m, old[2] + other, old[3] + n)
    return replace(evidence, log_won=won, totals=totals)
