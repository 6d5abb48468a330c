"""Replay: what a policy would have decided about the logged traffic, before it is put in force."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from msgspec import Struct

from dashboards.pages import Page
from dashboards.site import audited, filters_of, show, site_of
from dashboards.wording import count_of, percent_interval, share_of
from guardrails.errors import BadRequest, ConfigError
from guardrails.policy.model import Policy, parse_policy
from monitoring import policies
from monitoring.replay.judged import judged
from monitoring.replay.records import Span, count
from monitoring.replay.redecide import Change
from monitoring.replay.run import Replayed, replay
from monitoring.replay.tally import Example, Reviewed
from monitoring.reviews import labelled
from monitoring.types import Window

PAGE = Page("Replay", "/policies/replay", role="reviewer", bar=True)
router = APIRouter()

MOST = 20_000
"""Exchanges that a page replays, some three seconds of work; `banister replay` takes them all."""
SHOWN = 20
STEP = 4
"""A page shows every so manieth point of a sweep."""


class Row(Struct, frozen=True):
    """One line of a table: what, how many, their share, its interval."""

    name: str
    count: str
    share: str
    interval: str = ""
    of_all: float = 0.0


class Judged(Struct, frozen=True):
    """What people called harmful, or harmless, and how much of it is blocked."""

    name: str
    n: str
    before: str
    after: str
    interval: str
    undecided: str


class Point(Struct, frozen=True):
    """One threshold: `harmful` and `harmless` are of those that people judged."""

    threshold: str
    fires: str
    share: str
    of_all: float
    harmful: str
    harmless: str
    own: bool


class View(Struct, frozen=True):
    """All that the template needs; names as there. `n` None: nothing was logged there."""

    title: str
    back: str
    here: str
    window: Window
    whole: int
    n: int | None
    changes: tuple[Row, ...]
    moved: tuple[str, str]
    decided: str
    rules: tuple[Row, ...]
    judged: tuple[Judged, ...]
    unmeasured: tuple[Row, ...]
    unanswered: int
    examples: tuple[tuple[str, tuple[Example, ...]], ...]
    sweep: str | None
    points: tuple[Point, ...]
    swept: str
    rule_ids: tuple[str, ...]
    versions: tuple[str, ...]
    most: int = MOST


@router.get("/policies/{version}/replay")
async def of_version(request: Request, version: str, sweep: str | None = None) -> Response:
    """A version that was there."""
    async with site_of(request).reader.connect() as connection:
        source = await policies.source_of(connection, version)
    return await _page(request, source, f"/policies/{version}", sweep)


@router.get("/policies/drafts/{draft_id}/replay")
async def of_draft(request: Request, draft_id: UUID, sweep: str | None = None) -> Response:
    """A draft."""
    async with site_of(request).reader.connect() as connection:
        draft = await policies.draft(connection, draft_id)
    source = None if draft is None else draft.source
    return await _page(request, source, f"/policies/drafts/{draft_id}", sweep)


async def _page(request: Request, source: str | None, back: str, sweep: str | None) -> Response:
    if source is None:
        raise HTTPException(404)
    site, filters = site_of(request), filters_of(request)
    if filters.model is not None:
        raise BadRequest("A replay is of all models: clear the model.", param="model")
    window = filters.window(site.now())
    span = Span(window.start, window.end, filters.route, filters.tenant, MOST)
    try:
        policy = parse_policy(source, None)
    except ConfigError as error:
        raise BadRequest(f"Mend the draft first. {error.message}", param="source") from error
    await audited(request, "policy.replay", policy.label, filters.chosen)
    harmful = judged(await labelled(site.reader, window))
    async with site.reader.connect() as connection:
        whole = await count(connection, Span(span.since, span.until, span.route, span.tenant))
        try:
            found = await replay(
                connection, policy, span, harmful, sweep=sweep or None, cipher=site.cipher
            )
        except ConfigError as error:
            raise BadRequest(error.message, param="sweep") from error
    return await show(request, "policy_replay.html", view(policy, back, window, whole, found))


def view(policy: Policy, back: str, window: Window, whole: int, found: Replayed) -> View:
    """The replay in words; shares are of what was replayed."""
    result, curve = found.replay, found.curve
    n, decided = result.n, result.n - result.changes[Change.UNDECIDED]
    return View(
        title=policy.label,
        back=back,
        here=f"{back}/replay",
        window=window,
        whole=whole,
        n=n or None,
        changes=tuple(_row(change.value, hits, n) for change, hits in result.changes.items()),
        moved=(share_of(result.blocked_before, decided), share_of(result.blocked_after, decided)),
        decided=count_of(decided),
        rules=tuple(
            _row(rule, hits, n) for rule, hits in sorted(result.rules.items(), key=lambda r: -r[1])
        ),
        judged=(_judged("harmful", result.harmful), _judged("harmless", result.harmless)),
        unmeasured=tuple(_row(name, hits, n) for name, hits in result.unmeasured.items()),
        unanswered=result.unanswered,
        examples=tuple(
            (change.value, result.examples[change][:SHOWN])
            for change in (Change.NEWLY_BLOCKED, Change.NEWLY_PASSED)
            if change in result.examples
        ),
        sweep=None if curve is None else curve.rule,
        points=()
        if curve is None
        else tuple(
            Point(
                f"{point.threshold:g}",
                count_of(point.fires),
                share_of(point.fires, curve.n),
                point.fires / curve.n if curve.n else 0.0,
                f"{point.harmful} of {curve.harmful}",
                f"{point.harmless} of {curve.harmless}",
                point.threshold == curve.threshold,
            )
            for number, point in enumerate(curve.points)
            if number % STEP == 0 or point.threshold == curve.threshold
        ),
        swept="" if curve is None else f"{count_of(curve.n)} measured, {curve.unmeasured} not",
        rule_ids=tuple(rule.id for rule in policy.rules),
        versions=tuple(result.versions),
    )


def _row(name: str, hits: int, n: int) -> Row:
    interval = percent_interval(hits, n) if n else ""
    return Row(name, count_of(hits), share_of(hits, n), interval, hits / n if n else 0.0)


def _judged(name: str, seen: Reviewed) -> Judged:
    decided = seen.n - seen.undecided
    return Judged(
        name,
        count_of(seen.n),
        share_of(seen.before, seen.n),
        share_of(seen.after, decided),
        percent_interval(seen.after, decided) if decided else "",
        count_of(seen.undecided),
    )
