"""How does a detector do on each labelled file, whole and by slice?"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from guardrails.detectors import Scorer
from guardrails.errors import ConfigError
from guardrails.evaluation.curves import Curves, curves
from guardrails.evaluation.measures import Measures, measure
from guardrails.evaluation.slices import slice_of
from guardrails.text.normalise import normalise

_BLOCK = 64


class Report(msgspec.Struct, frozen=True):
    """The measures on one file, or on one slice of it (`slice` is then `field=value`).

    `curves` has one for each measure of a whole file with both classes; a slice has none.
    """

    file: str
    slice: str
    rows: int
    measures: tuple[Measures, ...]
    seconds: float
    curves: dict[str, Curves] = {}


class ScoredFile(msgspec.Struct, frozen=True):
    """The rows of a file and what a detector made of them. Shape: `scores` (N, L)."""

    name: str
    rows: list[dict[str, Any]]
    labels: tuple[str, ...]
    scores: np.ndarray
    seconds: float

    def known(self, label: str, among: Sequence[int] | None = None) -> list[int]:
        """The numbers of the rows that know the label."""
        numbers = range(len(self.rows)) if among is None else among
        return [n for n in numbers if _truth(self.rows[n], label) is not None]

    def of(self, label: str, numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """The scores and the truth of one label. Shape: (len(numbers),) float and bool."""
        truth = np.array([bool(_truth(self.rows[n], label)) for n in numbers], bool)
        return self.scores[list(numbers), self.labels.index(label)], truth


def read_labelled(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file, gzipped or not. Each has `text`, and `label` or `labels`.

    Errors: ConfigError for a file without rows, and for a row that lacks one of these.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    if not rows:
        raise ConfigError(f"{path} has no rows.")
    for number, row in enumerate(rows, start=1):
        if "text" not in row or not ("label" in row or "labels" in row):
            raise ConfigError(f"{path}: row {number} needs `text`, and `label` or `labels`.")
    return rows


def score_rows(
    detector: Scorer, texts: Sequence[str], progress: Callable[[int], None]
) -> np.ndarray:
    """The scores as an exchange would get them; `progress` is told how many texts are done.

    The detector reads the canonical text, and what was decoded from it; the highest score counts.
    Shape: N ≥ 1 texts → float32 (N, L).
    """
    parts = []
    for start in range(0, len(texts), _BLOCK):
        read = [normalise(text) for text in texts[start : start + _BLOCK]]
        scores = detector.detect([canonical.text for canonical in read])
        owners = [row for row, canonical in enumerate(read) for _ in canonical.extra]
        if owners:
            decoded = [reading[2] for canonical in read for reading in canonical.extra]
            np.maximum.at(scores, owners, detector.detect(decoded))
        parts.append(scores)
        progress(len(read))
    return np.concatenate(parts)


def score_file(detector: Scorer, path: Path, progress: Callable[[int], None]) -> ScoredFile:
    """Read and score a labelled file."""
    rows = read_labelled(path)
    began = time.perf_counter()
    scores = score_rows(detector, [row["text"] for row in rows], progress)
    seconds = time.perf_counter() - began
    return ScoredFile(path.name, rows, tuple(detector.labels), scores, seconds)


def reports_of(
    scored: ScoredFile,
    *,
    labels: Sequence[str],
    thresholds: Mapping[str, float],
    slices: Sequence[str] = (),
) -> Iterator[Report]:
    """The report on the whole file first, then one for each value of each of the `slices`.

    A single `label` of a row is held against every label of the detector that is asked for.
    """
    for name, numbers in _groups(scored.rows, slices):
        measures, drawn = [], {}
        for label in labels:
            if known := scored.known(label, numbers):
                scores, truth = scored.of(label, known)
                measures.append(measure(label, scores, truth, thresholds.get(label, 0.5)))
                if not name and truth.any() and not truth.all():
                    drawn[label] = curves(scores, truth)
        yield Report(scored.name, name, len(numbers), tuple(measures), scored.seconds, drawn)


def _groups(
    rows: Sequence[Mapping[str, Any]], slices: Sequence[str]
) -> Iterator[tuple[str, list[int]]]:
    yield "", list(range(len(rows)))
    for field in slices:
        found: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            if (value := slice_of(row, field)) is not None:
                found.setdefault(value, []).append(number)
        for value in sorted(found):
            yield f"{field}={value}", found[value]


def _truth(row: Mapping[str, Any], label: str) -> int | None:
    """1, 0, or None where the row does not say."""
    return row["labels"].get(label) if "labels" in row else row["label"]
