"""What is in a dataset, where is it from, and what was left out? A card for people and machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from monitoring.retraining.plan import Plan, Prepared
from monitoring.retraining.rows import Row

JSON, MARKDOWN = "card.json", "card.md"


class Card(Struct, frozen=True):
    """What a dataset's card says."""

    model: str
    dataset_sha256: str
    template: str
    template_hash: str | None
    since: datetime
    until: datetime
    evidence: int
    seed: int
    train: int
    held_out: int
    conversations: int
    kinds: dict[str, int]
    sources: dict[str, int]
    left_out: dict[str, int]

    @classmethod
    def of(
        cls,
        plan: Plan,
        prepared: Prepared,
        template: str,
        train: Sequence[Row],
        held_out: Sequence[Row],
        left_out: Mapping[str, int],
    ) -> Card:
        """The card of what was prepared."""
        rows = [*train, *held_out]
        return cls(
            model=plan.model,
            dataset_sha256=prepared.dataset_sha256,
            template=template,
            template_hash=prepared.template_hash,
            since=plan.since,
            until=plan.until,
            evidence=len(plan.exchange_ids),
            seed=plan.seed,
            train=len(train),
            held_out=len(held_out),
            conversations=len({row.conversation for row in rows}),
            kinds=dict(sorted(Counter(row.kind for row in rows).items())),
            sources=dict(sorted(Counter(row.source for row in rows).items())),
            left_out={why: count for why, count in sorted(left_out.items()) if count},
        )


def write_card(directory: Path, card: Card) -> None:
    """Write `card.json` and `card.md`."""
    encoded = msgspec.json.encode(card, order="deterministic")
    (directory / JSON).write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")
    (directory / MARKDOWN).write_text(markdown(card), encoding="utf-8")


def markdown(card: Card) -> str:
    """The card for people."""
    lines = [
        f"# Dataset {card.dataset_sha256[:12]} for {card.model}",
        "",
        f"- Reviewed exchanges of {card.since:%Y-%m-%d %H:%M} to {card.until:%Y-%m-%d %H:%M} UTC,"
        f" and {card.evidence} of an alert's evidence.",
        f"- {card.train} rows to train on, {card.held_out} held out, of {card.conversations}"
        " conversations; none stands on both sides, nor do questions that are nearly alike.",
        f"- Rendered with the template `{card.template}`, hash `{(card.template_hash or '')[:12]}`,"
        " as production renders it.",
        "- Personal data and secrets were replaced by their names before a row was written.",
        f"- SHA-256 `{card.dataset_sha256}`, seed {card.seed}.",
        "",
    ]
    for title, counts in (
        ("Kinds of rows", card.kinds),
        ("Where they come from", card.sources),
        ("Left out", card.left_out),
    ):
        lines += [f"## {title}", "", "| what | rows |", "|---|---:|"]
        lines += [f"| {name} | {count} |" for name, count in counts.items()] or ["| nothing | 0 |"]
        lines.append("")
    return "\n".join(lines)
