"""What stands around a chart in a picture of its own? Title, unit, n, window and legend, drawn."""

from __future__ import annotations

import re
from html import escape

from monitoring.charts.figure import subtitle, swatch
from monitoring.charts.palette import named
from monitoring.charts.spec import Chart
from monitoring.charts.svg import NAMESPACE

_MARGIN = 18
_CHARACTER = 6.6
_VIEW_BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


def framed(chart: Chart, drawn: str) -> str:
    """One SVG that says all: for a mail, where no page stands around it."""
    match = _VIEW_BOX.search(drawn)
    if match is None:
        raise ValueError("a drawing must say how large it is")
    width, height = float(match[1]), float(match[2])
    legend = _legend(chart)
    top = 62 + (22 if legend else 0)
    whole, tall = width + 2 * _MARGIN, top + height + _MARGIN
    inner = drawn.replace(
        "<svg ", f'<svg x="{_MARGIN}" y="{top}" width="{width}" height="{height}" ', 1
    )
    return (
        f'<svg xmlns="{NAMESPACE}" width="{whole:g}" height="{tall:g}" '
        f'viewBox="0 0 {whole:g} {tall:g}" font-family="{named("sans")}">'
        f'<rect width="100%" height="100%" fill="{named("surface")}"/>'
        f'<text x="{_MARGIN}" y="28" font-size="15" font-weight="bold" fill="{named("ink")}">'
        f"{escape(chart.title)}</text>"
        f'<text x="{_MARGIN}" y="47" font-size="12" fill="{named("muted")}">'
        f"{escape(subtitle(chart))}</text>{legend}{inner}</svg>"
    )


def _legend(chart: Chart) -> str:
    if len(chart.series) < 2:
        return ""
    parts, x = [], float(_MARGIN)
    for place, one in enumerate(chart.series):
        parts.append(
            f'<g transform="translate({x:g},62)">{swatch(chart.kind, one.tone, place)}'
            f'<text x="20" y="9" font-size="12" fill="{named("muted")}">'
            f"{escape(one.name)}</text></g>"
        )
        x += 40 + _CHARACTER * len(one.name)
    return "".join(parts)
