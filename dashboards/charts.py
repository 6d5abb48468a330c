"""Where each bar of a chart stands: the numbers of an SVG, drawn by a template.

Across, places are in percent and lengths down in pixels, so that a chart takes the width of its
page while its letters keep their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from monitoring.charts.spec import Marker
from monitoring.charts.ticks import rows_of_labels
from monitoring.types import Window

DECISIONS = ("allow", "flag", "redact", "block")

_TICKS = tuple(
    timedelta(minutes=minutes)
    for minutes in (10, 60, 360, 1440, 2 * 1440, 4 * 1440, 10 * 1440, 40 * 1440, 400 * 1440)
)
_PLOT_TOP = 14.0
_PLOT_HEIGHT = 150.0
_MARKER_ROW = 15.0
_NARROWEST = 680
"""Pixels of the narrowest plot that shows labels of markers; narrower ones keep their strokes."""


class Bucket(Struct, frozen=True):
    """How many exchanges began in one span of time, by decision.

    `failed` of them failed besides: a failure has a decision too.
    """

    start: datetime
    counts: dict[str, int]
    failed: int = 0

    @property
    def n(self) -> int:
        """All of them."""
        return sum(self.counts.get(kind, 0) for kind in DECISIONS)


class Bar(Struct, frozen=True):
    """One rectangle: `x` and `width` in percent of the chart, `y` and `height` in pixels."""

    kind: str
    x: float
    width: float
    y: float
    height: float


class Column(Struct, frozen=True):
    """One span of time: its bars from the ground up, and what a pointer over it says."""

    start: datetime
    x: float
    width: float
    title: str
    bars: tuple[Bar, ...]


class Tick(Struct, frozen=True):
    """A labelled place on an axis: percent across, or pixels down."""

    at: float
    label: str


class Happened(Struct, frozen=True):
    """A marker's stroke, percent across, and its label: pixels down, to the left where `turned`."""

    x: float
    y: float
    turned: bool
    at: datetime
    label: str


class Chart(Struct, frozen=True):
    """A stacked bar chart, ready to draw."""

    columns: tuple[Column, ...]
    across: tuple[Tick, ...]
    down: tuple[Tick, ...]
    top: float
    ground: float
    height: float
    step: timedelta
    buckets: tuple[Bucket, ...]
    markers: tuple[Happened, ...] = ()


def stacked(
    buckets: Sequence[Bucket], step: timedelta, markers: Sequence[Marker] = ()
) -> Chart | None:
    """Counts over time as stacked bars, mildest at the ground; None where nothing happened.

    What failed is drawn over the foot of its bar, for it is a part of it and not one more. Labels
    of markers stand above the plot, which keeps its height.
    """
    highest = max((bucket.n for bucket in buckets), default=0)
    if not highest:
        return None
    ceiling = round_up(highest)
    happened, rows = _happened(buckets, step, markers)
    top = _PLOT_TOP + _MARKER_ROW * rows
    ground = top + _PLOT_HEIGHT
    slot = 100 / len(buckets)
    columns = tuple(
        _column(bucket, step, slot * place, slot, ceiling, ground)
        for place, bucket in enumerate(buckets)
    )
    return Chart(
        columns=columns,
        across=_time_ticks(buckets, step),
        down=tuple(
            Tick(ground - _PLOT_HEIGHT * value / ceiling, f"{value:,}")
            for value in sorted({ceiling, ceiling // 2 or ceiling})
        ),
        top=top,
        ground=ground,
        height=ground + 24,
        step=step,
        buckets=tuple(buckets),
        markers=happened,
    )


def round_up(value: int) -> int:
    """The next number whose half, too, people like on an axis: 1, 2, 4 … 10, 12, 16, 20, 30 …"""
    if value <= 10:
        return value if value == 1 else value + value % 2
    power = 1
    while True:
        for step in (10, 12, 16, 20, 30, 40, 50, 60, 80):
            if value <= step * power:
                return step * power
        power *= 10


def _column(
    bucket: Bucket, step: timedelta, x: float, slot: float, ceiling: int, ground: float
) -> Column:
    left, width = _round(x + slot * 0.09), _round(slot * 0.82)

    def length(count: int) -> float:
        # A single block among thousands must still be seen: never less than two pixels.
        return _round(max(2.0, _PLOT_HEIGHT * count / ceiling))

    bars = []
    foot = ground
    for kind in DECISIONS:
        if count := bucket.counts.get(kind, 0):
            foot -= length(count)
            bars.append(Bar(kind, left, width, _round(foot), length(count)))
    if bucket.failed:
        height = length(bucket.failed)
        bars.append(Bar("failed", left, width, _round(ground - height), height))
    end = bucket.start + step
    said = [f"{bucket.counts[kind]:,} {kind}" for kind in DECISIONS if bucket.counts.get(kind)]
    if bucket.failed:
        said.append(f"of them {bucket.failed:,} failed")
    title = f"{bucket.start:%d %b %H:%M}–{end:%H:%M} UTC: {', '.join(said) or 'no exchange'}"
    return Column(bucket.start, _round(x), _round(slot), title, tuple(bars))


def _happened(
    buckets: Sequence[Bucket], step: timedelta, markers: Sequence[Marker]
) -> tuple[tuple[Happened, ...], int]:
    """The markers within the chart, and how many rows of labels stand above its plot."""
    window = Window(buckets[0].start, buckets[0].start + step * len(buckets))
    inside = [one for one in markers if window.start <= one.at < window.end]
    places = rows_of_labels(inside, window, _NARROWEST)
    rows = 1 + max((row for row, _ in places), default=-1)
    length = window.end - window.start
    return tuple(
        Happened(
            _round(100 * ((one.at - window.start) / length)),
            _MARKER_ROW * (rows - row) - 4,
            turned,
            one.at,
            one.label,
        )
        for one, (row, turned) in zip(inside, places, strict=True)
    ), rows


def _time_ticks(buckets: Sequence[Bucket], step: timedelta) -> tuple[Tick, ...]:
    """Round moments of the clock where they fall: minutes, hours or midnights, nine at most."""
    begin = buckets[0].start
    length = step * len(buckets)
    every = next(each for each in _TICKS if length <= 9 * each)
    at = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    ticks = []
    while at < begin + length:
        if at >= begin:
            label = f"{at:%d %b}" if at.hour == 0 else f"{at:%H:%M}"
            ticks.append(Tick(_round(100 * ((at - begin) / length)), label))
        at += every
    return tuple(ticks)


def _round(value: float) -> float:
    return round(value, 2)


class Step(Struct, frozen=True):
    """One step of an exchange in its waterfall: `x` and `width` in percent of the whole."""

    name: str
    seconds: float
    x: float
    width: float


def waterfall(seconds: Sequence[tuple[str, float]]) -> tuple[Step, ...]:
    """Steps one after the other, each beginning where the last one ended."""
    whole = sum(length for _, length in seconds)
    if whole <= 0:
        return ()
    steps = []
    begun = 0.0
    for name, length in seconds:
        width = 100 * length / whole
        steps.append(Step(name, length, _round(100 * begun / whole), _round(max(0.3, width))))
        begun += length
    return tuple(steps)
