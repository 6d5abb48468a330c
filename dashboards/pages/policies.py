"""Policies: which hold, which were there before, what is being drafted, and how two differ."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from msgspec import Struct

from dashboards.pages import Page
from dashboards.policies import parse
from dashboards.site import show, site_of
from guardrails.policy.model import Policy, Rule
from monitoring import policies
from monitoring.policies import Draft, Part, Release, Version

PAGE = Page("Policies", "/policies", group="Act", place=20, key="p")
router = APIRouter()


class Held(Struct, frozen=True):
    """What holds for one part: a release, or what the proxies are configured with.

    `label` None: none that is known of. `release` None: it was never released.
    """

    part: Part
    label: str | None
    release: Release | None


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    held: tuple[Held, ...]
    versions: Sequence[Version]
    drafts: Sequence[Draft]
    releases: Sequence[Release]
    counted: int


class Line(Struct, frozen=True):
    """One line of a difference: `kind` is same, added, taken or place."""

    kind: str
    text: str


class OneView(Struct, frozen=True):
    """One policy; `difference` None: it is the one that holds, or none is known."""

    hash: str
    label: str
    source: str
    rules: tuple[Rule, ...]
    blocked_message: str
    holds: tuple[Part, ...]
    against: str | None
    difference: tuple[Line, ...] | None
    others: Sequence[Version]


@router.get("/policies")
async def all_policies(request: Request) -> Response:
    """The page."""
    async with site_of(request).reader.connect() as connection:
        versions = await policies.versions(connection)
        releases = await policies.releases(connection)
        page = View(
            held=held(versions, releases),
            versions=versions,
            drafts=await policies.drafts(connection),
            releases=releases,
            counted=sum(version.decided for version in versions),
        )
    return await show(request, "policies.html", page)


@router.get("/policies/{version}")
async def one_policy(request: Request, version: str, against: str | None = None) -> Response:
    """One version: its rules, its text, and how it differs from another."""
    async with site_of(request).reader.connect() as connection:
        source = await policies.source_of(connection, version)
        versions = await policies.versions(connection)
        holding = held(versions, await policies.releases(connection))
        other = against or _hash(holding[0].label)
        before = None if other is None else await policies.source_of(connection, other)
    policy = None if source is None else parse(source)
    if source is None or policy is None:
        raise HTTPException(404)
    page = view(version, source, policy, holding, versions, before=before, against=other)
    return await show(request, "policy.html", page)


def held(versions: Sequence[Version], releases: Sequence[Release]) -> tuple[Held, ...]:
    """What holds for each part, releases newest first.

    Where nothing is released the proxies' files hold: the policy of the latest exchange is theirs.
    """
    used = next((version.label for version in versions if version.last_used), None)
    found = []
    for part in policies.PARTS:
        latest = next((release for release in releases if release.part == part), None)
        of_files = used if part == "enforce" else None
        label = of_files if latest is None or latest.label is None else latest.label
        found.append(Held(part, label, latest))
    return tuple(found)


def view(
    version: str,
    source: str,
    policy: Policy,
    holding: Sequence[Held],
    versions: Sequence[Version],
    *,
    before: str | None,
    against: str | None,
) -> OneView:
    """One policy beside the text `before` of the version `against`."""
    compared = before is not None and against != version
    return OneView(
        hash=version,
        label=f"{policy.name}@{version}",
        source=source,
        rules=policy.rules,
        blocked_message=policy.blocked_message,
        holds=tuple(one.part for one in holding if _hash(one.label) == version),
        against=against if compared else None,
        difference=difference(before or "", source) if compared else None,
        others=[other for other in versions if other.hash != version],
    )


def difference(before: str, after: str) -> tuple[Line, ...]:
    """How two texts differ, with three lines around each change."""
    kinds = {" ": "same", "+": "added", "-": "taken", "@": "place"}
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm=""))
    return tuple(Line(kinds[line[0]], line if line[0] == "@" else line[1:]) for line in lines[2:])


def _hash(label: str | None) -> str | None:
    return None if label is None else label.rpartition("@")[2]
