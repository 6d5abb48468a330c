"""How do other versions get measured on the rows that training holds out?

    python -m guardrails.training.held_out TRAIN.jsonl.gz held-out.jsonl
    banister evaluate compact --on held-out.jsonl --label prompt_injection --slice kind

Public rows by the hash of their text, our own by the hash of their template: no version that was
trained on this file has seen them. `kind` says what a quoted text is: mail, table, code, a tool's
result or another document.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from guardrails.training.calibrate import QUOTED
from guardrails.training.dataset import Row, read_rows
from guardrails.training.hard import hard_rows
from guardrails.training.mixture import split

SEED = 21
"""The seed of the shipped weights, on which the words of our own held-out rows depend."""

_KINDS = (
    ("mail", re.compile(r"^(from|subject|to): |subject:.*\|content:", re.I | re.M)),
    (
        "tool result",
        re.compile(r'^\s*\{"|^BEGIN:VEVENT|^\d{4}-\d\d-\d\d \d\d:\d\d (INFO|WARN)', re.M),
    ),
    ("table", re.compile(r"\|[^|\n]*\|[^|\n]*\||^id,name", re.M)),
    ("code", re.compile(r"^\s*(def|import|from|class|function) |/\*|Traceback|Error:|```", re.M)),
)


def kind_of(text: str) -> str:
    """What a quoted text is, by how it looks."""
    return next((kind for kind, sign in _KINDS if sign.search(text)), "document")


def held_out_rows(data: Path, seed: int) -> list[Row]:
    """All rows that training with this seed calibrates and chooses its borders on."""
    return [*split(read_rows(data), seed)[1], *hard_rows(seed, held=True)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write them as JSON lines that `banister evaluate` reads."""
    data, out = sys.argv[1:] if arguments is None else arguments
    with Path(out).open("w", encoding="utf-8") as lines:
        for row in held_out_rows(Path(data), SEED):
            known = {"text": row.text, "source": row.source, "labels": row.labels}
            if row.source in QUOTED:
                known["kind"] = kind_of(row.text)
            lines.write(json.dumps(known, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
