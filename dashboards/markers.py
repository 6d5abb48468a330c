"""What happened while a chart's numbers moved? Releases of policies, rollouts, and alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fastapi import Request
from msgspec import Struct

from dashboards.filters import Filters
from dashboards.site import site_of
from dashboards.visitors import visitor_of
from monitoring import policies
from monitoring.alerts import records as alert_records
from monitoring.alerts.types import Alert, Severity
from monitoring.charts.spec import Marker
from monitoring.policies import Release
from monitoring.rollout import records as rollout_records
from monitoring.rollout.records import Change
from monitoring.types import Window

MOST = 12
READ = 200
"""Of each kind at most so many are read, the latest."""
CHARACTERS = 34

_CHANGES = {"started": 1, "promoted": 0, "rolled_back": 0, "step": 3}
"""How soon each kind of a rollout's changes gives way: the highest first."""


class Happened(Struct, frozen=True):
    """One thing that happened; of what is too much the highest `gives_way` first."""

    at: datetime
    label: str
    gives_way: int


async def markers(request: Request, window: Window, filters: Filters) -> tuple[Marker, ...]:
    """What happened in the window, oldest first: at most MOST, the most important.

    An alert may tell of any tenant, so one who sees some tenants only gets none.
    """
    site, visitor = site_of(request), visitor_of(request)
    since, until = window.start, window.end

    async def read() -> tuple[Marker, ...]:
        async with site.reader.connect() as connection:
            released = await policies.releases(connection, since=since, until=until, limit=READ)
            changed = await rollout_records.changes(
                connection, since=since, until=until, limit=READ
            )
        found = of_releases(released) + of_changes(changed, filters)
        if visitor.sees(scoped=False):
            fired = await alert_records.list_alerts(
                site.reader, since=since, until=until, limit=READ
            )
            found += of_alerts(fired, filters)
        return chosen(found)

    # What is shown depends on whether all tenants are seen, and on nothing else of the visitor.
    question = ("markers", window, filters, visitor.sees(scoped=False))
    return await site.kept.of(question, site.now(), read)


def of_releases(releases: Sequence[Release]) -> list[Happened]:
    """Policies that were put in force or in shadow, and those that were taken back."""
    found = []
    for one in releases:
        shadow = one.part == "shadow"
        what = "back to the files" if one.hash is None else f"{one.name}@{one.hash[:6]}"
        words = f"{'shadow' if shadow else 'policy'}: {what}"
        found.append(Happened(one.released_at, _short(words), 2 if shadow else 0))
    return found


def of_changes(changes: Sequence[Change], filters: Filters) -> list[Happened]:
    """What became of rollouts; of one model's only, where one is chosen."""
    return [
        Happened(one.at, _short(_words(one)), _CHANGES[one.kind])
        for one in changes
        if one.kind in _CHANGES and filters.model in (None, one.model)
    ]


def of_alerts(alerts: Sequence[Alert], filters: Filters) -> list[Happened]:
    """Alerts that no other explains, unless they are about another part than the chosen one."""
    part = {"route": filters.route, "model": filters.model, "tenant": filters.tenant}
    return [
        Happened(one.started_at, _short(f"alert: {one.summary}"), _severity(one))
        for one in alerts
        if one.inhibited_by is None
        and all(
            asked is None or one.labels.get(name, asked) == asked for name, asked in part.items()
        )
    ]


def chosen(found: Sequence[Happened]) -> tuple[Marker, ...]:
    """The most important and, among equals, the latest; in the order in which they happened."""
    kept = sorted(sorted(found, key=lambda one: one.at, reverse=True), key=lambda o: o.gives_way)
    ordered = sorted(kept[:MOST], key=lambda one: (one.at, one.label))
    return tuple(Marker(one.at, one.label) for one in ordered)


def _words(change: Change) -> str:
    if change.kind == "promoted":
        return f"{change.candidate} promoted"
    if change.kind == "rolled_back":
        return f"{change.candidate} rolled back"
    return f"{change.candidate} at {100 * change.share:g} %"


def _severity(alert: Alert) -> int:
    return 0 if alert.severity is Severity.CRITICAL else 2


def _short(words: str) -> str:
    return words if len(words) <= CHARACTERS else f"{words[: CHARACTERS - 1].rstrip()}…"
