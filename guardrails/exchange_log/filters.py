"""Which exchanges does a page ask for? The conditions on rows, and on the counts of the hours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import ColumnElement, func, or_

from guardrails.exchange_log.own_traffic import OWN_TENANT
from guardrails.exchange_log.tables import exchanges
from guardrails.exchange_log.upkeep_tables import exchange_counts

MODEL_CHARACTERS = 200
HOUR = timedelta(hours=1)

_c, _k = exchanges.c, exchange_counts.c


class Filter(Struct, frozen=True):
    """What a row must be; what is None is not asked for.

    `tenants` are all that may be seen. `end_user_keys` are what `erasure.names_of` gives of one.
    """

    decision: str | None = None
    route: str | None = None
    model: str | None = None
    tenant: str | None = None
    tenants: Sequence[str] | None = None
    failed: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    end_user_keys: Sequence[str] | None = None

    @property
    def may_be_rare(self) -> bool:
        """Whether no index leads straight to such rows, so that few of them may lie far apart."""
        named = (self.decision, self.route, self.model, self.tenant)
        if self.end_user_keys is not None:
            return False
        narrowed = sum(one is not None for one in named)
        if self.tenants is not None and self.tenant is None:
            # Several ones' rows are in no order together; and a visitor's may be few among all.
            narrowed += 1 if len(self.tenants) == 1 else 2
        return narrowed > 1 or bool(self.failed)

    @property
    def with_own(self) -> bool:
        """Whether our own audits' exchanges are asked for too, of which no count is kept."""
        if self.tenant is not None:
            return self.tenant == OWN_TENANT
        return self.tenants is None or OWN_TENANT in self.tenants

    def of_rows(self) -> list[ColumnElement[bool]]:
        """The conditions on `exchanges`."""
        found = span(self.since, self.until)
        for column, wanted in (
            (_c.decision, self.decision),
            (_c.route, self.route),
            (_c.gen_ai_request_model, self.model),
            (_c.tenant, self.tenant),
        ):
            if wanted is not None:
                found.append(column == wanted)
        if self.tenants is not None:
            found.append(_c.tenant.in_(self.tenants))
        found += self.of_user()
        if self.model is not None:
            # As the index has it: a caller may send a name that is longer than an index takes.
            begins = func.left(_c.gen_ai_request_model, MODEL_CHARACTERS)
            found.append(begins == self.model[:MODEL_CHARACTERS])
        if self.failed is not None:
            code = _c.failure_code
            found.append(code.is_not(None) if self.failed else code.is_(None))
        return found

    def of_user(self) -> list[ColumnElement[bool]]:
        """The condition that a row is of the end user."""
        if self.end_user_keys is None:
            return []
        return [func.exchange_end_user(_c.request).in_(self.end_user_keys)]

    def of_hours(self) -> list[ColumnElement[bool]]:
        """The conditions on `exchange_counts` that every hour with such a row meets."""
        found: list[ColumnElement[bool]] = [_k.step == HOUR.seconds]
        for column, wanted in (
            (_k.decision, self.decision),
            (_k.route, self.route),
            (_k.tenant, self.tenant),
        ):
            if wanted is not None:
                found.append(column == wanted)
        if self.tenants is not None:
            found.append(_k.tenant.in_(self.tenants))
        if self.model is not None:
            # A model that nobody served is counted without its name.
            found.append(or_(_k.model == self.model[:MODEL_CHARACTERS], _k.model == ""))
        if self.failed:
            found.append(_k.failed > 0)
        if self.since is not None:
            found.append(_k.start > self.since - HOUR)
        if self.until is not None:
            found.append(_k.start < self.until)
        return found


def span(since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    """The condition that a row began in [since, until)."""
    conditions: list[ColumnElement[bool]] = []
    if since is not None:
        conditions.append(_c.started_at >= since)
    if until is not None:
        conditions.append(_c.started_at < until)
    return conditions
