"""How does a message read? The same facts as text and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape

from monitoring.alerts.grouping import Message
from monitoring.alerts.types import Alert, State
from monitoring.types import Figure

MOST_SHOWN = 20
"""Alerts that one message spells out."""
_CELL = 'style="padding:2px 12px 2px 0;text-align:left"'


def subject(message: Message) -> str:
    """`[banister] 2 firing, 1 resolved: block: 8.00 %…`"""
    parts = []
    if message.firing:
        critical = sum(a.severity.value == "critical" for a in message.firing)
        parts.append(
            f"{len(message.firing)} firing" + (f" ({critical} critical)" if critical else "")
        )
    if message.resolved:
        parts.append(f"{len(message.resolved)} resolved")
    prefix = {"repeat": "still ", "escalation": "unacknowledged: "}.get(message.kind, "")
    first = (message.firing or message.resolved)[0]
    return f"[banister] {prefix}{', '.join(parts)}: {first.summary}"[:180]


def text(message: Message, base_url: str | None, message_id: object) -> str:
    """The message for channels that show plain text."""
    lines: list[str] = []
    for title, alerts in _parts(message):
        lines += [title.upper()]
        for alert in alerts[:MOST_SHOWN]:
            lines += [f"- {alert.severity.value}: {alert.summary}", f"  {_when(alert)}"]
            lines += [f"  {figure_line(figure)}" for figure in alert.evidence.figures]
            if alert.evidence.exchange_ids:
                shown = ", ".join(alert.evidence.exchange_ids[:5])
                lines.append(f"  exchanges (held): {shown}")
            lines += [f"  $ {command}" for command in alert.evidence.reproduce]
            lines += [f"  {link}" for link in _links(alert, base_url)]
        lines += _more(alerts)
        lines.append("")
    if message.explained:
        lines += ["EXPLAINED BY THE ABOVE"]
        lines += [f"- {alert.summary}" for alert in message.explained[:MOST_SHOWN]]
        lines += [*_more(message.explained), ""]
    return "\n".join([*lines, f"group {message.group}, message {message_id}"])


def html(message: Message, base_url: str | None, message_id: object) -> str:
    """The message for e-mail: no script, no picture, nothing that is loaded from anywhere."""
    parts: list[str] = []
    for title, alerts in _parts(message):
        parts.append(f"<h2>{escape(title)}</h2>")
        for alert in alerts[:MOST_SHOWN]:
            parts.append(f"<h3>{escape(alert.severity.value)}: {escape(alert.summary)}</h3>")
            parts.append(f"<p>{escape(_when(alert))}</p>")
            parts.append(_table(alert.evidence.figures))
            if alert.evidence.exchange_ids:
                ids = ", ".join(escape(one) for one in alert.evidence.exchange_ids[:5])
                parts.append(f"<p>Exchanges, held from erasure: {ids}</p>")
            parts += [f"<pre>{escape(command)}</pre>" for command in alert.evidence.reproduce]
            parts += [
                f'<p><a href="{escape(link, quote=True)}">{escape(link)}</a></p>'
                for link in _links(alert, base_url)
            ]
        parts += [f"<p>{escape(line)}</p>" for line in _more(alerts)]
    if message.explained:
        listed = "".join(f"<li>{escape(a.summary)}</li>" for a in message.explained[:MOST_SHOWN])
        parts.append(f"<h2>Explained by the above</h2><ul>{listed}</ul>")
        parts += [f"<p>{escape(line)}</p>" for line in _more(message.explained)]
    parts.append(f"<p><small>group {escape(message.group)}, message {message_id}</small></p>")
    return "\n".join(parts)


def _parts(message: Message) -> list[tuple[str, Sequence[Alert]]]:
    parts = [("firing", message.firing), ("resolved", message.resolved)]
    return [(title, alerts) for title, alerts in parts if alerts]


def _when(alert: Alert) -> str:
    words = f"alert since {alert.started_at:%Y-%m-%d %H:%M} UTC"
    if alert.resolved_at is not None:
        words += f", resolved {alert.resolved_at:%Y-%m-%d %H:%M} UTC"
        words += f" after {_length(alert.resolved_at - alert.started_at)}"
    elif alert.state is State.ACKNOWLEDGED:
        words += f", acknowledged by {alert.acknowledged_by}"
    span = alert.evidence
    if span.window_start is not None and span.window_end is not None:
        words += f"; window {_at(span.window_start)} to {_at(span.window_end)} UTC"
    return words


def figure_line(figure: Figure) -> str:
    """One figure with all that is needed to judge it."""
    value = "no data" if figure.value is None else f"{figure.value:.4g} {figure.unit}"
    line = f"{figure.name}: {value}, n = {figure.n:,}"
    if figure.low is not None and figure.high is not None:
        line += f", 95 % {figure.low:.4f} to {figure.high:.4f}"
    if figure.threshold is not None:
        line += f", threshold {figure.threshold:.4g}"
    return line + (f"; {figure.note}" if figure.note else "")


def _table(figures: Sequence[Figure]) -> str:
    if not figures:
        return ""
    head = "".join(
        f"<th {_CELL}>{name}</th>"
        for name in ("figure", "value", "unit", "95 % interval", "threshold", "n", "note")
    )
    rows = []
    for one in figures:
        interval = "" if one.low is None or one.high is None else f"{one.low:.4f} to {one.high:.4f}"
        cells = (
            one.name,
            "no data" if one.value is None else f"{one.value:.4g}",
            one.unit,
            interval,
            "" if one.threshold is None else f"{one.threshold:.4g}",
            f"{one.n:,}",
            one.note or "",
        )
        rows.append("".join(f"<td {_CELL}>{escape(cell)}</td>" for cell in cells))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _links(alert: Alert, base_url: str | None) -> list[str]:
    paths = (f"/alerts/{alert.id}", *alert.evidence.links)
    return [] if base_url is None else [f"{base_url.rstrip('/')}{path}" for path in paths]


def _more(alerts: Sequence[Alert]) -> list[str]:
    left = len(alerts) - MOST_SHOWN
    return [f"and {left} more; see `banister alerts list`"] if left > 0 else []


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _length(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
