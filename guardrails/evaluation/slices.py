"""Which part of a labelled file does a row belong to?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from guardrails.text.language import language_of

COMPUTED = ("language", "length")
"""Slices that every row has; any other name is a field of the rows."""

USUAL_FIELDS = ("functionality", "target", "target_ident", "direction", "type", "source", "kind")

_LENGTHS = (50, 100, 200, 500, 2_000)


def slice_of(row: Mapping[str, Any], name: str) -> str | None:
    """The row's slice by `name`, as text; None where the row has no such field."""
    if name == "language":
        return language_of(row["text"])
    if name == "length":
        return _length(len(row["text"]))
    value = row.get(name)
    return None if value is None or isinstance(value, list | dict) else str(value)


def usual_slices(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The computed slices, and those of the usual fields that these rows have."""
    fields = [f for f in USUAL_FIELDS if any(slice_of(row, f) for row in rows)]
    return (*COMPUTED, *fields)


def _length(characters: int) -> str:
    low = 0
    for border in _LENGTHS:
        if characters < border:
            return f"{low:,} to {border - 1:,} characters"
        low = border
    return f"{low:,} characters or more"
