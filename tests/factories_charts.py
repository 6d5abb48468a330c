"""Charts for tests: one of each kind, with all that may stand in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from monitoring.charts.spec import Chart, Kind, Marker, Point, Series, Tone
from monitoring.intervals import wilson
from monitoring.types import Window

DAY = timedelta(days=1)
WEEK = Window(datetime(2026, 11, 16, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC))
DAYS = tuple(WEEK.start + n * DAY for n in range(7))


def share(at: datetime | str, hits: int, n: int) -> Point:
    """A share with its interval; no data where n is 0."""
    bounds = wilson(hits, n)
    return Point(at, None, n=0) if bounds is None else Point(at, hits / n, *bounds, n)


def a_line() -> Chart:
    n = (1000, 1010, 990, 0, 1002, 700, 640)
    blocked = map(share, DAYS, (20, 22, 25, 0, 51, 60, 48), n)
    flagged = map(share, DAYS, (50, 42, 45, 0, 61, 40, 38), n)
    return Chart(
        Kind.LINE,
        "Blocked <b>, by day",
        "share",
        5342,
        WEEK,
        (
            Series("block", tuple(blocked), Tone.BLOCK),
            Series("flag", tuple(flagged), Tone.FLAG),
        ),
        step=DAY,
        markers=(Marker(DAYS[2] + DAY / 3, "policy & 9f31"), Marker(DAYS[4] + DAY / 2, "model 4")),
        threshold=0.06,
        usual=(0.01, 0.03),
    )


def a_stack() -> Chart:
    quarters = [WEEK.start + n * DAY / 4 for n in range(28)]
    tones = {"allow": Tone.ALLOW, "flag": Tone.FLAG, "redact": Tone.REDACT, "block": Tone.BLOCK}
    counts = [None if n == 9 else 100.0 + n for n in range(28)]
    points = tuple(map(Point, quarters, counts))
    series = tuple(Series(name, points, tone) for name, tone in tones.items())
    return Chart(Kind.STACKED, "Exchanges", "exchanges", 11_000, WEEK, series, step=DAY / 4)


def some_bars() -> Chart:
    points = tuple(Point(name, v, before=v * 0.9) for name, v in (("injection", 210.0), ("x", 42)))
    series = (Series("blocked", points, Tone.BLOCK),)
    return Chart(Kind.BAR, "Blocked, by category", "exchanges", 252, WEEK, series)


def some_intervals() -> Chart:
    series = (
        Series("precision", (share("toxicity", 80, 90), Point("insult", None, n=12)), Tone.ONE),
        Series("recall", (share("toxicity", 60, 90), share("insult", 5, 9)), Tone.TWO),
    )
    return Chart(Kind.INTERVAL, "Filters", "share", 90, WEEK, series, threshold=0.5, of="reviewed")


ALL = (a_line, a_stack, some_bars, some_intervals)
