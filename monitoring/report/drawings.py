"""Which charts does the report have? Each a chart specification, made of the frozen data alone."""

from __future__ import annotations

from datetime import datetime, timedelta

from monitoring.charts.spec import Chart, Kind, Marker, Point, Series, Tone
from monitoring.intervals import wilson
from monitoring.report.document import Day, Number, Report
from monitoring.report.week import WEEK

DAY = timedelta(days=1)
_DECISIONS = {
    "allow": Tone.ALLOW,
    "flag": Tone.FLAG,
    "redact": Tone.REDACT,
    "block": Tone.BLOCK,
}
MOST_NAMES = 8


def decisions(report: Report) -> Chart:
    """Exchanges of each day, by decision."""
    days = _days(report)
    series = tuple(
        Series(
            kind,
            tuple(Point(at, day.decisions[kind] if day else None) for at, day in days),
            tone,
        )
        for kind, tone in _DECISIONS.items()
    )
    return _over_days(report, Kind.STACKED, "Exchanges by decision", "exchanges", series, report.n)


def blocked(report: Report) -> Chart:
    """Which share was blocked each day, with what changed."""
    points = tuple(
        _share(at, day.decisions["block"], day.n) if day else Point(at, None)
        for at, day in _days(report)
    )
    series = (Series("blocked", points, Tone.BLOCK),)
    return _over_days(report, Kind.LINE, "Blocked, by day", "share", series, report.n, marked=True)


def grounded(report: Report) -> Chart:
    """Which share of the answers that had passages held to them."""
    points = tuple(
        _share(at, day.grounded.hits, day.grounded.n) if day else Point(at, None)
        for at, day in _days(report)
    )
    n = sum(day.grounded.n for day in report.days)
    series = (Series("grounded", points, Tone.ONE),)
    return _over_days(
        report, Kind.LINE, "Answers grounded, by day", "share", series, n,
        of="answers with passages", marked=True,
    )  # fmt: skip


def latency(report: Report) -> Chart:
    """How long whole exchanges took."""
    days = _days(report)
    series = (
        Series("median", tuple(Point(at, day.p50_seconds if day else None) for at, day in days)),
        Series(
            "95th percentile",
            tuple(Point(at, day.p95_seconds if day else None) for at, day in days),
            Tone.TWO,
        ),
    )
    n = report.latency[-1].n if report.latency else 0
    return _over_days(report, Kind.LINE, "Duration of an exchange", "seconds", series, n)


def bias(report: Report, kind: str) -> Chart:
    """The block rates of the largest groups, or languages, side by side."""
    found = [gap for gap in report.gaps if (gap.kind, gap.rate) == (kind, "block")]
    found = sorted(found, key=lambda gap: -gap.n)[:MOST_NAMES]
    points = tuple(Point(name_of(gap.name), gap.value, gap.low, gap.high, gap.n) for gap in found)
    title = "Blocked, by group that is named" if kind == "group" else "Blocked, by language"
    n = sum(gap.n for gap in report.gaps if (gap.kind, gap.rate) == (kind, "block"))
    series = (Series("blocked", points, Tone.BLOCK),)
    return Chart(Kind.INTERVAL, title, "share", n, report.window, series)


def filters(report: Report) -> Chart:
    """Precision and recall of each filter."""
    series = tuple(
        Series(
            name,
            tuple(
                Point(one.name.replace("_", " "), number.value, number.low, number.high, number.n)
                for one in report.filters
                for number in (getattr(one, name),)
            ),
            tone,
        )
        for name, tone in (("precision", Tone.ONE), ("recall", Tone.TWO))
    )
    n = max((one.prevalence.n for one in report.filters), default=0)
    return Chart(
        Kind.INTERVAL, "Precision and recall, by human sample", "share", n, report.reviewed,
        series, of="labelled items",
    )  # fmt: skip


def weeks(report: Report, number: Number) -> Chart:
    """A headline's last five weeks, for beside it."""
    first = report.window.end - len(number.weeks) * WEEK
    points = tuple(Point(first + n * WEEK, value) for n, value in enumerate(number.weeks))
    series = (Series(number.name, points, Tone.INK),)
    return Chart(Kind.SPARK, number.name, number.unit, number.n, report.window, series, step=WEEK)


def name_of(group: str) -> str:
    """A group's name for people: `religion:muslims` is `muslims`."""
    return group.partition(":")[2] or group


def _days(report: Report) -> list[tuple[datetime, Day | None]]:
    found = {day.start: day for day in report.days}
    starts = [report.window.start + n * DAY for n in range(7)]
    return [(at, found.get(at)) for at in starts]


def _share(at: datetime, hits: int, n: int) -> Point:
    low, high = wilson(hits, n) or (None, None)
    return Point(at, hits / n if n else None, low, high, n)


def _over_days(
    report: Report,
    kind: Kind,
    title: str,
    unit: str,
    series: tuple[Series, ...],
    n: int,
    *,
    of: str = "exchanges",
    marked: bool = False,
) -> Chart:
    markers = tuple(Marker(one.at, f"{one.kind} {one.what}") for one in report.events if marked)
    return Chart(kind, title, unit, n, report.window, series, step=DAY, markers=markers[:4], of=of)
