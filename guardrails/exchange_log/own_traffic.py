"""Which exchanges are Banister's own? Those of the tenant that its audits ask under.

They are recorded like all others and can be looked at, but no count, rate, reference or sample of
users' traffic holds them. Each names the exchange whose prompt it asks again, and goes with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from guardrails.errors import BadRequest

OWN_TENANT = "banister-audit"
"""No other key may have this tenant: its traffic would be seen by nobody."""

USERS_ONLY = f"tenant <> '{OWN_TENANT}'"
"""Whether a row is of a user's traffic, in SQL."""

SOURCE = "x-banister-source"
"""The header in which an audit names the exchange whose prompt it asks again."""


def source_of(tenant: str, headers: Mapping[bytes, bytes]) -> str | None:
    """The exchange whose prompt is asked again; None for users' traffic, whatever it claims.

    Errors: BadRequest for what is no id: a copy that cannot be traced could not be erased.
    """
    if tenant != OWN_TENANT:
        return None
    named = headers.get(SOURCE.encode())
    if named is None:
        return None
    try:
        return str(UUID(named.decode("latin-1")))
    except ValueError as error:
        raise BadRequest(f"{SOURCE} must be the id of an exchange.", code="bad_source") from error
