"""The words of alerts, as Prometheus's Alertmanager has them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct

from monitoring.types import Figure

Labels = dict[str, str]


class Severity(StrEnum):
    """How much it hurts: a warning may wait until morning, what is critical may not."""

    WARNING = "warning"
    CRITICAL = "critical"


class State(StrEnum):
    """Where an alert stands. An acknowledged one still holds; somebody has it in hand."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Evidence(Struct, frozen=True, omit_defaults=True):
    """Why an alert was raised, so that nobody has to believe it.

    `figures` as the run recorded them, over the window from `window_start` to `window_end`;
    `reproduce` are commands that measure the same again; `links` are paths of the dashboards.
    """

    figures: tuple[Figure, ...] = ()
    window_start: datetime | None = None
    window_end: datetime | None = None
    since: datetime | None = None
    exchange_ids: tuple[str, ...] = ()
    reproduce: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


class Alert(Struct, frozen=True):
    """One thing that is wrong, or was.

    `key` is the fingerprint of what it is about: at most one alert of a key is open. `labels` are
    what silences and groups go by: `metric`, `route`, `tenant`, `model`, `language`, `layer`…
    `inhibited_by` is the alert that explains this one, which then tells nobody on its own.
    """

    id: UUID
    key: str
    job: str
    severity: Severity
    state: State
    labels: Labels
    summary: str
    evidence: Evidence
    started_at: datetime
    updated_at: datetime
    resolved_at: datetime | None = None
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    escalated_at: datetime | None = None
    inhibited_by: UUID | None = None
    told_at: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether what it is about still holds, as far as is known."""
        return self.state is not State.RESOLVED


class Event(Struct, frozen=True):
    """Something that happened to an alert: fired, acknowledged, notified, resolved…"""

    id: UUID
    alert_id: UUID
    at: datetime
    kind: str
    who: str
    detail: dict[str, Any]


class Matcher(Struct, frozen=True):
    """What a label must be: `=`, `!=`, or a whole match of a regular expression, `=~` and `!~`.

    A label that is not there is the empty text.
    """

    name: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str


class Silence(Struct, frozen=True):
    """Nothing is told of the alerts that every matcher fits, from `starts_at` until `ends_at`."""

    id: UUID
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    made_by: str
    reason: str


class Notification(Struct, frozen=True):
    """One message to one channel, and whether it arrived. `channel` holds no secret."""

    id: UUID
    message_id: UUID
    group_key: str
    kind: str
    alert_ids: tuple[UUID, ...]
    channel: str
    subject: str
    made_at: datetime
    due_at: datetime
    attempts: int
    sent_at: datetime | None
    given_up_at: datetime | None
    error: str | None
