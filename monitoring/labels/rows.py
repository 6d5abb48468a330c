"""Which labelled text does a reviewed side of an exchange become?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.cipher import Cipher
from guardrails.exchange_log.query import get
from monitoring.reviews import LABELS, Label, Labelled

MEASURED = LABELS[: LABELS.index("other")]
"""The harms that a detector can have a label for."""


class Reviewed(Struct, frozen=True, omit_defaults=True):
    """One row, as `banister calibrate` and `banister evaluate` read it.

    A label that is not in `labels` is unknown. `probability` is that of having been sampled.
    """

    text: str
    labels: dict[str, int]
    source: str
    exchange_id: str
    side: str
    language: str | None = None
    probability: float | None = None


def labels_of(said: Sequence[Label]) -> dict[str, int]:
    """What the reviewers agree on; a harm that some named and others did not is left unknown.

    Who calls a text harmless says 0 of every harm. Who could not tell says nothing.
    """
    votes = [
        {name: int(bool(one.harmful) and name in one.labels) for name in MEASURED}
        for one in said
        if one.harmful is not None
    ]
    if not votes:
        return {}
    return {name: votes[0][name] for name in MEASURED if len({vote[name] for vote in votes}) == 1}


async def reviewed(
    connection: AsyncConnection, items: Sequence[Labelled], cipher: Cipher | None = None
) -> AsyncIterator[Reviewed]:
    """A row for each item whose text is still there and whose reviewers agree on something.

    The text is the user's last one, or the whole answer.
    """
    for one in items:
        labels = labels_of(one.labels)
        found = await get(connection, one.item.exchange_id, cipher) if labels else None
        if found is None or found.erased_at is not None:
            continue
        text = _text(found.inputs if one.item.side == "input" else found.outputs, one.item.side)
        if text:
            yield Reviewed(
                text,
                labels,
                one.item.why,
                str(one.item.exchange_id),
                one.item.side,
                found.language,
                one.item.probability,
            )


def _text(segments: Sequence[dict[str, Any]], side: str) -> str:
    if side == "input":
        said = [one["text"] for one in segments if one.get("role") == "user"]
        return str(said[-1]) if said else ""
    return "\n".join(str(one["text"]) for one in segments)
