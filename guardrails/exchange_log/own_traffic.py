"""Which exchanges are Banister's own? Those of the tenant that its audits ask under.

They are recorded like all others and can be looked at, but no count, rate, reference or sample of
users' traffic holds them.
"""

from __future__ import annotations

OWN_TENANT = "banister-audit"
"""No other key may have this tenant: its traffic would be seen by nobody."""

USERS_ONLY = f"tenant <> '{OWN_TENANT}'"
"""Whether a row is of a user's traffic, in SQL."""
