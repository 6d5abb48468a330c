"""How does a chart come onto a page? Drawn in a thread, for it takes some 30 ms the first time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from markupsafe import Markup

from monitoring.charts.draw import svg
from monitoring.charts.figure import figure
from monitoring.charts.spec import Chart


async def drawn(charts: Sequence[Chart]) -> tuple[Markup, ...]:
    """Each chart with caption, legend and table, ready for a template; its words are escaped."""
    return await asyncio.to_thread(lambda: tuple(map(_drawn, charts)))


def _drawn(chart: Chart) -> Markup:
    # `figure` escapes every word that it is given, and `svg` is drawn from numbers and titles.
    return Markup(figure(chart, svg(chart)))  # noqa: S704
