"""Which policies were there, which hold, and what is being drafted? The record of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from guardrails.exchange_log.policy_tables import policy_drafts, policy_releases
from guardrails.exchange_log.tables import exchanges, policies
from guardrails.policy.model import Policy
from guardrails.policy.releases import CHANNEL

Part = Literal["enforce", "shadow"]
PARTS: tuple[Part, ...] = ("enforce", "shadow")
LATELY = 10_000
"""How many of the latest exchanges are counted by the policy that decided them."""

_draft, _release = policy_drafts.c, policy_releases.c


class Version(Struct, frozen=True):
    """One policy that a proxy has had, and how many of the latest exchanges it decided."""

    hash: str
    name: str
    first_seen: datetime
    decided: int = 0
    last_used: datetime | None = None

    @property
    def label(self) -> str:
        """As it stands on an exchange: `name@version`."""
        return f"{self.name}@{self.hash}"


class Draft(Struct, frozen=True):
    """A policy that somebody is writing."""

    id: UUID
    source: str
    made_by: str
    made_at: datetime
    changed_by: str
    changed_at: datetime


class Release(Struct, frozen=True):
    """What was put in force, or taken out of it (`hash` None: back to the proxies' files)."""

    part: Part
    hash: str | None
    name: str | None
    released_by: str
    reason: str
    released_at: datetime

    @property
    def label(self) -> str | None:
        """The policy's `name@version`; None for the files'."""
        return None if self.hash is None else f"{self.name}@{self.hash}"


async def versions(connection: AsyncConnection) -> list[Version]:
    """Every policy that was ever in force, the latest used first.

    Cost: the latest `LATELY` exchanges are counted, whatever the log holds.
    """
    latest = (
        select(exchanges.c.policy_version, exchanges.c.started_at)
        .order_by(exchanges.c.started_at.desc(), exchanges.c.id.desc())
        .limit(LATELY)
        .subquery()
    )
    decided = (
        select(
            latest.c.policy_version.label("label"),
            func.count().label("n"),
            func.max(latest.c.started_at).label("last"),
        )
        .group_by(latest.c.policy_version)
        .subquery()
    )
    label = policies.c.name + "@" + policies.c.hash
    statement = (
        select(policies.c.hash, policies.c.name, policies.c.first_seen, decided.c.n, decided.c.last)
        .outerjoin(decided, decided.c.label == label)
        .order_by(decided.c.last.desc().nulls_last(), policies.c.first_seen.desc())
    )
    rows = await connection.execute(statement)
    return [Version(r.hash, r.name, r.first_seen, r.n or 0, r.last) for r in rows]


async def source_of(connection: AsyncConnection, version: str) -> str | None:
    """The text of a policy by its hash; None where there is none."""
    statement = select(policies.c.source).where(policies.c.hash == version)
    found: str | None = (await connection.execute(statement)).scalar_one_or_none()
    return found


async def releases(
    connection: AsyncConnection,
    *,
    part: Part | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
) -> list[Release]:
    """What was released, newest first. `since` and `until` bound when."""
    statement = (
        select(policy_releases, policies.c.name)
        .outerjoin(policies, policies.c.hash == _release.policy_hash)
        .order_by(_release.id.desc())
        .limit(limit)
    )
    if part is not None:
        statement = statement.where(_release.part == part)
    if since is not None:
        statement = statement.where(_release.released_at >= since)
    if until is not None:
        statement = statement.where(_release.released_at < until)
    return [
        Release(r.part, r.policy_hash, r.name, r.released_by, r.reason, r.released_at)
        for r in await connection.execute(statement)
    ]


async def release(
    connection: AsyncConnection, part: Part, policy: Policy | None, *, who: str, why: str
) -> None:
    """Put a policy in force from its source; None gives the part back to the proxies' files.

    All proxies follow within seconds, once the caller's transaction is committed. A proxy that
    cannot take it (a detector that it has not got) keeps what it has and says so in `/readyz`.
    """
    if policy is not None:
        row = {"hash": policy.version, "name": policy.name, "source": policy.source}
        await connection.execute(upsert(policies).values(row).on_conflict_do_nothing())
    version = None if policy is None else policy.version
    await connection.execute(
        insert(policy_releases).values(part=part, policy_hash=version, released_by=who, reason=why)
    )
    await connection.execute(text(f"NOTIFY {CHANNEL}"))


async def drafts(connection: AsyncConnection) -> Sequence[Draft]:
    """All drafts, the last changed first."""
    rows = await connection.execute(select(policy_drafts).order_by(_draft.changed_at.desc()))
    return [Draft(**row._mapping) for row in rows]


async def draft(connection: AsyncConnection, draft_id: UUID) -> Draft | None:
    """One draft."""
    rows = await connection.execute(select(policy_drafts).where(_draft.id == draft_id))
    row = rows.one_or_none()
    return None if row is None else Draft(**row._mapping)


async def begin_draft(connection: AsyncConnection, source: str, *, who: str) -> UUID:
    """A new draft with a text to begin with."""
    statement = insert(policy_drafts).values(source=source, made_by=who, changed_by=who)
    made: UUID = (await connection.execute(statement.returning(_draft.id))).scalar_one()
    return made


async def change_draft(
    connection: AsyncConnection, draft_id: UUID, source: str, *, who: str, seen: datetime
) -> bool:
    """Keep a new text; False where somebody else has changed it since it was `seen`."""
    statement = (
        update(policy_drafts)
        .where(_draft.id == draft_id, _draft.changed_at == seen)
        .values(source=source, changed_by=who, changed_at=func.clock_timestamp())
    )
    return (await connection.execute(statement)).rowcount == 1


async def drop_draft(connection: AsyncConnection, draft_id: UUID) -> None:
    """Throw a draft away."""
    await connection.execute(delete(policy_drafts).where(_draft.id == draft_id))
