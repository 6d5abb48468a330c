"""How are a detector's curves drawn as SVG, with nothing but text?"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from guardrails.evaluation.curves import Bin

_SIZE, _LEFT, _BELOW = 200, 34, 34

Point = tuple[float, float]


def line_chart(
    title: str, across: str, up: str, points: Sequence[Point], *, diagonal: bool = False
) -> str:
    """A line through points in [0, 1]²."""
    path = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
    inside = _diagonal() if diagonal else ""
    return _frame(title, across, up, f'{inside}<polyline class="line" points="{path}"/>')


def histogram(title: str, harmless: Sequence[int], harmful: Sequence[int]) -> str:
    """Shares of each class by score, side by side in each bin."""
    bars = []
    highest = max([n / max(sum(c), 1) for c in (harmless, harmful) for n in c] or [1.0]) or 1.0
    width = 1 / len(harmless)
    for part, (name, counts) in enumerate((("good", harmless), ("bad", harmful))):
        for place, count in enumerate(counts):
            height = count / max(sum(counts), 1) / highest
            left = _x((place + part / 2) * width)
            bars.append(
                f'<rect class="{name}" x="{left:.1f}" y="{_y(height):.1f}"'
                f' width="{width / 2 * _SIZE:.1f}" height="{height * _SIZE:.1f}">'
                f"<title>{count} rows</title></rect>"
            )
    return _frame(title, "score", f"share, top {highest:.0%}", "".join(bars))


def reliability_chart(title: str, bins: Sequence[Bin]) -> str:
    """Mean score against the share of harmful rows, with intervals; on the diagonal they agree."""
    marks = [_diagonal()]
    for each in bins:
        x, share = _x(each.mean_score), each.harmful
        marks.append(
            f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}"'
            f' y1="{_y(share.low):.1f}" y2="{_y(share.high):.1f}"/>'
            f'<circle class="dot" cx="{x:.1f}" cy="{_y(share.value):.1f}" r="3">'
            f"<title>{each.rows} rows</title></circle>"
        )
    return _frame(title, "mean score", "share harmful", "".join(marks))


def _x(share: float) -> float:
    return _LEFT + share * _SIZE


def _y(share: float) -> float:
    return 20 + (1 - share) * _SIZE


def _diagonal() -> str:
    return f'<line class="half" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>'


def _frame(title: str, across: str, up: str, inside: str) -> str:
    ticks = "".join(
        f'<text x="{_x(t):.0f}" y="{_y(0) + 13:.0f}" class="tick middle">{t:g}</text>'
        f'<text x="{_LEFT - 4}" y="{_y(t) + 4:.0f}" class="tick end">{t:g}</text>'
        for t in (0, 0.5, 1)
    )
    return (
        f'<svg viewBox="0 0 {_LEFT + _SIZE + 10} {20 + _SIZE + _BELOW}" role="img"'
        f' aria-label="{escape(title)}">'
        f'<text x="{_LEFT}" y="12" class="name">{escape(title)}</text>'
        f'<rect class="frame" x="{_LEFT}" y="20" width="{_SIZE}" height="{_SIZE}"/>'
        f'{ticks}<text x="{_x(0.5):.0f}" y="{_y(0) + 28:.0f}" class="tick middle">'
        f"{escape(across)}</text>"
        f'<text transform="translate(9 {_y(0.5):.0f}) rotate(-90)" class="tick middle">'
        f"{escape(up)}</text>{inside}</svg>"
    )
