"""A door for tests that have no database: one key, and no user or one."""

from __future__ import annotations

from datetime import UTC, datetime

from dashboards.access import Door
from dashboards.visitors import Visitor
from guardrails.keys import Key

KEY = "bk_1_right"
TOKEN = "a-token"
ADA = Visitor("ada", "reviewer", "session", ("acme",), TOKEN)


def make_door(bound_to: str = "127.0.0.1", *, users: bool = False, tenant: str = "*") -> Door:
    key = Key("1", "a key", tenant, frozenset({"dashboard"}), None, datetime.now(UTC))

    async def session_of(token: str) -> Visitor | None:
        return ADA if token == TOKEN else None

    async def has_users() -> bool:
        return users

    return Door(
        bound_to=bound_to,
        key_of=lambda token: key if token == KEY else None,
        session_of=session_of,
        has_users=has_users,
    )
