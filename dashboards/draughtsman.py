"""The process that draws charts for the pages: they come in on stdin, their SVG goes out on stdout.

Vega holds Python's lock while it draws, 30 ms a chart and nearly a second for the first one, so in
the process that serves pages every other page would stand still meanwhile. A message is its length
in four bytes, then a pickle; it ends when stdin does.
"""

from __future__ import annotations

import pickle
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from monitoring.charts.draw import svg
from monitoring.charts.spec import Chart, Kind, Marker, Point, Series
from monitoring.types import Window

PREFIX = 4
WARM = 4
"""How many charts are drawn before any is asked for: the second one still takes twice its time."""


def framed(message: object) -> bytes:
    """A message as it is sent."""
    body = pickle.dumps(message)
    return len(body).to_bytes(PREFIX) + body


def serve(incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Answer each list of charts with their SVG, or None where one could not be drawn."""
    for number in range(WARM):
        svg(_like(number))
    while len(prefix := incoming.read(PREFIX)) == PREFIX:
        charts = pickle.loads(incoming.read(int.from_bytes(prefix)))  # noqa: S301  our own parent's
        outgoing.write(framed(_drawn(charts)))
        outgoing.flush()


def _drawn(charts: Sequence[Chart]) -> list[str] | None:
    try:
        return [svg(chart) for chart in charts]
    except Exception:
        # The pages draw it themselves then, and find out why.
        return None


def _like(number: int) -> Chart:
    """A chart like those of the overview: it starts Vega, and has it meet what they are made of."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    window = Window(start, start + timedelta(hours=2))
    step = timedelta(hours=1)
    points = tuple(Point(start + n * step, 0.5, 0.4, 0.6, 10) for n in range(2))
    series, marker = Series("first", points), Marker(start, "first")
    return Chart(Kind.LINE, f"First {number}", "share", 20, window, (series,), step, (marker,))


if __name__ == "__main__":
    # Ctrl-C is for all processes of a terminal; this one ends after the one that it draws for.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(sys.stdin.buffer, sys.stdout.buffer)
