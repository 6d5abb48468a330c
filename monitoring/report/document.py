"""What does a weekly report say? All of it as data, frozen; the page is made of nothing else."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from monitoring.types import Window

VERSION = 1


class Share(Struct, frozen=True, omit_defaults=True):
    """`hits` of `n`; an interval and a share exist where n is not 0."""

    hits: int
    n: int


class Change(Struct, frozen=True, omit_defaults=True):
    """How far this week lies from the four weeks before.

    `before` is their value on `before_n`; `low` and `high` bound the difference at 95 %. `p` is
    corrected for all comparisons of the report; None where no test is made, and then nothing is
    called changed.
    """

    before: float | None
    before_n: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    changed: bool = False


class Number(Struct, frozen=True, omit_defaults=True):
    """One number with all that is needed to judge it. `value` None: no data.

    `good` says which way is better, `up` or `down`; None where neither is. `weeks` are its values
    in the four weeks before and this one.
    """

    name: str
    unit: str
    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    change: Change | None = None
    good: str | None = None
    weeks: tuple[float | None, ...] = ()
    note: str = ""


class Day(Struct, frozen=True, omit_defaults=True):
    """One day of traffic; seconds are None where no exchange reached a model."""

    start: datetime
    decisions: dict[str, int]
    n: int
    failed: int
    unchecked: int
    grounded: Share
    p50_seconds: float | None = None
    p95_seconds: float | None = None


class Slice(Struct, frozen=True):
    """A route, tenant, model or language, and its exchanges."""

    kind: str
    name: str
    n: int
    blocked: int


class Category(Struct, frozen=True):
    """One category on one action: how often, and how that changed."""

    name: str
    action: str
    number: Number


class Incident(Struct, frozen=True, omit_defaults=True):
    """Something that somebody should have looked at, with the path of its page."""

    severity: str
    what: str
    at: datetime
    state: str
    path: str
    exchanges: tuple[str, ...] = ()


class Ran(Struct, frozen=True):
    """What became of a job's windows in the week."""

    job: str
    statuses: dict[str, int]
    message: str


class Gap(Struct, frozen=True, omit_defaults=True):
    """One rate of one group or language, and how far from the rest."""

    kind: str
    name: str
    rate: str
    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    apart: float | None = None
    apart_low: float | None = None
    apart_high: float | None = None
    p: float | None = None
    status: str = "NO_DATA"


class Audit(Struct, frozen=True, omit_defaults=True):
    """What a counterfactual audit found of one model and axis."""

    model: str
    axis: str
    pairs: int
    status: str
    made_at: datetime
    figures: tuple[Any, ...] = ()


class Filter(Struct, frozen=True):
    """A filter's quality by the human sample: prevalence, precision, recall."""

    name: str
    prevalence: Number
    precision: Number
    recall: Number


class Lack(Struct, frozen=True):
    """Something that failed or was not looked at: in how many exchanges, what became of them."""

    what: str
    kind: str
    n: int


class Event(Struct, frozen=True):
    """A change of policy, model or template, by its first exchange or by its record."""

    at: datetime
    kind: str
    what: str


class Report(Struct, frozen=True, kw_only=True):
    """The whole week.

    `comparisons` is how many changes were tested, so that `changed` means something.
    `reviewed` is the span that the human sample is of.
    """

    version: int = VERSION
    week: str
    window: Window
    links: str
    n: int
    before_n: int
    headlines: tuple[Number, ...]
    days: tuple[Day, ...]
    slices: tuple[Slice, ...]
    categories: tuple[Category, ...]
    incidents: tuple[Incident, ...]
    passed: tuple[Incident, ...]
    gaps: tuple[Gap, ...]
    audits: tuple[Audit, ...]
    jobs: tuple[Ran, ...]
    never_ran: tuple[str, ...]
    filters: tuple[Filter, ...]
    agreement: Number
    reviewed: Window
    failures: tuple[Lack, ...]
    uncovered: tuple[Lack, ...]
    latency: tuple[Number, ...]
    events: tuple[Event, ...]
    actions: tuple[str, ...]
    comparisons: int


def packed(report: Report) -> bytes:
    """The one way to write it down: the same report has the same bytes, whatever made it."""
    return msgspec.json.encode(report, order="deterministic")


def sha256_of(report: Report) -> str:
    """Its fingerprint, which stands on the report itself."""
    return hashlib.sha256(packed(report)).hexdigest()


def opened(frozen: Any) -> Report:
    """A report from its record. Errors: msgspec.ValidationError for one that is none."""
    return msgspec.convert(frozen, Report)
