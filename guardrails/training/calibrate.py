"""What do the scores mean, decided on held-out rows: probabilities, thresholds, what is cleared?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
from sklearn.linear_model import LogisticRegression

from guardrails.inference.compact import Border, Calibration
from guardrails.training.dataset import ABUSE, Row

PRIOR = 0.1
"""Calibrated as if one text in ten were harmful: rarer than in the sets, commoner than in life."""

FLAGGED = (0.01, 0.01)
BLOCKED = (0.005, 0.002)
BLOCKED_ON_TRUST = (0.002, 0.0)
"""The share of all harmless rows that a border may let through, and of the chat-like ones.

The last is for labels of which fewer than `FEW` positives are held out: recall is then hardly
known, so the border is where nearly nothing harmless has ever been seen.
"""
FEW = 50
CLEARED_LOSS = 0.005
"""The share of each label's detected positives that the first stage may clear."""

DEGREES = frozenset({"severe_toxicity"})
"""Labels of what another label finds too: the first stage holds no text back for these alone."""

_SHARES = (0.0, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08)
"""Shares of a label's detected positives that its own border may leave to the others, in turn."""

CHAT = frozenset(
    {
        "halueval",
        "wildguard",
        "bipia",
        "own_benign_asks",
        "own_benign_fear",
        "own_benign_foreign",
        "own_documents",
    }
)
"""Sources whose harmless rows look like what people ask, models answer and tools bring."""
QUOTED = frozenset({"bipia", "own_indirect", "own_documents"})
"""Sources of documents and tool results."""

_NEVER = Border(1.0, 0.0, 0.0, 0.0, 0, 0, 0)
UNCALIBRATED = Calibration(
    linear=(1.0, 0.0), both=(1.0, 0.0, 0.0), clear_below=-1e9, flag=_NEVER, block=_NEVER
)
"""For a label of which the held-out rows show one side only: the encoder's score, never clear."""


def calibrate(
    linear: np.ndarray,
    peaks: np.ndarray,
    encoded: np.ndarray,
    values: np.ndarray,
    known: np.ndarray,
    labels: Sequence[str],
    rows: Sequence[Row],
) -> dict[str, Calibration]:
    """Each label's calibration from held-out logits.

    The probabilities of abuse are fitted on real rows alone: ours are too hard and too alike to
    say how sure a score is. Of injections and harmful requests the real rows are told apart by
    their source alone, so ours take part. The borders are chosen on all, each of our templates
    counting as one row.
    Shape: five float32 arrays (N, L): the first stage's logits and their peaks, the encoder's
           logits, the labels, and which of them are known; and the N rows.
    """
    sources = [row.source for row in rows]
    alike = Counter(row.template for row in rows)
    weights = np.array([1 / alike[row.template] if row.template else 1.0 for row in rows])
    chat = np.array([source in CHAT for source in sources])
    quoted = np.array([source in QUOTED for source in sources])
    real = np.array([not source.startswith("own_") for source in sources])
    answer: dict[str, Calibration] = {}
    detected = np.zeros(values.shape, bool)
    for column, label in enumerate(labels):
        told = known[:, column] > 0
        truth = values[told, column] > 0
        fitted = real[told] if label in ABUSE else np.ones(len(truth), bool)
        fitted_truth = truth[fitted]
        if fitted_truth.all() or not fitted_truth.any():
            answer[label] = UNCALIBRATED
            continue
        both = np.stack([encoded[told, column], linear[told, column]], axis=1)
        (alone,), alone_offset = _platt(both[fitted, 1:], fitted_truth)
        (encoder, linear_too), offset = _platt(both[fitted], fitted_truth)
        slopes = np.array([encoder, linear_too])
        scores = 1 / (1 + np.exp(-np.clip(both @ slopes + offset, -30, 30)))
        shown = Shown(scores, truth, chat[told], weights[told])
        flag, block = _borders(shown)
        inside = quoted[told]
        both_kinds = truth[inside].any() and not truth[inside].all()
        pair = _borders(shown.some(inside)) if both_kinds else ()
        found = truth & (scores >= flag.score)
        detected[np.flatnonzero(told), column] = found if found.any() else truth
        answer[label] = Calibration(
            linear=(alone, alone_offset),
            both=(encoder, linear_too, offset),
            clear_below=-1e9,
            flag=flag,
            block=block,
            **dict(zip(("quoted_flag", "quoted_block"), pair, strict=False)),
        )
    clear_below = _clear_below(peaks, detected, _evened(detected, weights, sources), labels)
    return {
        label: msgspec.structs.replace(each, clear_below=border) if each.flag.positives else each
        for (label, each), border in zip(answer.items(), clear_below, strict=True)
    }


def _platt(features: np.ndarray, truth: np.ndarray) -> tuple[tuple[float, ...], float]:
    """A logistic regression with the classes weighted to the prior. No slope is negative."""
    share = truth.mean()
    weights = np.where(truth, PRIOR / share, (1 - PRIOR) / (1 - share))
    kept = list(range(features.shape[1]))
    while True:
        model = LogisticRegression(C=1.0).fit(features[:, kept], truth, sample_weight=weights)
        wrong = [k for k, slope in zip(kept, model.coef_[0], strict=True) if slope < 0]
        if not wrong or len(kept) == 1:
            break
        kept = [k for k in kept if k not in wrong] or [0]
    slopes = dict(zip(kept, model.coef_[0], strict=True))
    return (
        tuple(round(float(max(slopes.get(k, 0.0), 0.0)), 5) for k in range(features.shape[1])),
        round(float(model.intercept_[0]), 5),
    )


class Shown(msgspec.Struct, frozen=True):
    """What the held-out rows show of one label. Shape: four arrays (N,).

    `weights` say how much each row tells: rows of one template share one.
    """

    scores: np.ndarray
    truth: np.ndarray
    chat: np.ndarray
    weights: np.ndarray

    def some(self, which: np.ndarray) -> Shown:
        """Those of some rows."""
        return Shown(self.scores[which], self.truth[which], self.chat[which], self.weights[which])

    def share(self, which: np.ndarray, score: float) -> float:
        """The share of some rows that reach a score."""
        whole = self.weights[which].sum()
        reached = self.weights[which & (self.scores >= score)].sum()
        return round(float(reached / whole), 4) if whole else 0.0

    def exceeded_by(self, which: np.ndarray, share: float) -> float:
        """The lowest score of four digits that at most this share of some rows reaches."""
        order = np.argsort(-self.scores[which], kind="stable")
        reached = np.cumsum(self.weights[which][order])
        if not len(order):
            return 0.0
        # Rows of one score are reached together, so the border is just above the first too many.
        too_many = np.flatnonzero(reached > share * reached[-1] + 1e-9)
        highest = self.scores[which][order][too_many[0]] if len(too_many) else 0.0
        return min(round(float(np.floor(highest * 1e4) + 1) / 1e4, 4), 1.0)


def _borders(shown: Shown) -> tuple[Border, Border]:
    """Where to flag and where to block; never below even odds, and never to block before a flag."""
    few = shown.weights[shown.truth].sum() < FEW
    flag = _border(shown, FLAGGED, 0.5)
    return flag, _border(shown, BLOCKED_ON_TRUST if few else BLOCKED, flag.score)


def _border(shown: Shown, allowed: tuple[float, float], least: float) -> Border:
    harmless = ~shown.truth
    talk = harmless & shown.chat
    limits = [
        shown.exceeded_by(part, share)
        for part, share in zip((harmless, talk), allowed, strict=True)
    ]
    score = max(*limits, least)
    return Border(
        score=score,
        recall=shown.share(shown.truth, score),
        false_positives=shown.share(harmless, score),
        chat_false_positives=shown.share(talk, score),
        positives=round(shown.weights[shown.truth].sum()),
        harmless=round(shown.weights[harmless].sum()),
        chat=round(shown.weights[talk].sum()),
    )


def _evened(detected: np.ndarray, weights: np.ndarray, sources: Sequence[str]) -> np.ndarray:
    """What each detected positive counts, so that every source has the same say for a label.

    Else the border suits the source with the most rows: tweets full of curses, which no first stage
    would clear, outvote milder texts. Shape: (N, L) bool, (N,) → (N, L).
    """
    told = detected * weights[:, None]
    names = np.array(sources)
    for name in set(sources):
        own = names == name
        total = told[own].sum(axis=0)
        told[own] /= np.where(total > 0, total, 1.0)
    return told


def _clear_below(
    peaks: np.ndarray, detected: np.ndarray, told: np.ndarray, labels: Sequence[str]
) -> list[float]:
    """For each label the logit below which its first stage is satisfied.

    A text is cleared when all labels are satisfied, so each border may be higher than its label
    alone would bear: it is raised in turn while no label loses more than the share, and none where
    its positives are few.
    """
    allowed = told.sum(axis=0) * CLEARED_LOSS + 1e-9
    borders = np.full(peaks.shape[1], -1e9)
    columns = []
    for column, label in enumerate(labels):
        if label in DEGREES:
            borders[column], allowed[column] = 1e9, np.inf
        elif detected[:, column].any():
            columns.append(column)
    for share in _SHARES:
        for column in columns:
            found = detected[:, column]
            order = np.argsort(peaks[found, column])
            lost = np.cumsum(told[found, column][order])
            first = int(np.searchsorted(lost, share * lost[-1], side="right"))
            tried = borders.copy()
            limit = peaks[found, column][order][min(first, len(order) - 1)] - 1e-4
            tried[column] = max(borders[column], limit)
            cleared = (peaks < tried).all(axis=1)
            if (told[cleared].sum(axis=0) <= allowed).all():
                borders = tried
    return [round(float(border), 4) for border in borders]
