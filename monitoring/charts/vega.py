"""How does a chart become a Vega-Lite specification? Colours and letters by their CSS names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from monitoring.charts.numbers import interval, moment, number
from monitoring.charts.palette import named
from monitoring.charts.spec import Chart, Kind, Point, Series
from monitoring.charts.ticks import across, rows_above, rows_of_labels, within

Spec = dict[str, Any]

HATCH = "hatch"
"""A fill that `svg.py` turns into a pattern: here was nothing to measure."""

_ROW = 30
_MARKER_ROW = 15
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
_PERCENT = ("share", "points")
_HALO = {"stroke": named("surface"), "strokeWidth": 3, "strokeJoin": "round"}
"""What keeps letters readable over a line: the same letters, thick, beneath them."""


def specification(chart: Chart, width: int, height: int) -> Spec:
    """The whole of it. `height` is the plot's over time; side by side it follows the rows."""
    if chart.kind is Kind.SPARK:
        body: Spec = {"layer": list(_spark(chart)), "height": height, "padding": 3}
    elif chart.over_time:
        taller = height + _MARKER_ROW * rows_above(chart, width)
        body = {"layer": list(_over_time(chart, width)), "height": taller}
    else:
        rows = len(_names(chart)) * (1 if len(chart.series) == 1 else 0.85 * len(chart.series))
        body = {"layer": list(_side_by_side(chart)), "height": round(_ROW * max(1.0, rows)) + 30}
    body["width"] = width
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "background": None,
        "padding": {"left": 0, "right": 6, "top": 2, "bottom": 0},
        "autosize": {"type": "fit", "contains": "padding"},
        "config": _config(),
        **body,
    }


def _config() -> Spec:
    quiet = {"labelColor": named("muted"), "labelFont": named("sans"), "labelFontSize": 12}
    return {
        "view": {"stroke": None},
        "font": named("sans"),
        "axis": {**quiet, "title": None, "ticks": False, "domain": False, "grid": False},
        "axisX": {"labelPadding": 8},
        "axisY": {"labelPadding": 8},
    }


def _values(chart: Chart) -> Spec:
    """The scale of values; it begins at 0, for a bar cut at its foot lies."""
    axis = {
        "grid": True,
        "gridColor": named("line"),
        "tickCount": 4,
        "format": _format(chart),
    }
    scale: Spec = {"nice": 4, "zero": True}
    if chart.empty:
        scale["domain"] = [0, 1]
    return {"type": "quantitative", "axis": axis, "scale": scale}


def _format(chart: Chart) -> str:
    if chart.unit not in _PERCENT:
        return ",~r"
    sign = "+" if chart.unit == "points" else ""
    return f"{sign}.0%" if _highest(chart) >= 0.1 else f"{sign}.1~%"


def _highest(chart: Chart) -> float:
    found = [abs(v) for s in chart.series for p in s.points for v in (p.value, p.high, p.low) if v]
    return max(found, default=0.0)


# over time


def _over_time(chart: Chart, width: int) -> Iterator[Spec]:
    x = _time_axis(chart)
    yield from _silences(chart, x)
    if chart.usual:
        low, high = chart.usual
        yield _layer(
            [{"low": low, "high": high}],
            {"type": "rect", "color": named("sunken")},
            {"y": {"field": "low", **_values(chart)}, "y2": {"field": "high"}},
        )
    if chart.kind is Kind.STACKED:
        yield _stack(chart, x)
    else:
        for place, one in enumerate(chart.series):
            yield from _line(chart, one, x, _DASHES[place % len(_DASHES)])
    yield from _threshold(chart)
    yield from _markers(chart, width)


def _time_axis(chart: Chart) -> Spec:
    moments, form = across(chart.window)
    return {
        "type": "temporal",
        "scale": {"type": "utc", "domain": [_ms(chart.window.start), _ms(chart.window.end)]},
        "axis": {
            "values": [_ms(at) for at in moments],
            "labelExpr": f"utcFormat(datum.value, '{form}')",
            "domain": True,
            "domainColor": named("line-strong"),
            "labelFlush": False,
            "labelOverlap": "greedy",
        },
    }


def _silences(chart: Chart, x: Spec) -> Iterator[Spec]:
    """Spans in which no series could be measured, hatched; an axis also where nothing else is."""
    step = _step(chart)
    known = {p.at for s in chart.series for p in s.points if p.value is not None}
    moments = sorted({p.at for s in chart.series for p in s.points}, key=str)
    silent = [at for at in moments if at not in known and isinstance(at, datetime)]
    data = [
        {
            "from": _ms(at),
            "to": _ms(at + step),
            "said": f"{moment(at, step)}: no data",
        }
        for at in silent
    ]
    yield _layer(
        data,
        {"type": "rect", "color": HATCH},
        {
            "x": {"field": "from", **x},
            "x2": {"field": "to"},
            "description": {"field": "said"},
        },
    )


def _line(chart: Chart, one: Series, x: Spec, dash: list[int]) -> Iterator[Spec]:
    step = _step(chart)
    data, lone, run = [], [], 0
    points = one.points
    for place, point in enumerate(points):
        if point.value is None or isinstance(point.at, str):
            run += 1
            continue
        row = {
            "at": _ms(point.at + step / 2),
            "value": point.value,
            "low": point.value if point.low is None else point.low,
            "high": point.value if point.high is None else point.high,
            "run": run,
            "said": _said(chart, one, point),
            "series": one.name,
        }
        data.append(row)
        neighbours = points[max(0, place - 1) : place] + points[place + 1 : place + 2]
        if all(other.value is None for other in neighbours):
            lone.append(row)
    y = _values(chart)
    at = {"field": "at", **x}
    colour = named(one.tone)
    yield _layer(
        data,
        {"type": "area", "color": colour, "opacity": 0.16},
        {"x": at, "y": {"field": "low", **y}, "y2": {"field": "high"}, "detail": _run()},
    )
    if lone:
        # A band of one point has no width: its interval is drawn as a stroke.
        yield _layer(
            lone,
            {"type": "rule", "color": colour, "opacity": 0.45, "strokeWidth": 2},
            {"x": at, "y": {"field": "low", **y}, "y2": {"field": "high"}},
        )
    yield _layer(
        data,
        {
            "type": "line",
            "color": colour,
            "strokeWidth": 2,
            "strokeDash": dash,
            "strokeCap": "round",
        },
        {"x": at, "y": {"field": "value", **y}, "detail": _run()},
    )
    small = len(data) > 40
    yield _layer(
        data,
        {"type": "circle", "color": colour, "size": 12 if small else 34, "opacity": 1},
        {"x": at, "y": {"field": "value", **y}, "description": {"field": "said"}},
    )


def _stack(chart: Chart, x: Spec) -> Spec:
    step = _step(chart)
    ground: dict[datetime, float] = {}
    data = []
    for one in chart.series:
        for point in one.points:
            if not point.value or isinstance(point.at, str):
                continue
            foot = ground.get(point.at, 0.0)
            ground[point.at] = foot + point.value
            data.append(
                {
                    "from": _ms(point.at + 0.1 * step),
                    "to": _ms(point.at + 0.9 * step),
                    "foot": foot,
                    "top": foot + point.value,
                    "colour": named(one.tone),
                    "said": _said(chart, one, point),
                }
            )
    return _layer(
        data,
        {"type": "rect"},
        {
            "x": {"field": "from", **x},
            "x2": {"field": "to"},
            "y": {"field": "top", **_values(chart)},
            "y2": {"field": "foot"},
            "color": {"field": "colour", "type": "nominal", "scale": None},
            "description": {"field": "said"},
        },
    )


def _spark(chart: Chart) -> Iterator[Spec]:
    one = chart.series[0]
    step = _step(chart)
    rows = [
        {"at": _ms(p.at + step / 2), "value": p.value}
        for p in one.points
        if not isinstance(p.at, str) and p.value is not None
    ]
    bare = {"axis": None, "scale": {"zero": False, "nice": False}}
    x = {"field": "at", "type": "temporal", "axis": None, "scale": {"type": "utc"}}
    y = {"field": "value", "type": "quantitative", **bare}
    colour = named(one.tone)
    yield _layer(rows, {"type": "line", "color": colour, "strokeWidth": 1.6}, {"x": x, "y": y})
    dot = {"type": "circle", "color": colour, "size": 26, "opacity": 1}
    yield _layer(rows[-1:], dot, {"x": x, "y": y})


def _markers(chart: Chart, width: int) -> Iterator[Spec]:
    inside = within(chart)
    rows = rows_of_labels(inside, chart.window, width)
    x = {"field": "at", "type": "temporal"}
    stroke = {"color": named("muted"), "strokeDash": [2, 3], "strokeWidth": 1}
    for marker, (row, turned) in zip(inside, rows, strict=True):
        data: list[Spec] = [{"at": _ms(marker.at), "label": marker.label}]
        side = {"align": "right", "dx": -5} if turned else {"align": "left", "dx": 5}
        top = {"y": -8 - _MARKER_ROW * row}
        yield _layer(data, {"type": "rule", **stroke, **top, "y2": "height"}, {"x": x})
        text = {**_words("muted"), **side, **top}
        placed = {"x": x, "text": {"field": "label"}}
        for halo in (_HALO, {}):
            yield _layer(data, {**text, **halo}, placed)


def _words(colour: str) -> Spec:
    return {
        "type": "text",
        "baseline": "middle",
        "color": named(colour),
        "font": named("sans"),
        "fontSize": 11,
    }


def _threshold(chart: Chart) -> Iterator[Spec]:
    if chart.threshold is None:
        return
    data = [{"value": chart.threshold, "label": f"threshold {number(chart.threshold, chart.unit)}"}]
    y = {"field": "value", **_values(chart)}
    stroke = {"color": named("ink"), "strokeDash": [5, 4], "strokeWidth": 1}
    yield _layer(data, {"type": "rule", **stroke}, {"y": y})
    place = {"align": "right", "x": "width", "dy": -8}
    for halo in (_HALO, {}):
        mark = {**_words("ink"), **place, **halo}
        yield _layer(data, mark, {"y": y, "text": {"field": "label"}})


# side by side


def _names(chart: Chart) -> list[str]:
    return list(dict.fromkeys(str(p.at) for s in chart.series for p in s.points))


def _side_by_side(chart: Chart) -> Iterator[Spec]:
    several = len(chart.series) > 1
    y: Spec = {
        "field": "name",
        "type": "nominal",
        "sort": None,
        "scale": {"domain": _names(chart), "paddingInner": 0.42, "paddingOuter": 0.2},
        "axis": {"labelColor": named("ink"), "labelLimit": 260, "labelFontSize": 13},
    }
    rows: list[Spec] = []
    for one in chart.series:
        for point in one.points:
            rows.append(
                {
                    "name": str(point.at),
                    "series": one.name,
                    "value": point.value,
                    "low": point.low,
                    "high": point.high,
                    "before": point.before,
                    "colour": named(one.tone),
                    "said": _said(chart, one, point),
                    "shown": number(point.value, chart.unit),
                    "end": max(v for v in (point.value, point.high, 0.0) if v is not None),
                    "nothing": f"no data (n = {point.n or 0:,})",
                }
            )
    known = [row for row in rows if row["value"] is not None]
    bounded = [row for row in known if row["low"] is not None]
    x = _values(chart)
    domain = [one.name for one in chart.series]
    offset = {"yOffset": {"field": "series", "sort": None, "scale": {"domain": domain}}}
    place = {"y": y, **(offset if several else {})}
    # Bars hang on a band; dots and whiskers stand in its middle, which `band` gives them.
    colour = {"color": {"field": "colour", "type": "nominal", "scale": None}}
    said = {"description": {"field": "said"}}
    if chart.kind is Kind.BAR:
        yield _layer(
            known,
            {"type": "bar", "cornerRadiusEnd": 2},
            {**place, "x": {"field": "value", **x}, **colour, **said},
        )
    if chart.threshold is not None:
        stroke = {"color": named("line-strong"), "strokeWidth": 1}
        data = [{"value": chart.threshold}]
        yield _layer(data, {"type": "rule", **stroke}, {"x": {"field": "value", **x}})
    if bounded:
        over_bar = chart.kind is Kind.BAR
        whisker = {"color": {"value": named("ink")}} if over_bar else colour
        yield _layer(
            bounded,
            {"type": "rule", "strokeWidth": 1.2 if over_bar else 2.4, "strokeCap": "round"},
            {**place, "x": {"field": "low", **x}, "x2": {"field": "high"}, **whisker},
        )
    if chart.kind is Kind.INTERVAL:
        dot = {"type": "circle", "size": 80, "opacity": 1}
        yield _layer(known, dot, {**place, "x": {"field": "value", **x}, **colour, **said})
    before = [row for row in known if row["before"] is not None]
    if before:
        tick = {"type": "tick", "thickness": 2, "color": named("ink"), "bandSize": 18}
        yield _layer(before, tick, {**place, "x": {"field": "before", **x}})
    text = {"align": "left", "dx": 8, "fontSize": 12}
    yield _layer(
        known,
        {**_words("ink"), **text},
        {**place, "x": {"field": "end", **x}, "text": {"field": "shown"}},
    )
    silent = [row for row in rows if row["value"] is None]
    if silent:
        for halo in (_HALO, {}):
            mark = {**_words("muted"), **text, **halo, "fontStyle": "italic", "x": 0}
            yield _layer(silent, mark, {**place, "text": {"field": "nothing"}})


def _layer(data: list[Spec], mark: Spec, encoding: Spec) -> Spec:
    return {"data": {"values": data}, "mark": {"clip": False, **mark}, "encoding": encoding}


def _run() -> Spec:
    return {"field": "run", "type": "nominal"}


def _said(chart: Chart, one: Series, point: Point) -> str:
    """What a pointer over the mark reads."""
    words = [f"{moment(point.at, chart.step)}, {one.name}: {number(point.value, chart.unit)}"]
    if between := interval(point.low, point.high, chart.unit):
        words.append(f"95 % interval {between}")
    if point.n is not None:
        words.append(f"n = {point.n:,}")
    return "; ".join(words)


def _step(chart: Chart) -> timedelta:
    if chart.step is None:
        raise ValueError(f"the chart {chart.title!r} is over time: say how long its steps are")
    return chart.step


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
