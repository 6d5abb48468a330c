"""What monitoring does, and how often: the folder is the registry.

`jobs/rates.py` exists, therefore `banister monitor rates` runs. Such a module has

    EVERY = timedelta(hours=1)                       # windows are whole periods of it, in UTC
    ONLY_NEWEST = True                               # if missed windows need not be caught up
    async def run(window: Window, engine: AsyncEngine) -> Outcome
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from datetime import timedelta

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.errors import ConfigError
from monitoring.types import Outcome, Window


class Job(Struct, frozen=True):
    """A name, the length of its windows, and what it does with one.

    `only_newest`: it looks at what is, so the windows that were missed need no run of their own.
    """

    name: str
    every: timedelta
    run: Callable[[Window, AsyncEngine], Awaitable[Outcome]]
    only_newest: bool = False


def names() -> list[str]:
    """Every job there is."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Job:
    """One job by its name; an unknown one names the known."""
    if name not in names():
        raise ConfigError(f"There is no job {name!r}; there are: {', '.join(names())}.")
    module = importlib.import_module(f"{__name__}.{name}")
    return Job(name, module.EVERY, module.run, getattr(module, "ONLY_NEWEST", False))


def load_all() -> list[Job]:
    """Every job, by name."""
    return [load(name) for name in names()]
