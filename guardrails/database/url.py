"""How is a Postgres URL spelt for SQLAlchemy, and how for libpq?"""

from __future__ import annotations

import re

from guardrails.errors import ConfigError

_SCHEME = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://")


def sqlalchemy_url(url: str) -> str:
    """The URL as SQLAlchemy wants it: `postgresql+psycopg://…`, whatever driver it named."""
    return _with_scheme(url, "postgresql+psycopg://")


def libpq_url(url: str) -> str:
    """The URL as libpq and psycopg want it: `postgresql://…`."""
    return _with_scheme(url, "postgresql://")


def _with_scheme(url: str, scheme: str) -> str:
    changed, count = _SCHEME.subn(scheme, url.strip(), count=1)
    if not count:
        # The URL itself may hold a password, so it is not repeated.
        raise ConfigError("The database URL must begin with postgresql:// (Postgres 16 or newer).")
    return changed
