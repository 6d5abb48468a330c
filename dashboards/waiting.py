"""What is open now, and whose page is it on? For the overview's first row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from msgspec import Struct

from dashboards.site import Site
from dashboards.visitors import Visitor
from monitoring import reviews, runs
from monitoring.alerts import records as alert_records
from monitoring.alerts.types import Severity, State
from monitoring.retraining import runs as retraining_runs
from monitoring.rollout import records as rollout_records


class Open(Struct, frozen=True):
    """How much of one kind is open. `count` None: nobody has looked, so it is not known."""

    path: str
    name: str
    count: int | None
    words: str
    urgent: bool = False


async def waiting(site: Site, visitor: Visitor) -> tuple[Open, ...]:
    """Each kind whose page this visitor may open, in the order of urgency."""
    allowed = {page.path for page in site.pages if page.shown_to(visitor)}
    now = site.now()

    async def read() -> tuple[Open, ...]:
        return tuple(
            [await found(site, visitor, now) for path, found in _KINDS.items() if path in allowed]
        )

    question = ("waiting", visitor.name, visitor.role, visitor.tenants)
    return await site.kept.of(question, now, read)


async def _alerts(site: Site, _: Visitor, __: datetime) -> Open:
    found = [
        one for one in await alert_records.open_alerts(site.reader) if one.inhibited_by is None
    ]
    critical = sum(one.severity is Severity.CRITICAL for one in found)
    unheld = sum(one.state is State.FIRING for one in found)
    if not found and not await runs.recent(site.reader, limit=1):
        return Open("/alerts", "Alerts", None, "the monitor has not run yet")
    words = "nothing is wrong as far as is known"
    if found:
        words = f"{critical:,} critical, {unheld:,} in nobody’s hands"
    return Open("/alerts", "Alerts", len(found), words, urgent=bool(critical or unheld))


async def _reviews(site: Site, visitor: Visitor, now: datetime) -> Open:
    left = await reviews.progress(site.reader, visitor.name, now, tenants=visitor.tenants)
    words = "nothing left for you"
    if left.left:
        words = f"with {left.appeals:,} appeal{'' if left.appeals == 1 else 's'}"
    return Open("/review", "To review", left.left, words)


async def _rollouts(site: Site, _: Visitor, __: datetime) -> Open:
    found = await rollout_records.under_way(site.reader)
    words = ", ".join(candidate for _, candidate in found) or "no version is being tried"
    return Open("/models", "Rollouts", len(found), words)


async def _retraining(site: Site, _: Visitor, __: datetime) -> Open:
    found = await retraining_runs.recent(site.reader, state="waiting")
    words = ", ".join(run.model for run in found) or "no run waits for approval"
    return Open("/retraining", "Retraining to approve", len(found), words)


_KINDS: dict[str, Callable[[Site, Visitor, datetime], Awaitable[Open]]] = {
    "/alerts": _alerts,
    "/review": _reviews,
    "/models": _rollouts,
    "/retraining": _retraining,
}
