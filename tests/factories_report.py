"""A weekly report for tests: whole, with something in every section."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from monitoring.intervals import wilson
from monitoring.report.changes import corrected, quantile, share
from monitoring.report.document import (
    Audit,
    Category,
    Change,
    Day,
    Event,
    Filter,
    Gap,
    Incident,
    Lack,
    Number,
    Ran,
    Report,
    Share,
    Slice,
)
from tests.factories_charts import DAYS, WEEK

HOSTILE = "<script>alert('x')</script>"


def a_report(**changes: Any) -> Report:
    """A week in which more was blocked and less was grounded."""
    numbers, categories, comparisons = corrected(
        [
            Number("Exchanges", "exchanges", 4000.0, 4000, change=Change(4100.0, 4),
                   weeks=(4000.0, 4200.0, 4100.0, 4100.0, 4000.0)),
            share("Blocked", [40, 42, 39, 41, 160], [4000] * 5),
            Number("Harm, by human sample", "share", None, 12, note="a share needs 30 items"),
            share("Answers grounded", [900] * 4 + [700], [1000] * 5, good="up"),
            share("Not fully checked", [0] * 5, [4000] * 5, good="down"),
            share("Served without failure", [3990] * 5, [4000] * 5, good="up"),
            quantile("Added by the guard, p95", [0.06, 0.066, 0.07], 3900, [0.06, 0.067, 0.07],
                     15_000, good="down"),
            quantile("Whole exchange, median", [0.5, 0.52, 0.54], 3900, None, 0, good="down"),
            quantile("Whole exchange, p95", [1.1, 1.2, 1.3], 3900, [1.0, 1.1, 1.2], 15_000,
                     good="down"),
        ],
        [Category("prompt_injection", "block", share("x", [40, 130], [16_000, 4000]))],
    )  # fmt: skip
    low, high = wilson(30, 500) or (0.0, 0.0)
    nothing = Number("recall", "share", None, 2, note="needs 5")
    known = Number("precision", "share", 0.9, 40, 0.78, 0.97)
    fields: dict[str, Any] = {
        "week": "2026-W47",
        "window": WEEK,
        "links": "https://banister.example",
        "n": 4000,
        "before_n": 16_000,
        "headlines": numbers[:7],
        "days": tuple(
            Day(at, {"allow": 500, "flag": 20, "redact": 10, "block": 23}, 553, 1, 0,
                Share(90, 140), 0.5, 1.2)
            for at in DAYS[:3] + DAYS[4:]
        ),
        "slices": (Slice("route", "default", 3000, 90), Slice("tenant", HOSTILE, 1000, 70)),
        "categories": categories,
        "incidents": (
            Incident("critical", f"block rate {HOSTILE}", DAYS[3], "firing", "/alerts/1", ("e1",)),
        ),
        "passed": (Incident("warning", "toxicity", DAYS[2], "allow", "/exchanges/e2"),),
        "gaps": (
            Gap("group", "religion:muslims", "block", 0.06, 500, low, high, 0.04, 0.02, 0.06,
                0.0001, "DRIFT"),
            Gap("group", "religion:jews", "block", None, 40),
            Gap("language", "en", "block", 0.04, 3000, 0.033, 0.048, 0.01, 0.0, 0.02, 0.2, "OK"),
        ),
        "audits": (Audit("assistant", "gender", 120, "OK", DAYS[1]),),
        "jobs": (
            Ran("rate_drift", {"OK": 20, "DRIFT": 8}, "block on all since 2026-11-19"),
            Ran("prompt_drift", {"NO_DATA": 7}, "no reference yet"),
        ),
        "never_ran": ("seal",),
        "filters": (Filter("any harm", nothing, known, nothing),),
        "agreement": Number("reviewers' agreement", "alpha", 0.8, 40, 0.6, 0.9),
        "reviewed": WEEK,
        "failures": (Lack("upstream_timeout", "failed", 10),),
        "uncovered": (Lack("image", "not scanned", 41),),
        "latency": numbers[6:],
        "events": (Event(DAYS[1] + timedelta(hours=10), "policy", "default@7f3e"),),
        "actions": ("1 alert firing that nobody has acknowledged",),
        "comparisons": comparisons,
    }  # fmt: skip
    return Report(**{**fields, **changes})
