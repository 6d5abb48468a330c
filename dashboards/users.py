"""Which people may log in? The table `users`, and all that is done to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from dashboards.visitors import Role
from guardrails.errors import ConfigError
from guardrails.exchange_log.people_tables import sessions, users

MOST_CHARACTERS = 80
_c = users.c
_COLUMNS = (
    _c.id,
    _c.name,
    _c.email,
    _c.role,
    _c.tenants,
    _c.created_at,
    _c.disabled_at,
    _c.password_hash.is_not(None).label("has_password"),
    _c.subject.is_not(None).label("has_subject"),
)


class User(Struct, frozen=True):
    """One person. `tenants` None: all of them."""

    id: UUID
    name: str
    email: str | None
    role: Role
    tenants: list[str] | None
    created_at: datetime
    disabled_at: datetime | None
    has_password: bool
    has_subject: bool


async def any_user(engine: AsyncEngine) -> bool:
    """Whether there is a user, disabled or not."""
    async with engine.connect() as connection:
        found = await connection.execute(select(exists(select(_c.id))))
        return bool(found.scalar_one())


async def every_user(connection: AsyncConnection) -> list[User]:
    """All of them, by name."""
    rows = await connection.execute(select(*_COLUMNS).order_by(_c.name))
    return [User(**row._mapping) for row in rows]


async def by_name(connection: AsyncConnection, name: str) -> tuple[User, str | None] | None:
    """A user who is not disabled, and his password's hash."""
    statement = select(*_COLUMNS, _c.password_hash).where(_c.name == name, _c.disabled_at.is_(None))
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else (_user(row), row.password_hash)


async def create(
    connection: AsyncConnection,
    *,
    name: str,
    role: Role,
    now: datetime,
    password_hash: str | None = None,
    email: str | None = None,
    tenants: Sequence[str] | None = None,
    subject: str | None = None,
) -> User:
    """A new user. Errors: ConfigError for a name that is taken, empty or too long."""
    if not name.strip() or name != name.strip() or len(name) > MOST_CHARACTERS:
        raise ConfigError(f"A name has 1 to {MOST_CHARACTERS} characters, and no space around.")
    statement = insert(users).values(
        name=name,
        role=role,
        password_hash=password_hash,
        email=email or None,
        tenants=None if tenants is None else sorted(set(tenants)),
        subject=subject,
        created_at=now,
    )
    try:
        async with connection.begin_nested():
            row = (await connection.execute(statement.returning(*_COLUMNS))).one()
    except IntegrityError as error:
        raise ConfigError(f"There is a user {name!r} already.") from error
    return _user(row)


async def from_provider(
    connection: AsyncConnection,
    *,
    subject: str,
    name: str,
    email: str | None,
    role: Role,
    tenants: Sequence[str] | None,
    now: datetime,
) -> User | None:
    """The user whom an OpenID provider vouches for, as it describes him now; None: disabled.

    A first login makes the user. A name that another has already is never taken over: it gets the
    subject's last letters behind it.
    """
    known = (
        update(users)
        .where(_c.subject == subject, _c.disabled_at.is_(None))
        .values(role=role, email=email, tenants=None if tenants is None else sorted(set(tenants)))
        .returning(*_COLUMNS)
    )
    row = (await connection.execute(known)).one_or_none()
    if row is not None:
        return _user(row)
    disabled = await connection.execute(select(_c.id).where(_c.subject == subject))
    if disabled.first() is not None:
        return None
    name = name[: MOST_CHARACTERS - 10].strip() or "user"
    for tried in (name, f"{name} {subject[-6:]}".strip()):
        taken = await connection.execute(select(_c.id).where(_c.name == tried))
        if taken.first() is None:
            break
    return await create(
        connection,
        name=tried,
        role=role,
        email=email,
        tenants=tenants,
        subject=subject,
        now=now,
    )


async def set_password(connection: AsyncConnection, name: str, password_hash: str) -> bool:
    """Another password; every session of the user ends. False where there is no such user."""
    statement = update(users).where(_c.name == name).values(password_hash=password_hash)
    return await _changed(connection, statement)


async def set_rights(
    connection: AsyncConnection, name: str, role: Role, tenants: Sequence[str] | None
) -> bool:
    """Another role and other tenants, at once for all sessions."""
    values = {"role": role, "tenants": None if tenants is None else sorted(set(tenants))}
    done = await connection.execute(update(users).where(_c.name == name).values(values))
    return done.rowcount == 1


async def disable(connection: AsyncConnection, name: str, now: datetime) -> bool:
    """Let a user in no more; every session ends. False where there is none such."""
    statement = update(users).where(_c.name == name, _c.disabled_at.is_(None))
    return await _changed(connection, statement.values(disabled_at=now))


async def enable(connection: AsyncConnection, name: str) -> bool:
    """Let a disabled user in again."""
    statement = update(users).where(_c.name == name, _c.disabled_at.is_not(None))
    return (await connection.execute(statement.values(disabled_at=None))).rowcount == 1


async def _changed(connection: AsyncConnection, statement: Any) -> bool:
    user_id = (await connection.execute(statement.returning(_c.id))).scalar_one_or_none()
    if user_id is None:
        return False
    await connection.execute(delete(sessions).where(sessions.c.user_id == user_id))
    return True


def _user(row: Any) -> User:
    return User(**{name: row._mapping[name] for name in User.__struct_fields__})
