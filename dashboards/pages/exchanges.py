"""The first page: what the last day held, and the latest exchanges."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from msgspec import Struct

from dashboards.charts import Bucket, Chart, stacked
from dashboards.wording import count_of, percent, percent_interval, seconds_of
from guardrails.errors import BadRequest
from guardrails.exchange_log import query as log
from monitoring.types import Window

PAGE_ROWS = 40
DAY = timedelta(hours=24)
STEP = timedelta(hours=1)
TEXT_REACHES = timedelta(days=7)
DECISIONS = ("allow", "flag", "redact", "block", "failed")
EXCERPT_CHARACTERS = 140
NAME_CHARACTERS = 80

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Filters(Struct, frozen=True, omit_defaults=True):
    """What of the log is shown; None: all of it."""

    decision: str | None = None
    route: str | None = None
    model: str | None = None
    text: str | None = None

    @property
    def set(self) -> dict[str, str]:
        """Those that narrow the list, as they stand in the address."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if value}


class Figure(Struct, frozen=True):
    """One number of the summary; `value` None is shown as no data."""

    name: str
    value: str | None
    lines: tuple[str, ...]
    unit: str = ""
    tone: str = ""


class Line(Struct, frozen=True):
    """One exchange in the list."""

    id: str
    started_at: datetime
    kind: str
    excerpt: str
    why: str
    route: str
    model: str
    seconds: float | None


class Page(Struct, frozen=True):
    """All that the template needs; names as there."""

    window: Window
    figures: tuple[Figure, ...]
    chart: Chart | None
    rows: tuple[Line, ...]
    filters: Filters
    older_url: str | None
    newest_url: str | None
    fragment_url: str | None


def read_filters(query: dict[str, str]) -> Filters:
    """The filters in an address; an empty one is none. An unknown decision is a BadRequest."""
    values = {name: query.get(name, "").strip() or None for name in Filters.__struct_fields__}
    filters = Filters(**values)
    if filters.decision is not None and filters.decision not in DECISIONS:
        raise BadRequest(f"A decision is one of: {', '.join(DECISIONS)}.", param="decision")
    return filters


def conditions(filters: Filters, now: datetime) -> dict[str, Any]:
    """The filters as `query.latest` takes them.

    Limits: text is looked for in the last seven days only, for it is read row by row.
    """
    failed = filters.decision == "failed"
    return {
        "decision": None if failed else filters.decision,
        "failed": True if failed else None,
        "route": filters.route,
        "model": filters.model,
        "text": filters.text,
        "since": now - TEXT_REACHES if filters.text else None,
    }


def day_until(now: datetime) -> Window:
    """The 24 hours that end with the minute now running: the page changes once a minute at most."""
    end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return Window(end - DAY, end)


def write_place(place: log.Before) -> str:
    """A row's place in the log for an address: microseconds and id."""
    at, row_id = place
    return f"{(at - _EPOCH) // _MICROSECOND}-{UUID(str(row_id)).hex}"


def read_place(written: str) -> log.Before:
    """A place from an address; BadRequest where it is none."""
    microseconds, _, row_id = written.partition("-")
    try:
        return _EPOCH + int(microseconds) * _MICROSECOND, UUID(hex=row_id)
    except (ValueError, OverflowError) as error:
        raise BadRequest("This place in the log cannot be read.", param="before") from error


def view(
    rows: Sequence[log.ExchangeRow],
    totals: log.Totals,
    buckets: Sequence[log.Bucket],
    *,
    reached: int,
    window: Window,
    filters: Filters,
    before: log.Before | None,
) -> Page:
    """The page from what was read; one row more than a page tells that there are older ones."""
    shown = rows[:PAGE_ROWS]
    narrowed = filters.set
    older = None
    if len(rows) > PAGE_ROWS:
        older = _url({**narrowed, "before": write_place(shown[-1].place)})
    return Page(
        window=window,
        figures=figures(totals, reached),
        chart=stacked([_bucket(bucket) for bucket in buckets], STEP),
        rows=tuple(_line(row) for row in shown),
        filters=filters,
        older_url=older,
        newest_url=_url(narrowed) if before is not None else None,
        fragment_url="/fragments/latest" + (f"?{urlencode(narrowed)}" if narrowed else "")
        if before is None
        else None,
    )


def figures(totals: log.Totals, reached: int) -> tuple[Figure, ...]:
    """The summary. Of a silent log each figure is no data, for silence proves nothing."""
    n = totals.exchanges
    names = ("Exchanges", "Blocked", "Failed", "Duration, p50 / p95")
    if n == 0:
        return tuple(Figure(name, None, ("no exchange in this time",)) for name in names)
    passed = (
        f"{count_of(totals.allowed)} allowed, {count_of(totals.flagged)} flagged",
        f"{count_of(totals.redacted)} redacted, {count_of(totals.abandoned)} left by the caller",
    )
    took = None
    if totals.p50_seconds is not None and totals.p95_seconds is not None:
        took = f"{seconds_of(totals.p50_seconds)} / {seconds_of(totals.p95_seconds)}"
    return (
        Figure(names[0], count_of(n), passed),
        _share(names[1], totals.blocked, n, tone="acted" if totals.blocked else ""),
        _share(names[2], totals.failed, n),
        Figure(names[3], took, (f"n = {count_of(reached)} that reached a model",), unit="s"),
    )


def _share(name: str, hits: int, n: int, *, tone: str = "") -> Figure:
    lines = (
        f"{count_of(hits)} of n = {count_of(n)}",
        f"interval {percent_interval(hits, n)}",
    )
    return Figure(name, percent(hits / n), lines, tone=tone)


def _bucket(bucket: log.Bucket) -> Bucket:
    counts = {
        "allow": bucket.allowed,
        "flag": bucket.flagged,
        "redact": bucket.redacted,
        "block": bucket.blocked,
    }
    return Bucket(bucket.start, counts, bucket.failed)


def _line(row: log.ExchangeRow) -> Line:
    return Line(
        id=str(row.id),
        started_at=row.started_at,
        kind="failed" if row.failure_code else row.decision,
        excerpt=" ".join(row.excerpt.split())[:EXCERPT_CHARACTERS],
        why=_why(row)[:EXCERPT_CHARACTERS],
        route=row.route[:NAME_CHARACTERS],
        model=row.model[:NAME_CHARACTERS],
        seconds=row.duration_seconds,
    )


def _why(row: log.ExchangeRow) -> str:
    parts = [*row.rules]
    if row.failure_code:
        parts.insert(0, f"{row.failure_code} ({row.failure_status})")
    if row.abandoned:
        parts.append("the caller left")
    return ", ".join(parts)


def _url(query: dict[str, str]) -> str:
    return "/" + (f"?{urlencode(query)}" if query else "") + "#latest"
