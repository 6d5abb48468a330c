"""How did the loss fall? One small SVG: each step as a dot, and a running mean as a line."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 260, 52, 36, 28, 16
_MEAN_OVER = 8


def loss_curve(losses: Sequence[float], title: str = "Training loss") -> str:
    """The curve as an SVG of its own, in the reader's light or dark colours.

    Limits: with no loss yet it says so.
    """
    if not losses:
        return _page(title, f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}">no step was done yet</text>')
    low, high = min(losses), max(losses)
    span = (high - low) or 1.0

    def x(step: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (step / max(1, len(losses) - 1))

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / span

    means = [
        sum(window := losses[max(0, i - _MEAN_OVER + 1) : i + 1]) / len(window)
        for i in range(len(losses))
    ]
    dots = "".join(
        f'<circle cx="{x(i):.1f}" cy="{y(loss):.1f}" r="1.8"/>' for i, loss in enumerate(losses)
    )
    line = " ".join(f"{x(i):.1f},{y(mean):.1f}" for i, mean in enumerate(means))
    ticks = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text x="{LEFT - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.2f}</text>'
        for v in (low, low + span / 2, high)
    )
    ends = (
        f'<text x="{LEFT}" y="{HEIGHT - 12}">step 1</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 12}" text-anchor="end">{len(losses)}</text>'
    )
    return _page(title, f'{ticks}{ends}<g class="dots">{dots}</g><polyline points="{line}"/>')


def _page(title: str, inner: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{title}"><title>{title}</title><style>'
        "text{font:12px system-ui,sans-serif;fill:#555}.grid{stroke:#8884}"
        ".dots{fill:#8888}polyline{fill:none;stroke:#2a6fb0;stroke-width:2}"
        "@media(prefers-color-scheme:dark){text{fill:#bbb}polyline{stroke:#6fb1f0}}"
        f'</style><text x="{LEFT}" y="16" font-weight="600">{title}</text>{inner}</svg>\n'
    )
