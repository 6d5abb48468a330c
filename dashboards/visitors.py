"""Who is looking, and what may this visitor see and do?"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from starlette.requests import Request

Role = Literal["viewer", "reviewer", "admin"]

ROLES: tuple[Role, ...] = ("viewer", "reviewer", "admin")
"""Each may do what those before it may: look, judge, decide."""


class Visitor(Struct, frozen=True):
    """One who was let in. `tenants` None: all of them; `seat` is a secret of this browser's own."""

    name: str
    role: Role
    how: Literal["session", "key", "local"]
    tenants: tuple[str, ...] | None = None
    seat: str = ""

    def may(self, role: Role) -> bool:
        """Whether the visitor's role is this one or a higher one."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def sees(self, *, scoped: bool) -> bool:
        """Whether a page may be shown: one that keeps tenants apart, or to one who sees all."""
        return scoped or self.tenants is None


def visitor_of(request: Request) -> Visitor:
    """The visitor whom `Access` let in."""
    visitor: Visitor = request.scope["visitor"]
    return visitor
