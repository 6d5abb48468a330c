"""How does an evaluation become one page that needs nothing else?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup

from guardrails.evaluation.compare import Comparison
from guardrails.evaluation.curves import Curves
from guardrails.evaluation.measures import Interval
from guardrails.evaluation.plots import histogram, line_chart, reliability_chart
from guardrails.evaluation.run import Report


def page(
    title: str, reports: Sequence[Report], comparisons: Sequence[Comparison], *, now: datetime
) -> str:
    """The page as HTML: no script, no request, light and dark."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["interval"] = _shown
    environment.filters["charts"] = _charts
    return environment.get_template("page.html.j2").render(
        title=title,
        made=now.strftime("%Y-%m-%d %H:%M UTC"),
        files=[
            (whole, [r for r in reports if r.slice and r.file == whole.file])
            for whole in reports
            if not whole.slice
        ],
        comparisons=comparisons,
    )


def _shown(interval: Interval | None) -> Markup:
    if interval is None:
        return Markup("–")
    bounds = Markup('<span class="bounds">({:.2f}–{:.2f})</span>').format(
        interval.low, interval.high
    )
    return Markup("{:.3f} {}").format(interval.value, bounds)


def _charts(curves: Curves) -> Markup:
    drawn = (
        line_chart("ROC", "false positives", "recall", curves.roc, diagonal=True),
        line_chart("Precision and recall", "recall", "precision", curves.precision_recall),
        histogram("Scores", curves.harmless_histogram, curves.harmful_histogram),
        reliability_chart("Reliability", curves.bins),
    )
    # Made of numbers and escaped titles in plots.py, of nothing that a row says.
    return Markup("".join(drawn))  # noqa: S704
