"""The exchange log as one visitor may see it: the one door through which pages read exchanges.

Every question takes the visitor's tenants along. No page imports the log's own functions
(pyproject.toml forbids it), so none can forget them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from dashboards.filters import Filters
from guardrails.exchange_log import query
from guardrails.exchange_log.choices import Choices, choices
from guardrails.exchange_log.cipher import Cipher
from guardrails.exchange_log.grounded import Seen, grounded
from guardrails.exchange_log.label_series import Fired, label_series
from guardrails.exchange_log.part_counts import Part, of_whole_hours, overview_of
from guardrails.exchange_log.query import Before, ExchangeDetail, ExchangeRow
from guardrails.exchange_log.rollups import Overview, overview
from guardrails.exchange_log.similar import Coverage, Neighbour, NotEmbedded, coverage, similar
from guardrails.exchange_log.tables import exchanges
from monitoring.types import Window

MINUTES_REACH = timedelta(days=7)
"""Counts of each minute are kept for eight days."""
SIMILAR_REACHES = timedelta(days=14)
CHOICES_REACH = timedelta(days=30)
FRESH_ROWS = 2_000
MOST_CHOICES = 200
_rows = exchanges.c


class Similar(Struct, frozen=True):
    """The nearest exchanges, and how many of how many could be found at all."""

    found: tuple[Neighbour, ...]
    coverage: Coverage


class ScopedLog:
    """Reads exchanges over one connection, of these tenants only; None: of all."""

    def __init__(
        self,
        connection: AsyncConnection,
        tenants: Sequence[str] | None,
        cipher: Cipher | None = None,
    ) -> None:
        self.connection = connection
        self.tenants = None if tenants is None else tuple(tenants)
        self._cipher = cipher

    async def latest(
        self, limit: int, *, before: Before | None = None, **conditions: Any
    ) -> list[ExchangeRow]:
        """The newest first; conditions are those of `query.latest`."""
        return await query.latest(
            self.connection,
            limit,
            before,
            cipher=self._cipher,
            tenants=self.tenants,
            **conditions,
        )

    async def get(self, exchange_id: UUID | str) -> ExchangeDetail | None:
        """One exchange; None also where it is another tenant's."""
        detail = await query.get(self.connection, exchange_id, self._cipher)
        return detail if detail is not None and self._mine(detail.row.tenant) else None

    async def similar(self, detail: ExchangeDetail, limit: int) -> Similar | None:
        """The nearest of the weeks before and after; None where it has no vector."""
        since, until = (detail.row.started_at + side * SIMILAR_REACHES for side in (-1, 1))
        try:
            found = await similar(
                self.connection,
                detail.row.id,
                limit,
                since=since,
                until=until,
                tenants=self.tenants,
                cipher=self._cipher,
            )
        except NotEmbedded:
            return None
        return Similar(tuple(found), await coverage(self.connection, since, until))

    async def overview(
        self, window: Window, step: timedelta, filters: Filters, now: datetime
    ) -> Overview:
        """Totals and a series of the window; see `rollups.overview`."""
        part = self._part(filters)
        span = (window.start, window.end, step)
        kept = of_whole_hours(*span) or window.start >= now - MINUTES_REACH
        if part.whole and kept and window.end - window.start <= MINUTES_REACH:
            return await overview(self.connection, *span)
        return await overview_of(self.connection, *span, part)

    async def fired(
        self, window: Window, step: timedelta, filters: Filters, before: datetime
    ) -> Fired:
        """How often each label fired, and from `before` until then; see `label_series.py`."""
        span = (window.start, window.end, step)
        return await label_series(self.connection, *span, self._part(filters), before=before)

    async def grounded(self, window: Window, filters: Filters) -> Seen:
        """How well the latest answers were supported; see `grounded.py`."""
        return await grounded(self.connection, window.start, window.end, self._part(filters))

    async def choices(self, now: datetime) -> Choices:
        """The routes, models and tenants that had traffic in the last month.

        Those whom the rollups job has not come to are found in the newest rows.
        """
        model = func.left(_rows.gen_ai_request_model, 200).label("model")
        newest = select(_rows.route, model, _rows.tenant).order_by(_rows.started_at.desc())
        if self.tenants is not None:
            newest = newest.where(_rows.tenant.in_(self.tenants))
        fresh = newest.limit(FRESH_ROWS).subquery()
        both = select(fresh.c.route, fresh.c.model, fresh.c.tenant).distinct()
        rows = (await self.connection.execute(both)).all()
        counted = await choices(
            self.connection, now - CHOICES_REACH, MOST_CHOICES, tenants=self.tenants
        )
        return Choices(
            *(
                tuple(sorted({*names, *(row[n] for row in rows)} - {""}))[:MOST_CHOICES]
                for n, names in enumerate((counted.routes, counted.models, counted.tenants))
            )
        )

    def _part(self, filters: Filters) -> Part:
        return Part(filters.route, filters.model, self._and(filters.tenant))

    def _mine(self, tenant: str) -> bool:
        return self.tenants is None or tenant in self.tenants

    def _and(self, tenant: str | None) -> tuple[str, ...] | None:
        """The visitor's tenants and the chosen one together."""
        if tenant is None:
            return self.tenants
        return (tenant,) if self._mine(tenant) else ()
