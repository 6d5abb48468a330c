from datetime import UTC, datetime, timedelta

import pytest

from dashboards.filters import Filters
from dashboards.pages.overview import UNTIMED, figures, rates, step_of, view
from guardrails.exchange_log.rows import Bucket, Totals
from monitoring.charts.spec import Marker
from monitoring.types import Window

NOW = datetime(2026, 11, 23, 7, 40, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = Filters().window(NOW)
TOTALS = Totals(
    exchanges=1204,
    allowed=1100,
    flagged=40,
    redacted=14,
    blocked=50,
    failed=6,
    abandoned=3,
    input_tokens=1,
    output_tokens=1,
    p50_seconds=0.4211,
    p95_seconds=1.8,
)
SILENT = Totals(0, 0, 0, 0, 0, 0, 0, 0, 0, None, None)


def series(counts: int) -> list[Bucket]:
    return [
        Bucket(DAY.start + n * HOUR, DAY.start + (n + 1) * HOUR,
               counts, counts, 0, 0, 0, 0, 0, None, None)
        for n in range(24)
    ]  # fmt: skip


def plain(text: str | None) -> str | None:
    return text and text.replace("\N{NO-BREAK SPACE}", " ")


def test_figures_come_with_unit_n_and_interval():
    assert [(f.name, plain(f.value), [plain(s) for s in f.lines], f.unit, f.tone)
            for f in figures(TOTALS, 1150)] == [
        ("Exchanges", "1,204", ["1,100 allowed, 40 flagged", "14 redacted, 3 left by the caller"],
         "", ""),
        ("Blocked", "4.2 %", ["50 of n = 1,204", "interval 3.2–5.4 %"], "", "acted"),
        ("Failed", "0.50 %", ["6 of n = 1,204", "interval 0.2–1.1 %"], "", ""),
        ("Duration, p50 / p95", "0.421 / 1.80", ["n = 1,150 that reached a model"], "s", ""),
    ]  # fmt: skip


def test_silence_is_no_data_and_never_a_good_number():
    assert {figure.value for figure in figures(SILENT, 0)} == {None}
    assert view(SILENT, series(0), 0, DAY, Filters()).chart is None
    assert rates(series(0), 0, DAY, ()) == ()


def test_durations_are_no_data_when_nothing_reached_a_model():
    blocked_all = Totals(5, 0, 0, 0, 5, 0, 0, 0, 0, None, None)
    assert [figure.value is None for figure in figures(blocked_all, 0)] == [False] * 3 + [True]


@pytest.mark.parametrize(
    ("span", "step", "named"),
    [("1h", "5 minutes", "Last hour"), (None, "hour", "Last 24 hours"),
     ("7d", "6 hours", "Last 7 days"), ("30d", "day", "Last 30 days"),
     ("90d", "3 days", "Last 90 days")],
)  # fmt: skip
def test_a_bar_is_as_long_as_the_span_asks(span, step, named):
    filters = Filters(span=span)
    page = view(SILENT, (), 0, filters.window(NOW), filters)
    assert (page.step, page.named) == (step, named)


def test_a_fixed_time_is_named_as_such():
    filters = Filters(since=NOW - HOUR, until=NOW)
    assert view(SILENT, (), 0, filters.window(NOW), filters).named == "Chosen time"
    assert step_of(Window(NOW - HOUR, NOW)) == timedelta(minutes=5)


def test_rates_move_with_their_interval_n_and_what_happened():
    quiet, busy = (Bucket(NOW, NOW + HOUR, n, n, 0, 0, 0, 0, 0, None, None) for n in (0, 10))
    marked = (Marker(NOW, "policy: default@012345"),)
    blocked, eased, failed, took = rates([quiet, busy], 8, DAY, marked)
    silent, known = blocked.series[0].points
    assert (silent.value, silent.n) == (None, 0)
    assert (known.value, known.low, known.n) == (0, 0, 10)
    assert known.high == pytest.approx(0.278, abs=0.001)
    assert {one.markers for one in (blocked, eased, failed, took)} == {marked}
    assert [one.n for one in (blocked, took)] == [10, 8]
    assert (took.empty, took.note) == (True, UNTIMED)
