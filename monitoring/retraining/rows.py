"""What is a row of training data, and in which files do rows lie?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

TRAIN, HELD_OUT = "train.jsonl", "held_out.jsonl"


class Row(Struct, frozen=True, kw_only=True):
    """One row: `messages` as production renders them, and the answer to learn.

    `kind` is "answer" or "refusal"; `passages` are those that the prompt holds.
    """

    id: str
    conversation: str
    kind: str
    source: str
    messages: list[dict[str, str]]
    answer: str
    passages: list[dict[str, Any]] = []


def encoded(rows: Sequence[Row]) -> bytes:
    """The rows as JSON lines, the same bytes for the same rows."""
    return b"".join(msgspec.json.encode(row, order="deterministic") + b"\n" for row in rows)


def read_rows(path: Path) -> list[Row]:
    """The rows of a file."""
    return [msgspec.json.decode(line, type=Row) for line in path.read_bytes().splitlines()]
