"""What stands around a chart? Its title, unit, n, window and legend, and the same as a table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from msgspec import Struct

from monitoring.charts.numbers import interval, moment, number, span
from monitoring.charts.spec import Chart, Kind, Point

_UNITS = {
    "share": "share of {of}",
    "points": "difference in percentage points",
    "seconds": "seconds",
}


class Table(Struct, frozen=True):
    """A chart in words: a header, and rows whose first cell names them."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def subtitle(chart: Chart) -> str:
    """Unit, n and window: what a number means nothing without."""
    of = chart.of or "exchanges"
    unit = _UNITS.get(chart.unit, chart.unit).format(of=of)
    return f"{unit} · n = {chart.n:,} · {span(chart.window)}"


def described(chart: Chart) -> str:
    """One sentence or two for who cannot see it."""
    parts = [f"{subtitle(chart)}."]
    for one in chart.series:
        known = [p for p in one.points if p.value is not None]
        if not known:
            parts.append(f"{one.name}: no data.")
        elif chart.over_time:
            values = [p.value for p in known if p.value is not None]
            words = f"{number(min(values), chart.unit)} to {number(max(values), chart.unit)}"
            parts.append(f"{one.name}: {words}, last {number(values[-1], chart.unit)}.")
    silent = sum(p.value is None for s in chart.series for p in s.points)
    if silent:
        parts.append(f"{silent} without data.")
    parts += [f"{marker.label} on {moment(marker.at, None)}." for marker in chart.markers]
    return " ".join(parts)


def table(chart: Chart) -> Table:
    """Every number of the chart; over time one row a step, side by side one a name and series."""
    if chart.over_time and len(chart.series) > 1:
        return _by_step(chart)
    several = len(chart.series) > 1
    bounded = any(p.low is not None for s in chart.series for p in s.points)
    counted = any(p.n is not None for s in chart.series for p in s.points)
    earlier = any(p.before is not None for s in chart.series for p in s.points)
    header = ["From (UTC)" if chart.over_time else "Of"]
    header += ["Series"] * several + ["Value"]
    header += ["95 % interval"] * bounded + ["Before"] * earlier + ["n"] * counted
    rows = []
    for one in chart.series:
        for point in one.points:
            row = [moment(point.at, chart.step)]
            row += [one.name] * several + [number(point.value, chart.unit)]
            row += [interval(point.low, point.high, chart.unit)] * bounded
            row += ["" if point.before is None else number(point.before, chart.unit)] * earlier
            row += ["" if point.n is None else f"{point.n:,}"] * counted
            rows.append(tuple(row))
    return Table(tuple(header), tuple(rows))


def figure(chart: Chart, drawn: str, *, heading: str = "p", shown: bool = True) -> str:
    """The chart as a whole piece of a page: caption, legend, drawing, note, and its table.

    `drawn` is its SVG. All words are escaped. The classes are those of `banister.css`.
    """
    parts = [
        '<figure class="panel chart-figure"><figcaption>',
        f'<{heading} class="caption">{escape(chart.title)}</{heading}>',
        f'<p class="chart-unit">{escape(subtitle(chart))}</p>',
        _legend(chart),
        "</figcaption>",
    ]
    if chart.empty:
        parts.append('<p class="nothing"><span aria-hidden="true">—</span> No data.</p>')
    else:
        parts.append(f'<div class="drawn-box">{drawn}</div>')
    if chart.note:
        parts.append(f'<p class="note">{escape(chart.note)}</p>')
    if shown and not chart.empty:
        parts.append(_details(table(chart), chart.title))
    return "".join([*parts, "</figure>"])


def _legend(chart: Chart) -> str:
    if len(chart.series) < 2:
        return ""
    items = "".join(
        f'<li><svg class="swatch" viewBox="0 0 14 10" width="14" height="10" aria-hidden="true">'
        f"{swatch(chart.kind, one.tone, place)}</svg>{escape(one.name)}</li>"
        for place, one in enumerate(chart.series)
    )
    return f'<ul class="legend">{items}</ul>'


def swatch(kind: Kind, tone: str, place: int) -> str:
    """What a series looks like, in a box of 14 by 10."""
    if kind is Kind.LINE:
        dash = ("", "4 2", "2 2", "5 2 1 2")[place % 4]
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        return f'<path d="M0,5h14" stroke="var(--{tone})" stroke-width="2"{dashed}/>'
    return f'<rect x="2" width="10" height="10" rx="2" fill="var(--{tone})"/>'


def _details(rows: Table, title: str) -> str:
    head = "".join(
        f'<th scope="col"{_side(place)}>{escape(name)}</th>'
        for place, name in enumerate(rows.header)
    )
    body = "".join(f"<tr>{_row(row)}</tr>" for row in rows.rows)
    return (
        "<details><summary>The same as a table</summary>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}, as a table">'
        f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div></details>"
    )


def _row(row: Sequence[str]) -> str:
    first, *others = row
    cells = "".join(f'<td class="number">{escape(cell)}</td>' for cell in others)
    return f'<th scope="row">{escape(first)}</th>{cells}'


def _side(place: int) -> str:
    return ' class="number"' if place else ""


def _by_step(chart: Chart) -> Table:
    moments = list(dict.fromkeys(p.at for s in chart.series for p in s.points))
    of: dict[tuple[object, str], Point] = {
        (p.at, s.name): p for s in chart.series for p in s.points
    }
    rows = []
    for at in moments:
        cells = [moment(at, chart.step)]
        for one in chart.series:
            point = of.get((at, one.name))
            cells.append(_cell(chart, point))
        rows.append(tuple(cells))
    return Table(("From (UTC)", *(one.name for one in chart.series)), tuple(rows))


def _cell(chart: Chart, point: Point | None) -> str:
    if point is None:
        return number(None, chart.unit)
    between = interval(point.low, point.high, chart.unit)
    return number(point.value, chart.unit) + (f" ({between})" if between else "")
