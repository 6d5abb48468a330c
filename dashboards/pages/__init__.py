"""Which pages are there? The folder is the registry, and one file is one page.

`pages/audit.py` exists, therefore `/audit` is served and stands in the navigation. Such a file has

    PAGE = Page("Audit log", "/audit", group="Keep", place=40, role="admin")
    router = APIRouter()

    @router.get("/audit")
    async def audit(request: Request) -> Response:
        async with reading(request) as log:
            ...
        return await show(request, "audit.html", view(…))

and a template that extends `base.html`. Who may not see the page is turned away before the handler
runs, and a POST without its CSRF token too. An action that needs a higher role than its page says
`dependencies=[Depends(needs("admin"))]`; what it does, and each look at a text, is recorded with
`await audited(request, "key.revoke", key_id)`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType

from msgspec import Struct

from dashboards.visitors import Role, Visitor

GROUPS = ("Watch", "Act", "Keep")


class Page(Struct, frozen=True):
    """What the shell must know of a page.

    `group` None: it is reached by links only. `scoped` says that it shows a visitor of some tenants
    nothing of the others: without it, only those who see all tenants may open it. `bar`: the filter
    bar stands on top; `any_time`: its usual span is all time. `key` opens it after `g`. `open`: it
    may be seen before the login.
    """

    title: str
    path: str
    group: str | None = None
    place: int = 0
    role: Role = "viewer"
    scoped: bool = False
    bar: bool = False
    any_time: bool = False
    key: str | None = None
    open: bool = False

    def shown_to(self, visitor: Visitor | None) -> bool:
        """Whether this visitor may open it; None: one who is not known yet."""
        if visitor is None or self.open:
            return self.open
        return visitor.may(self.role) and visitor.sees(scoped=self.scoped)


class Group(Struct, frozen=True):
    """The pages of one part of the navigation, in order."""

    name: str
    pages: tuple[Page, ...]


def modules() -> list[ModuleType]:
    """Every page's module, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [importlib.import_module(f"{__name__}.{name}") for name in names]


def navigation(pages: Sequence[Page], visitor: Visitor) -> tuple[Group, ...]:
    """The groups as this visitor may see them; one without pages is left out."""
    groups = []
    for name in GROUPS:
        own = [page for page in pages if page.group == name and page.shown_to(visitor)]
        if own:
            groups.append(Group(name, tuple(sorted(own, key=lambda page: page.place))))
    return tuple(groups)
