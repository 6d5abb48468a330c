"""Human drift: whether people overrule the filters more or less than they used to (layer 5).

Of what was blocked and sampled by chance, the first label of each item is a bet: was it harmless?
Items that were chosen (uncertain ones, appeals) are left out, for their mix changes by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring import drift_records
from monitoring.drift import rates
from monitoring.drift.alarm import alarm_of
from monitoring.drift.baseline import baseline
from monitoring.drift.family import Stream
from monitoring.drift.watch import Finding, Part, advance
from monitoring.drift_frames import slices_of
from monitoring.drift_records import Arrays, Reference
from monitoring.intervals import wilson
from monitoring.references import number_of, reference_for
from monitoring.types import Figure, Outcome, Status, Window

EVERY = timedelta(days=1)
NAME = "human_drift"
METRIC = "overruled"
MIN_REFERENCE = 100
"""Labels that a reference needs, of all filters and of each that is watched by itself."""
MOST_FILTERS = 10
MIN_LABELS = 10
"""Fewer in a day are too few to show a rate; they are bet on all the same."""

_LABELLED = text(
    """
    WITH first AS (
        SELECT DISTINCT ON (item_id) item_id, harmful, made_at
        FROM review_labels WHERE harmful IS NOT NULL AND made_at < :end
        ORDER BY item_id, made_at, reviewer
    )
    SELECT f.made_at, NOT f.harmful AS overruled,
           ARRAY(SELECT DISTINCT (r->>'detector') || '/' || (r->>'label')
                 FROM jsonb_array_elements(e.reasons) AS r
                 WHERE r->>'action' = 'block' AND r->>'side' = i.side
                   AND NOT coalesce((r->>'shadow')::boolean, false) ORDER BY 1) AS filters
    FROM first AS f JOIN review_items AS i ON i.id = f.item_id
         JOIN exchanges AS e ON e.id = i.exchange_id AND e.started_at = i.exchange_started_at
    WHERE f.made_at >= :start AND i.why = 'random' AND e.decision = 'block'
    ORDER BY f.made_at, i.id
    """
)


class Judgement(Struct, frozen=True):
    """What the first person said of something that was blocked, and by which filters."""

    at: datetime
    overruled: bool
    filters: tuple[str, ...]

    @property
    def slices(self) -> tuple[str, ...]:
        """All, and each filter that blocked it."""
        return ("all", *(f"filter={name}" for name in self.filters))


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Hold the labels made in the window against the frozen reference."""

    async def take(span: Window) -> tuple[int, Arrays] | None:
        return frozen(await judgements(engine, span), span)

    reference = await reference_for(engine, NAME, window, take)
    said = await judgements(engine, window)
    if reference is None:
        return Outcome(
            Status.NO_DATA,
            len(said),
            f"no reference yet: it takes 14 days with {MIN_REFERENCE} labels of blocked exchanges",
        )
    before = await drift_records.state_before(engine, reference, window.start)
    state, outcome = judge(reference, said, window, before)
    await drift_records.keep_state(engine, reference, window.end, state)
    return outcome


async def judgements(engine: AsyncEngine, window: Window) -> list[Judgement]:
    """The first label of each item that was blocked and drawn by chance, made in the window."""
    span = {"start": window.start, "end": window.end}
    async with engine.connect() as connection:
        rows = await connection.execute(_LABELLED, span)
        return [Judgement(row.made_at, row.overruled, tuple(row.filters)) for row in rows]


def frozen(said: Sequence[Judgement], span: Window) -> tuple[int, Arrays] | None:
    """How often each filter is overruled; None below MIN_REFERENCE labels.

    A few labels a day have no seasons that could be seen: every day is of the same phase.
    """
    sizes = Counter(name for one in said for name in one.slices)
    if sizes["all"] < MIN_REFERENCE:
        return None
    slices = slices_of(sizes.items(), least=MIN_REFERENCE, most=MOST_FILTERS + 1)
    first = number_of(span.start, EVERY)
    days = number_of(span.end, EVERY) - first
    hits, n = np.zeros((len(slices), days)), np.zeros((len(slices), days))
    for one in said:
        for name in set(one.slices) & set(slices):
            at = slices.index(name), number_of(one.at, EVERY) - first
            hits[at] += one.overruled
            n[at] += 1
    normal = baseline(hits, n, np.zeros(days, dtype=np.int64), np.arange(days))
    low, high = rates.edges(normal)
    return sizes["all"], {
        "slices": np.array(slices),
        "low": low[:, 0],
        "high": high[:, 0],
        "dispersion": normal.dispersion,
    }


def judge(
    reference: Reference, said: Sequence[Judgement], window: Window, before: Arrays | None
) -> tuple[Arrays, Outcome]:
    """The state to keep, and what there is to say of the window."""
    arrays = reference.arrays
    slices = [str(name) for name in arrays["slices"]]
    streams = tuple(Stream(5, METRIC, name) for name in slices)
    n = np.array([sum(name in one.slices for one in said) for name in slices], dtype=float)
    hits = np.array(
        [sum(one.overruled for one in said if name in one.slices) for name in slices], dtype=float
    )
    gains = rates.log_gains(hits, n, arrays["low"], arrays["high"], arrays["dispersion"])
    state, findings = advance(
        [Part(streams, gains, rates.LOG_WEIGHTS)],
        before,
        window=number_of(window.start, EVERY),
        opens=True,
    )
    figures = [
        _figure(finding, int(hits[at]), int(n[at]), arrays["low"][at], arrays["high"][at])
        for at, finding in enumerate(findings)
    ]
    alarmed = [finding.stream.slice for finding in findings if finding.alarmed]
    span = reference.window
    message = f"{len(said)} labels of what was blocked, {int(hits[0])} overruled"
    message += f"; in alarm: {', '.join(alarmed)}" if alarmed else ""
    message += f"; against {span.start:%Y-%m-%d} to {span.end:%Y-%m-%d}"
    status = Status.NO_DATA if len(said) < MIN_LABELS else Status.OK
    return state, Outcome(Status.DRIFT if alarmed else status, len(said), message, tuple(figures))


def _figure(finding: Finding, hits: int, n: int, low: float, high: float) -> Figure:
    where = finding.stream.slice
    name = f"{METRIC} rate" + ("" if where == "all" else f" on {where}")
    value = hits / n if n else None
    bounds = wilson(hits, n) or (None, None)
    status = Status.DRIFT if finding.alarmed else Status.OK if n >= MIN_LABELS else Status.NO_DATA
    return Figure(
        name,
        value,
        "share",
        n,
        status,
        low=bounds[0],
        high=bounds[1],
        threshold=float(high if value is None or value > (low + high) / 2 else low),
        note=f"usual {low:.4f} to {high:.4f}; strength {finding.strength:+.1f}",
        alarm=alarm_of(finding, EVERY),
    )
