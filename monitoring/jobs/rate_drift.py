"""Rate drift: whether a rate has left what it was in the same phase of the frozen reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np
from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring import drift_records
from monitoring.drift import rates
from monitoring.drift.alarm import alarm_of
from monitoring.drift.baseline import baseline
from monitoring.drift.family import Stream
from monitoring.drift.watch import Finding, Part, advance
from monitoring.drift_frames import RATES, Counted, Drawn, counts, drawn, slices_of
from monitoring.drift_records import Arrays, Reference
from monitoring.intervals import wilson
from monitoring.references import number_of, phase_of, reference_for, start_of
from monitoring.types import Alarm, Figure, Outcome, Status, Window

EVERY = timedelta(hours=6)
NAME = "rate_drift"
MIN_EXCHANGES = 30
MIN_REFERENCE = 500
MOST_SLICES = 20
SAMPLED = 1_000
SAMPLED_REFERENCE = 20_000
"""Exchanges of a window, and of the reference, whose language is guessed."""

COLLAPSED = 0.2
"""Less than this share of the usual traffic is a fault before anything else."""


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Hold every rate in every slice against the reference, with all evidence so far."""

    async def take(span: Window) -> tuple[int, Arrays] | None:
        return frozen(await _counted(engine, span), span)

    reference = await reference_for(engine, NAME, window, take)
    counted = await _counted(engine, window)
    if reference is None:
        n = sum(one.n["block"] for one in counted if one.slice == "all")
        return Outcome(
            Status.NO_DATA, n, "no reference yet: it takes 14 days under one set of versions"
        )
    before = await drift_records.state_before(engine, reference, window.start)
    state, outcome = judge(reference, counted, window, before)
    await drift_records.keep_state(engine, reference, window.end, state)
    return outcome


def frozen(counted: Sequence[Counted], span: Window) -> tuple[int, Arrays] | None:
    """What is normal, of every rate in the largest slices; None below MIN_REFERENCE exchanges."""
    sizes: Counter[str] = Counter()
    for one in counted:
        sizes[one.slice] += one.n["block"]
    if sizes["all"] < MIN_REFERENCE:
        return None
    slices = slices_of(sizes.items(), least=MIN_REFERENCE, most=MOST_SLICES)
    first = number_of(span.start, EVERY)
    windows = number_of(span.end, EVERY) - first
    hits = np.zeros((len(RATES) * len(slices), windows))
    n = np.zeros_like(hits)
    for one in counted:
        if one.slice in slices:
            at, column = number_of(one.start, EVERY) - first, slices.index(one.slice)
            for row, rate in enumerate(RATES):
                hits[row * len(slices) + column, at] += one.hits[rate]
                n[row * len(slices) + column, at] += one.n[rate]
    number = np.arange(first, first + windows)
    phases = np.array([phase_of(int(one), EVERY) for one in number])
    normal = baseline(hits, n, phases, (number - first) // (timedelta(days=1) // EVERY))
    low, high = rates.edges(normal)
    per_phase = np.bincount(phases)
    return sizes["all"], {
        "slices": np.array(slices),
        "mean": normal.mean,
        "low": low,
        "high": high,
        "dispersion": normal.dispersion,
        "n": normal.n,
        "traffic": np.bincount(phases, weights=n[0]) / per_phase,
    }


def judge(
    reference: Reference, counted: Sequence[Counted], window: Window, before: Arrays | None
) -> tuple[Arrays, Outcome]:
    """The state to keep, and what there is to say of the window."""
    arrays = reference.arrays
    slices = [str(name) for name in arrays["slices"]]
    streams = tuple(Stream(1, rate, name) for rate in RATES for name in slices)
    seen = {one.slice: one for one in counted}
    hits, n = (np.array(column) for column in zip(*(_of(seen, s) for s in streams), strict=True))
    number = number_of(window.start, EVERY)
    phase = phase_of(number, EVERY)
    low, high = arrays["low"][:, phase], arrays["high"][:, phase]
    # A slice too small to be judged in the reference stakes nothing.
    enough = arrays["n"] >= MIN_REFERENCE
    gains = rates.log_gains(hits, n, low, high, arrays["dispersion"]) * enough[:, None]
    opens = window.start.hour == 0 or before is None
    state, findings = advance(
        [Part(streams, gains, rates.LOG_WEIGHTS)], before, window=number, opens=opens
    )
    total = seen["all"].n["block"] if "all" in seen else 0
    usual = float(arrays["traffic"][phase])
    collapsed = total < COLLAPSED * usual and usual >= MIN_EXCHANGES
    figures = [
        Figure(
            "exchanges",
            total,
            "exchanges",
            total,
            Status.DRIFT if collapsed else Status.OK,
            threshold=round(COLLAPSED * usual, 1),
            note=f"{usual:.0f} are usual at this time of the week",
            alarm=Alarm("exchanges", layer=0, since=window.start) if collapsed else None,
        )
    ]
    for at, finding in enumerate(findings):
        if finding.stream.slice == "all" or finding.alarmed:
            figures.append(
                _figure(
                    finding,
                    float(hits[at]),
                    float(n[at]),
                    (float(low[at]), float(high[at])),
                    bool(enough[at]),
                )
            )
    return state, _outcome(reference, figures, findings, total)


def since(finding: Finding, length: timedelta) -> str:
    """When the change began, and which alarm explains it, for people."""
    by = finding.explained_by
    words = f"since {start_of(finding.since, length):%Y-%m-%d %H:%M} UTC"
    return words if by is None else f"{words}; explained by {by.metric} on {by.slice}"


def _figure(
    finding: Finding, hits: float, n: float, edges: tuple[float, float], enough: bool
) -> Figure:
    where = finding.stream.slice
    name = f"{finding.stream.metric} rate" + ("" if where == "all" else f" on {where}")
    value = hits / n if n else None
    interval = wilson(int(hits), int(n)) or (None, None)
    note = f"usual {edges[0]:.4f} to {edges[1]:.4f}; strength {finding.strength:+.1f}"
    if finding.alarmed:
        status, note = Status.DRIFT, f"{since(finding, EVERY)}; {note}"
    elif n < MIN_EXCHANGES or not enough:
        status = Status.NO_DATA
    else:
        status = Status.OK
    above = value is not None and value > (edges[0] + edges[1]) / 2
    threshold = edges[1] if above else edges[0]
    low, high = interval
    return Figure(
        name,
        value,
        "share",
        int(n),
        status,
        low=low,
        high=high,
        threshold=threshold,
        note=note,
        alarm=alarm_of(finding, EVERY),
    )


def _outcome(
    reference: Reference, figures: list[Figure], findings: Sequence[Finding], total: int
) -> Outcome:
    alarmed = [finding for finding in findings if finding.alarmed]
    told = [finding for finding in alarmed if finding.explained_by is None]
    parts = [f"{len(findings)} rates and slices, {len(alarmed)} in alarm"]
    parts += [f"{f.stream.metric} on {f.stream.slice} {since(f, EVERY)}" for f in told]
    collapsed = figures[0].status is Status.DRIFT
    if collapsed:
        parts.insert(0, f"{total} exchanges; {figures[0].note}")
    parts.append(f"against {reference.window.start:%Y-%m-%d} to {reference.window.end:%Y-%m-%d}")
    if alarmed or collapsed:
        status = Status.DRIFT
    else:
        status = Status.NO_DATA if total < MIN_EXCHANGES else Status.OK
    return Outcome(status, total, "; ".join(parts), tuple(figures))


def _of(seen: Mapping[str, Counted], stream: Stream) -> tuple[float, float]:
    one = seen.get(stream.slice)
    return (0.0, 0.0) if one is None else (one.hits[stream.metric], one.n[stream.metric])


async def _counted(engine: AsyncEngine, window: Window) -> list[Counted]:
    """Counts by route, tenant and model of all exchanges, and by language of a sample."""
    steps = max(1, (window.end - window.start) // EVERY)
    sample = await drawn(engine, window, most=min(SAMPLED * steps, SAMPLED_REFERENCE))
    return [*await counts(engine, window, EVERY), *_by_language(sample)]


def _by_language(sample: Sequence[Drawn]) -> list[Counted]:
    found: dict[tuple[int, str], Counted] = {}
    for one in sample:
        number = number_of(one.started_at, EVERY)
        name = one.slices[-1]
        counted = found.setdefault(
            (number, name),
            Counted(
                start_of(number, EVERY), name, dict.fromkeys(RATES, 0), dict.fromkeys(RATES, 0)
            ),
        )
        for rate in RATES:
            counted.hits[rate] += one.outcome[rate]
            counted.n[rate] += rate != "refusal" or one.outcome["answered"]
    return list(found.values())
