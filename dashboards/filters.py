"""Which part of the log is looked at? Time, route, model and tenant: one bar for all pages.

The choice stands in the address and is carried along by every link, so that a page can be sent to a
colleague, and the next page shows the same part.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct

from guardrails.errors import BadRequest
from monitoring.types import Window

SPANS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
NAMES = {
    "1h": "Last hour",
    "24h": "Last 24 hours",
    "7d": "Last 7 days",
    "30d": "Last 30 days",
    "90d": "Last 90 days",
}
USUAL = "24h"
DAY = timedelta(days=1)
MAX_CHARACTERS = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Filters(Struct, frozen=True):
    """The bar's choices; None: all. A span ends now; `since` and `until` name a fixed one."""

    span: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    route: str | None = None
    model: str | None = None
    tenant: str | None = None

    @property
    def chosen(self) -> dict[str, str]:
        """What was chosen, as it stands in an address."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: _written(value) for name, value in values.items() if value is not None}

    @property
    def narrowed(self) -> bool:
        """Whether it is about a part of the exchanges, whatever the time."""
        return any((self.route, self.model, self.tenant))

    def window(self, now: datetime, usual: str = USUAL) -> Window:
        """The span of time: the chosen one, or the page's usual one.

        One of a day or more is of whole hours and ends with the hour now running, for so the counts
        of routes, models and tenants are kept; a shorter one is of whole minutes.
        """
        if self.since is not None and self.until is not None:
            return Window(self.since, self.until)
        length = SPANS[self.span or usual]
        unit = timedelta(hours=1) if length >= DAY else timedelta(minutes=1)
        end = now - (now - _EPOCH) % unit + unit
        return Window(end - length, end)

    def carry(self, path: str, **more: Any) -> str:
        """The address of a page with these choices, and what it takes besides; None takes away."""
        query = {**self.chosen, **more}
        kept = {name: str(value) for name, value in query.items() if value not in (None, "")}
        path, hash_sign, place = path.partition("#")
        return path + (f"?{urlencode(kept)}" if kept else "") + hash_sign + place


def read_filters(query: Mapping[str, str]) -> Filters:
    """The choices in an address; an empty one is none. Errors: BadRequest for what has no sense."""
    values = {name: query.get(name, "").strip() or None for name in ("span", "since", "until")}
    span, since, until = values["span"], _moment(values, "since"), _moment(values, "until")
    if span is not None and span not in SPANS:
        raise BadRequest(f"A span is one of: {', '.join(SPANS)}.", param="span")
    if (since is None) != (until is None):
        raise BadRequest("A time needs both: since and until.", param="since")
    if since is not None and until is not None and not since < until:
        raise BadRequest("`since` must lie before `until`.", param="since")
    names = {name: query.get(name, "").strip() or None for name in ("route", "model", "tenant")}
    for name, value in names.items():
        if value is not None and len(value) > MAX_CHARACTERS:
            raise BadRequest(f"This {name} is too long.", param=name)
    return Filters(None if since else span, since, until, **names)


def _moment(values: Mapping[str, str | None], name: str) -> datetime | None:
    written = values[name]
    if written is None:
        return None
    try:
        moment = datetime.fromisoformat(written)
        aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"This time cannot be read: {name}.", param=name) from error
    return aware.replace(second=0, microsecond=0)


def _written(value: Any) -> str:
    return f"{value:%Y-%m-%dT%H:%M}" if isinstance(value, datetime) else str(value)
