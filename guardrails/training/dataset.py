"""Which rows is the compact model trained on, and which are held out?"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LABELS = (
    "toxicity",
    "severe_toxicity",
    "obscene",
    "threat",
    "insult",
    "identity_attack",
    "prompt_injection",
    "harmful_request",
)
"""The heads of the compact model, in the order of its scores."""

ABUSE = LABELS[:6]
_CROP_CHARACTERS = 420
_REQUEST_VERBS = re.compile(
    r"^(explain|write|teach|guide|show|create|develop|give|provide|make|list|tell|how|describe|"
    r"instruct|design|outline|publish|produce|generate|offer|draft|compose|demonstrate)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Row:
    """One labelled text; a label that is absent from `labels` is unknown.

    Rows of one `template` are alike, so that all of them together tell as much as one.
    """

    text: str
    source: str
    labels: dict[str, int]
    template: str = ""


def read_rows(path: Path) -> list[Row]:
    """The rows of a JSON-lines file, gzipped or not: `text`, `labels`, and perhaps `source`."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines if line.strip()]
    return [Row(r["text"], r.get("source", path.stem), r["labels"]) for r in records]


def clean(rows: Iterable[Row]) -> Iterator[Row]:
    """Without empty texts, repeated texts and rows whose label is known to be wrong.

    Wrong are AdvBench's bare category names ("Carbon emissions"), and BIPIA's short rows: an
    attack's instruction without the document around it is an ordinary request. Abusive identity
    templates lose their identity label.
    """
    seen: set[str] = set()
    for row in rows:
        key = " ".join(row.text.lower().split())
        if not key or key in seen:
            continue
        seen.add(key)
        if row.source == "advbench" and not _REQUEST_VERBS.match(row.text):
            continue
        if row.source == "bipia" and row.labels.get("prompt_injection") and len(row.text) < 200:
            continue
        if row.source == "identity_templates" and row.labels.get("toxicity"):
            # "You are a dumb writer" is abuse, but of no protected group: unknown, not 1.
            kept = {k: v for k, v in row.labels.items() if k != "identity_attack"}
            row = Row(row.text, row.source, kept)
        yield row


def crop(rows: Sequence[Row], seed: int) -> list[Row]:
    """Long texts cut to about a window of the encoder, where the label stays true of the piece.

    A jailbreak keeps its head, or its tail every third time. An indirect injection keeps the
    neighbourhood of the line that no harmless document of the same set holds. Anything else keeps
    its head; a harmless one keeps any piece.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    ordinary = {
        line.strip()
        for row in rows
        if row.source == "bipia" and not row.labels.get("prompt_injection")
        for line in row.text.splitlines()
    }
    return [Row(_piece(row, ordinary, rng), row.source, row.labels) for row in rows]


def _piece(row: Row, ordinary: set[str], rng: random.Random) -> str:
    text, size = row.text, _CROP_CHARACTERS
    if len(text) <= size:
        return text
    spare = len(text) - size
    start = 0
    if row.source == "bipia" and row.labels.get("prompt_injection"):
        foreign = [
            line for line in text.splitlines() if len(line) > 12 and line.strip() not in ordinary
        ]
        prose = [line for line in foreign if "|" not in line]
        anchor = text.find((prose or foreign or [text])[0])
        start = max(0, min(spare, anchor - rng.randrange(size // 3)))
    elif row.labels.get("prompt_injection"):
        start = spare if rng.random() < 1 / 3 else 0
    elif not any(row.labels.values()):
        start = rng.randrange(spare)
    return text[start : start + size]


def held_out(text: str, share: float) -> bool:
    """Whether a text belongs to the held-out part; by its hash, so that it never changes sides."""
    digest = hashlib.sha256(" ".join(text.lower().split()).encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


def targets(rows: Sequence[Row], labels: Sequence[str] = LABELS) -> tuple[np.ndarray, np.ndarray]:
    """The labels as numbers, and which of them are known.

    Shape: N rows → two float32 arrays (N, L): 0 or 1, and the mask.
    """
    values = np.array([[row.labels.get(label, -1) for label in labels] for row in rows], np.float32)
    values = values.reshape(len(rows), len(labels))
    return np.maximum(values, 0), (values >= 0).astype(np.float32)


def sha256_of(path: Path) -> str:
    """The file's SHA-256, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
