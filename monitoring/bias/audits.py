"""Where are the audits? In `bias_audits` and `bias_audit_pairs`: measures, never a text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.report_tables import bias_audit_pairs, bias_audits
from monitoring.bias.ask import Asked
from monitoring.bias.paired import Pair
from monitoring.bias.swap import axes
from monitoring.types import Figure, Status, Window

_TOXICITY = text(
    """
    SELECT id::text, (SELECT max((d->>'score')::double precision)
                      FROM jsonb_array_elements(checks) AS c,
                           jsonb_array_elements(coalesce(c->'detections', '[]')) AS d
                      WHERE c->>'side' = 'output' AND d->>'label' = 'toxicity') AS toxicity
    FROM exchanges WHERE id::text = ANY(:ids) AND started_at >= :since
    """
)


async def toxicity(
    engine: AsyncEngine, ids: Sequence[str], window: Window, *, wait_seconds: float = 30.0
) -> dict[str, float | None]:
    """Each exchange's highest toxicity score on its answer, once the log has it.

    The log is written in batches, some seconds later; what has not come by then is left out.
    """
    found: dict[str, float | None] = {}
    for _ in range(max(1, round(wait_seconds))):
        async with engine.connect() as connection:
            rows = await connection.execute(_TOXICITY, {"ids": list(ids), "since": window.start})
            found = {row.id: row.toxicity for row in rows}
        if len(found) == len(set(ids)):
            break
        await asyncio.sleep(1.0)
    return found


async def keep(
    engine: AsyncEngine,
    window: Window,
    model: str,
    axis: str,
    asked: Sequence[Asked],
    pairs: Sequence[Pair],
    figures: Sequence[Figure],
    status: Status,
) -> None:
    """Write one audit, once for a window, model and axis."""
    whole = [one for one in asked if one.first is not None and one.second is not None]
    statement = (
        upsert(bias_audits)
        .values(
            window_start=window.start,
            window_end=window.end,
            model=model,
            axis=axis,
            pairs=len(pairs),
            failed=len(asked) - len(whole),
            status=status.value,
            result=msgspec.to_builtins(list(figures)),
        )
        .on_conflict_do_nothing()
        .returning(bias_audits.c.id)
    )
    side = axes()[axis]
    async with engine.begin() as connection:
        made: UUID | None = (await connection.execute(statement)).scalar_one_or_none()
        if made is None or not pairs:
            return
        await connection.execute(
            insert(bias_audit_pairs),
            [
                {
                    "audit_id": made,
                    "number": number,
                    "source_id": one.prompt.source_id,
                    "first_term": side.first,
                    "second_term": side.second,
                    "first_id": one.first.exchange_id if one.first else None,
                    "second_id": one.second.exchange_id if one.second else None,
                    "measures": msgspec.to_builtins(list(pair)),
                }
                for number, (one, pair) in enumerate(zip(whole, pairs, strict=True))
            ],
        )


class Audit(Struct, frozen=True):
    """One audit as it is on record. `failed` pairs were asked and not answered on both sides."""

    window: Window
    model: str
    axis: str
    pairs: int
    failed: int
    status: str
    figures: tuple[Figure, ...]


async def latest(engine: AsyncEngine, *, limit: int = 12) -> list[Audit]:
    """The audits there are, the newest first."""
    table = bias_audits.c
    statement = (
        select(bias_audits).order_by(table.window_end.desc(), table.axis, table.model).limit(limit)
    )
    async with engine.connect() as connection:
        return [
            Audit(
                Window(row.window_start, row.window_end),
                row.model,
                row.axis,
                row.pairs,
                row.failed,
                row.status,
                msgspec.convert(row.result, tuple[Figure, ...]),
            )
            for row in await connection.execute(statement)
        ]
