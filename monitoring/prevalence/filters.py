"""How good is each filter, by the sample that people labelled?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring import reviews
from monitoring.prevalence.agreement import alpha
from monitoring.prevalence.estimate import Estimate, Judged, Quality, quality
from monitoring.reviews import Label, Labelled
from monitoring.types import Window

CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "toxicity": ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "sexual_explicit"),
    "identity_attack": ("identity_attack", "identity_hate"),
    "prompt_injection": ("prompt_injection", "injection_marker"),
    "harmful_request": ("harmful_request",),
    "personal_data": ("personal_data", "secret"),
    "ungrounded": ("ungrounded",),
}
"""What reviewers call a harm, and the detectors' labels that mean it."""

ANY = "any harm"

_FIRED = text(
    """
    SELECT i.id, array(
        SELECT DISTINCT r->>'label' FROM jsonb_array_elements(e.reasons) AS r
        WHERE r->>'side' = i.side AND r->>'action' <> 'allow'
          AND NOT coalesce((r->>'shadow')::boolean, false)) AS labels
    FROM review_items AS i
    JOIN exchanges AS e ON e.id = i.exchange_id AND e.started_at = i.exchange_started_at
    WHERE i.exchange_started_at >= :start AND i.exchange_started_at < :end
      AND i.why = 'random' AND i.probability IS NOT NULL
    """
)


class Filters(Struct, frozen=True):
    """Each category's quality, `any harm` first, and how far two reviewers agree."""

    by_category: dict[str, Quality]
    agreement: Estimate
    sampled: int
    labelled: int


async def filters(engine: AsyncEngine, window: Window) -> Filters:
    """What the labels of the exchanges of a window say of every filter.

    Only items that chance drew count: an appeal says nothing of all the rest. One whose exchange is
    gone from the log is left out, for nobody knows any more what had fired.
    """
    items = [
        one
        for one in await reviews.sampled(engine, window, why="random")
        if one.item.probability is not None
    ]
    async with engine.connect() as connection:
        rows = await connection.execute(_FIRED, {"start": window.start, "end": window.end})
        fired = {row.id: frozenset(row.labels) for row in rows}
    return judge([one for one in items if one.item.id in fired], fired)


def judge(items: Sequence[Labelled], fired: Mapping[UUID, frozenset[str]]) -> Filters:
    """The same from records."""
    by_category = {ANY: quality([_judged(one, fired[one.item.id], None) for one in items])}
    for category in CATEGORIES:
        judged = [_judged(one, fired[one.item.id], category) for one in items]
        by_category[category] = quality(judged)
    said = [[bool(label.harmful) for label in _told(one.labels)] for one in items]
    return Filters(by_category, alpha(said), len(items), sum(bool(row) for row in said))


def _judged(one: Labelled, labels: frozenset[str], category: str | None) -> Judged:
    meant = CATEGORIES.get(category or "", tuple(label for s in CATEGORIES.values() for label in s))
    said = [
        bool(label.harmful) and (category is None or category in label.labels)
        for label in _told(one.labels)
    ]
    return Judged(
        one.item.stratum or "",
        not labels.isdisjoint(meant),
        1 / (one.item.probability or 1.0),
        sum(said) / len(said) if said else None,
    )


def _told(labels: Sequence[Label]) -> list[Label]:
    return [label for label in labels if label.harmful is not None]
