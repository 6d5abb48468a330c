"""How is a week put together? Every number is asked for once, and what comes out is frozen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from msgspec import Struct, structs
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitoring.bias.counts import counts
from monitoring.bias.gaps import MIN_N, gaps
from monitoring.bias.gaps import Gap as Found
from monitoring.intervals import wilson
from monitoring.prevalence.estimate import Estimate, Quality
from monitoring.prevalence.filters import ANY, Filters, filters
from monitoring.report import queries
from monitoring.report.changes import Bounds, corrected, order_statistics, quantile, share
from monitoring.report.document import (
    Category,
    Change,
    Day,
    Filter,
    Gap,
    Lack,
    Number,
    Report,
    Share,
    Slice,
)
from monitoring.report.happened import actions, audits, events, incidents, jobs_of, passed
from monitoring.report.week import WEEK, before, name_of
from monitoring.types import Window

WEEKS_BEFORE = 4
DAY = timedelta(days=1)
MOST_CATEGORIES = 10
MOST_SLICES = 5
REVIEWED = timedelta(days=28)


class Week(Struct, frozen=True):
    """What one week is counted in."""

    n: int
    block: int
    failed: int
    unchecked: int
    cited: int
    grounded: int

    @property
    def served(self) -> int:
        """Those that did not fail."""
        return self.n - self.failed


async def collect(engine: AsyncEngine, window: Window, *, links: str = "") -> Report:
    """The report of a week. `links` begins the addresses of the dashboards; empty: none are made.

    Cost: reads the rows of five weeks once or twice; about 3 s for 100,000 exchanges.
    """
    span = Window(before(window, WEEKS_BEFORE)[0].start, window.end)
    earlier = Window(span.start, window.start)
    reviewed = Window(window.end - REVIEWED, window.end)
    async with engine.connect() as connection:
        weeks = await _weeks(connection, span)
        days = [_day(row) for row in await queries.per_step(connection, window, DAY)]
        times = await _times(connection, window, earlier)
        categories = await _categories(connection, window, earlier, weeks)
        sliced = await queries.slices(connection, window)
        failed = await queries.failures(connection, window)
        uncovered = await queries.uncovered(connection, window)
        unchecked = await queries.unchecked(connection, window)
        changed = await events(connection, span, window)
    quality = await filters(engine, reviewed)
    numbers = [*_headlines(weeks, quality), *times]
    settled, sorted_out, comparisons = corrected(numbers, categories)
    ran, never = await jobs_of(engine, window)
    return Report(
        week=name_of(window),
        window=window,
        links=links.rstrip("/"),
        n=weeks[-1].n,
        before_n=sum(one.n for one in weeks[:-1]),
        # What the guard adds is the last of the headlines and the first of the times.
        headlines=settled[: len(numbers) - 2],
        days=tuple(days),
        slices=tuple(_slices(sliced)),
        categories=sorted_out,
        incidents=tuple(await incidents(engine, window)),
        passed=tuple(await passed(engine, window)),
        gaps=tuple(_gap(one) for one in gaps(await counts(engine, window))),
        audits=tuple(await audits(engine, window)),
        jobs=tuple(ran),
        never_ran=tuple(never),
        filters=tuple(_filter(name, one) for name, one in quality.by_category.items()),
        agreement=_estimated("reviewers' agreement", quality.agreement, "alpha"),
        reviewed=reviewed,
        failures=tuple(Lack(row.what, "failed", row.n) for row in failed),
        uncovered=(
            *(Lack(row.what, "not scanned", row.n) for row in uncovered),
            *(
                Lack(
                    f"{row.detector}: {row.error}",
                    "served without this check" if row.served else "not served",
                    row.n,
                )
                for row in unchecked
            ),
        ),
        latency=settled[len(numbers) - 3 :],
        events=tuple(changed),
        actions=tuple(await actions(engine, window, ran, never, quality)),
        comparisons=comparisons,
    )


async def _weeks(connection: AsyncConnection, span: Window) -> list[Week]:
    """Every week of the span, also those in which nothing happened."""
    found = {row.start: row for row in await queries.per_step(connection, span, WEEK)}
    names = Week.__struct_fields__
    weeks = []
    start = span.start
    while start < span.end:
        row = found.get(start)
        weeks.append(Week(**{name: int(getattr(row, name)) if row else 0 for name in names}))
        start += WEEK
    return weeks


def _headlines(weeks: Sequence[Week], quality: Filters) -> list[Number]:
    def share_of(name: str, hits: str, n: str = "n", **more: str) -> Number:
        return share(
            name, [getattr(w, hits) for w in weeks], [getattr(w, n) for w in weeks], **more
        )

    counted = [float(week.n) for week in weeks]
    known = [n for n in counted[:-1] if n]
    usual = sum(known) / len(known) if known else None
    harm = quality.by_category[ANY].prevalence
    return [
        Number(
            "Exchanges",
            "exchanges",
            counted[-1],
            weeks[-1].n,
            change=Change(usual, len(known)),
            weeks=tuple(counted),
        ),
        share_of("Blocked", "block"),
        _estimated("Harm, by human sample", harm, "share", good="down"),
        share_of("Answers grounded", "grounded", "cited", good="up"),
        share_of("Not fully checked", "unchecked", good="down"),
        share_of("Served without failure", "served", good="up"),
    ]


async def _times(connection: AsyncConnection, window: Window, earlier: Window) -> list[Number]:
    """What the guard adds to the slowest twentieth, and how long exchanges take in all."""
    n = [await queries.reached(connection, span) for span in (window, earlier)]
    whole, guard = {}, {}
    for q in (0.5, 0.95):
        for place, span in enumerate((window, earlier)):
            shares = order_statistics(q, n[place])
            whole[q, place], guard[q, place] = await queries.quantiles(connection, span, shares)

    def of(name: str, found: dict[tuple[float, int], Bounds | None], q: float) -> Number:
        return quantile(name, found[q, 0], n[0], found[q, 1], n[1], good="down")

    return [
        of("Added by the guard, p95", guard, 0.95),
        of("Whole exchange, median", whole, 0.5),
        of("Whole exchange, p95", whole, 0.95),
    ]


async def _categories(
    connection: AsyncConnection, window: Window, earlier: Window, weeks: Sequence[Week]
) -> list[Category]:
    now = await queries.categories(connection, window)
    then = await queries.categories(connection, earlier)
    every = sorted({*now, *then}, key=lambda key: (-now.get(key, 0), -then.get(key, 0), key))
    n, before_n = weeks[-1].n, sum(week.n for week in weeks[:-1])
    return [
        Category(key[0], key[1], share(key[0], [then.get(key, 0), now.get(key, 0)], [before_n, n]))
        for key in every[:MOST_CATEGORIES]
    ]


def _day(row: Row[Any]) -> Day:
    return Day(
        row.start,
        {kind: getattr(row, kind) for kind in ("allow", "flag", "redact", "block")},
        row.n,
        row.failed,
        row.unchecked,
        Share(row.grounded, row.cited),
        row.p50,
        row.p95,
    )


def _slices(rows: Sequence[Row[Any]]) -> list[Slice]:
    taken: Counter[str] = Counter()
    kept = []
    for row in rows:
        taken[row.kind] += 1
        if taken[row.kind] <= MOST_SLICES:
            kept.append(Slice(row.kind, row.name, row.n, row.blocked))
    return kept


def _gap(one: Found) -> Gap:
    low, high = wilson(one.hits, one.n) or (None, None)
    known = one.n >= MIN_N
    made = Gap(one.kind, one.name, one.rate, one.share if known else None, one.n)
    if known:
        made = structs.replace(made, low=low, high=high)
    if one.apart is None:
        return made
    return structs.replace(
        made,
        apart=one.apart.value,
        apart_low=one.apart.low,
        apart_high=one.apart.high,
        p=one.p,
        status=one.status.value,
    )


def _filter(name: str, one: Quality) -> Filter:
    return Filter(
        name,
        _estimated("prevalence", one.prevalence, "share", good="down"),
        _estimated("precision", one.precision, "share", good="up"),
        _estimated("recall", one.recall, "share", good="up"),
    )


def _estimated(name: str, one: Estimate, unit: str, good: str | None = None) -> Number:
    return Number(name, unit, one.value, one.n, one.low, one.high, good=good, note=one.note)
