"""How does a report reach people? By the channels of alerts: a short mail, its charts, the PDF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from monitoring.alerts.notify import Attachment, Sent, send
from monitoring.charts.draw import png
from monitoring.charts.numbers import span
from monitoring.report import drawings, words
from monitoring.report.document import Report

CHARTS = (("decisions.png", drawings.decisions), ("blocked.png", drawings.blocked))

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


async def mail(channels: Sequence[str], report: Report, pdf: bytes) -> list[Sent]:
    """Send a report to every channel; what became of each.

    A mail has text and HTML, with its charts within, and the PDF attached; another kind of channel
    gets the text, and the files where it takes any.
    """
    charts = [
        Attachment(name, "image/png", png(draw(report)))
        for name, draw in CHARTS
        if not draw(report).empty
    ]
    name = f"safety-report-{report.week}.pdf"
    return await send(
        [_with_pictures(channel) for channel in channels],
        subject(report),
        text(report),
        html(report, [chart.name for chart in charts]),
        [*charts, Attachment(name, "application/pdf", pdf)],
    )


def subject(report: Report) -> str:
    """One line that says whether one must read on."""
    worse = sum(words.direction(one) == "worse" for one in report.headlines)
    said = f"{worse} worse" if worse else "nothing worse beyond chance"
    if not report.n:
        said = "no data"
    return f"Safety report {report.week}: {said}"


def text(report: Report) -> str:
    """The summary as plain text."""
    lines = [f"Weekly safety report {report.week}, {span(report.window)} (UTC)", ""]
    lines += [words.verdict(report), ""]
    for one in report.headlines:
        bounds = words.interval_of(one)
        line = f"{one.name}: {words.value_of(one)}"
        line += f" ({bounds})" if bounds else ""
        line += f", n = {one.n:,}; four weeks before {words.before_of(one)}"
        way = words.direction(one)
        lines.append(line + (f" [{way}]" if way else ""))
    if report.actions:
        lines += ["", "What waits for a person:", *(f"- {one}" for one in report.actions)]
    if report.links:
        lines += ["", address(report)]
    return "\n".join(lines)


def address(report: Report) -> str:
    """Where the dashboards show it."""
    return f"{report.links}/reports/{report.window.start:%Y-%m-%d}.html"


def html(report: Report, charts: Sequence[str]) -> str:
    """The summary as HTML that mail programs show: tables and inline styles, pictures by name."""
    page = _TEMPLATES.get_template("mail.html.j2")
    return page.render(
        report=report, charts=charts, words=words, span=span, address=address(report)
    )


def _with_pictures(channel: str) -> str:
    """A mail shows attached pictures where its HTML names them (RFC 2387)."""
    if not channel.startswith(("mailto:", "mailtos:")) or "inline=" in channel:
        return channel
    return channel + ("&" if "?" in channel else "?") + "inline=yes"
