"""Which alerts does a silence fit, and which alert explains another?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import re2

from monitoring.alerts.types import Alert, Labels, Matcher, Silence


def fits(matchers: Sequence[Matcher], labels: Labels) -> bool:
    """Whether every matcher fits the labels."""
    return all(_fits(matcher, labels.get(matcher.name, "")) for matcher in matchers)


def _fits(matcher: Matcher, value: str) -> bool:
    if matcher.op in ("=", "!="):
        found = value == matcher.value
    else:
        # RE2: an expression that somebody types must not be able to hang the monitor.
        found = re2.fullmatch(matcher.value, value) is not None
    return found is not matcher.op.startswith("!")


def parse_matcher(text: str) -> Matcher:
    """`tenant=acme`, `metric!=block`, `slice=~"route=.*"`. Errors: ValueError."""
    found = re2.match(r'\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"?(.*?)"?\s*$', text)
    if found is None:
        raise ValueError(f"{text!r} is no matcher; write one as tenant=acme or metric=~block.*")
    name, op, value = found.groups()
    if "~" in op:
        try:
            re2.compile(value)
        except re2.error as error:
            raise ValueError(f"{value!r} is no regular expression: {error}") from error
    return Matcher(name, op, value)


def silenced_by(alert: Alert, silences: Sequence[Silence], now: datetime) -> Silence | None:
    """The silence that holds now and fits the alert."""
    return next(
        (
            one
            for one in silences
            if one.starts_at <= now < one.ends_at and fits(one.matchers, all_labels(alert))
        ),
        None,
    )


def all_labels(alert: Alert) -> Labels:
    """What a matcher sees of an alert."""
    return {**alert.labels, "severity": alert.severity.value, "job": alert.job}


def explained_by(alert: Alert, others: Sequence[Alert]) -> Alert | None:
    """The open alert that inhibits this one: the earliest layer's that explains it.

    An alarm of an earlier layer on the same slice or on all traffic explains a later one, of
    whatever job; so does one on all traffic that of the same metric in a slice. Alerts about jobs
    have no layer: they neither explain nor are explained.
    """
    causes = [one for one in others if one.open and _explains(one, alert)]
    return min(causes, key=lambda one: (one.labels["layer"], one.started_at, one.key), default=None)


def _explains(one: Alert, other: Alert) -> bool:
    mine, theirs = one.labels, other.labels
    if one.id == other.id or "layer" not in mine or "layer" not in theirs:
        return False
    if mine["layer"] < theirs["layer"]:
        return mine["slice"] in ("all", theirs["slice"])
    return (
        mine["layer"] == theirs["layer"]
        and mine["metric"] == theirs["metric"]
        and mine["slice"] == "all" != theirs["slice"]
    )
