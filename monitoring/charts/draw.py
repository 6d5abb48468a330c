"""How is a chart drawn? As SVG that follows its page's colours, or as PNG with its own."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

import msgspec
import vl_convert

from monitoring.charts.figure import described
from monitoring.charts.palette import with_values
from monitoring.charts.picture import framed
from monitoring.charts.spec import Chart, Kind
from monitoring.charts.svg import tidy
from monitoring.charts.vega import HATCH, specification

WIDTH, HEIGHT = 500, 170
_VEGA_LITE = "6.1"


@lru_cache(maxsize=512)
def svg(chart: Chart, width: int = WIDTH, height: int = HEIGHT) -> str:
    """Inline SVG: `viewBox` and no size, class `drawn`, colours as `var(--block)`.

    Limits: about 10 to 30 KB. Cost: half a second for the first chart of a process, then about 30
    ms; nothing for one that was drawn before. Deterministic: the same chart gives the same bytes.
    """
    key = "c" + hashlib.sha256(msgspec.json.encode(chart)).hexdigest()[:8]
    drawn = vl_convert.vegalite_to_svg(json.dumps(specification(chart, width, height)), _VEGA_LITE)
    return tidy(drawn, key=key, title=chart.title, description=described(chart), hatch=HATCH)


def spark(chart: Chart, width: int = 120, height: int = 34) -> str:
    """The same without axes, in its own size, for beside a number."""
    drawn = svg(msgspec.structs.replace(chart, kind=Kind.SPARK), width, height)
    return drawn.replace('class="drawn"', f'class="spark" width="{width}" height="{height}"', 1)


def png(chart: Chart, width: int = WIDTH, height: int = HEIGHT, *, dark: bool = False) -> bytes:
    """A picture for where no CSS reaches, at twice its size, with its title and legend within."""
    drawn = framed(chart, svg(chart, width, height))
    return bytes(vl_convert.svg_to_png(with_values(drawn, dark=dark), scale=2))
