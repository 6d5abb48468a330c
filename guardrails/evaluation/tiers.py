"""How is a detector measured that another machine runs, or that is a cascade of two?

As one that scores here: the same texts in, the same scores out, only that the texts go over the
network, and that a failure ends the evaluation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np

from guardrails import detectors
from guardrails.detectors import Asker, Scorer
from guardrails.detectors.cascade import Cascade
from guardrails.errors import ConfigError
from guardrails.types import Detection, Stage

_BLOCK_SECONDS = 600.0


@contextmanager
def loaded(name: str, options: Mapping[str, Mapping[str, Any]]) -> Iterator[Scorer]:
    """A detector by its name among the `options` of all; it is closed in the end.

    Errors: ConfigError for one that finds spans: it has no scores to measure.
    """
    with asyncio.Runner() as runner:
        askers: list[Asker] = []
        try:
            yield _load(name, options, runner, askers)
        finally:
            for asker in askers:
                runner.run(asker.aclose())


def _load(
    name: str,
    options: Mapping[str, Mapping[str, Any]],
    runner: asyncio.Runner,
    askers: list[Asker],
) -> Scorer:
    own = options.get(name, {})
    runs_in = detectors.module_of(str(own.get("kind", name))).RUNS_IN
    if runs_in == "worker":
        return cast(Scorer, detectors.create(name, own))
    if runs_in == "remote":
        asker = detectors.askers_of({name: own})[name]
        askers.append(asker)
        return AskedScorer(asker, runner)
    if runs_in == "checks":
        cascade = detectors.cascades_of({name: own})[name]
        first = _load(cascade.first, options, runner, askers)
        then = _load(cascade.then, options, runner, askers)
        return CascadeScorer(cascade, first, then)
    raise ConfigError(f"{name} finds spans; only detectors that score can be evaluated.")


class AskedScorer:
    """An asker as a scorer: each call waits for the other machine."""

    def __init__(self, asker: Asker, runner: asyncio.Runner) -> None:
        self.name = asker.name
        self.version = asker.version
        self.labels: Sequence[str] = tuple(asker.labels)
        self.window_tokens = 0
        self._asker = asker
        self._runner = runner

    def detect(self, texts: Sequence[str]) -> np.ndarray:
        """The highest score of each label. Shape: (N, L). Errors: GuardUnavailable."""
        asking = self._asker.ask(texts, Stage.INPUT, timeout_seconds=_BLOCK_SECONDS)
        rows = self._runner.run(asking)
        highest = [
            [max(hit.score for hit in row if hit.label == label) for label in self.labels]
            for row in rows
        ]
        return np.array(highest, dtype=np.float32).reshape(len(texts), len(self.labels))


class CascadeScorer:
    """A cascade as a scorer, which counts what it escalates."""

    def __init__(self, cascade: Cascade, first: Scorer, then: Scorer) -> None:
        cascade.check_tiers({cascade.first: first.labels, cascade.then: then.labels})
        self.name = cascade.name
        self.version = f"{first.version} > {then.version}"
        self.labels: Sequence[str] = cascade.labels
        self.window_tokens = 0
        self.cascade = cascade
        self._first = first
        self._then = then

    def detect(self, texts: Sequence[str]) -> np.ndarray:
        """The score that counts. Shape: (N, 1). Errors: those of either detector."""
        rows = _rows(self._first, texts)
        numbers = self.cascade.uncertain(rows)
        second = _rows(self._then, [texts[number] for number in numbers]) if numbers else []
        combined = self.cascade.combine(rows, dict(zip(numbers, second, strict=True)))
        return np.array([[row[0].score] for row in combined], dtype=np.float32).reshape(-1, 1)


def _rows(scorer: Scorer, texts: Sequence[str]) -> list[list[Detection]]:
    return [
        [Detection(label, float(score)) for label, score in zip(scorer.labels, row, strict=True)]
        for row in scorer.detect(texts)
    ]
