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
from guardrails.evaluation.measures import Measures, measure
from guardrails.text.normalise import normalise

_BLOCK = 64


class Report(msgspec.Struct, frozen=True):
    """The measures on one file, or on one slice of it (`slice` is then `field=value`)."""

    file: str
    slice: str
    rows: int
    measures: tuple[Measures, ...]
    seconds: float


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


def evaluate_file(
    detector: Scorer,
    path: Path,
    *,
    labels: Sequence[str],
    thresholds: Mapping[str, float],
    slice_by: str | None,
    progress: Callable[[int], None],
) -> Iterator[Report]:
    """The report on the whole file first, then one for each value of the field `slice_by`.

    A single `label` of a row is held against every label of the detector that is asked for.
    """
    rows = read_labelled(path)
    began = time.perf_counter()
    scores = score_rows(detector, [row["text"] for row in rows], progress)
    seconds = time.perf_counter() - began
    groups = {"": list(range(len(rows)))}
    if slice_by:
        for number, row in enumerate(rows):
            groups.setdefault(f"{slice_by}={row.get(slice_by)}", []).append(number)
    for name, numbers in groups.items():
        found = tuple(
            _measure(rows, scores, numbers, label, list(detector.labels).index(label), threshold)
            for label in labels
            if any(_truth(rows[n], label) is not None for n in numbers)
            for threshold in (thresholds.get(label, 0.5),)
        )
        yield Report(path.name, name, len(numbers), found, seconds)


def _measure(
    rows: Sequence[Mapping[str, Any]],
    scores: np.ndarray,
    numbers: Sequence[int],
    label: str,
    column: int,
    threshold: float,
) -> Measures:
    known = [n for n in numbers if _truth(rows[n], label) is not None]
    truth = np.array([bool(_truth(rows[n], label)) for n in known])
    return measure(label, scores[known, column], truth, threshold)


def _truth(row: Mapping[str, Any], label: str) -> int | None:
    """1, 0, or None where the row does not say."""
    return row["labels"].get(label) if "labels" in row else row["label"]
