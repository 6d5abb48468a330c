"""A message as people read it."""

from __future__ import annotations

from uuid import UUID

import msgspec

from monitoring.alerts.grouping import Message
from monitoring.alerts.types import State
from monitoring.alerts.wording import MOST_SHOWN, html, subject, text
from tests.unit.monitoring.alerts.alarms import HOUR, NOW, an_alert

ID = UUID(int=7)


def test_a_message_says_what_how_sure_since_when_and_how_to_see_it_again():
    alert = an_alert()
    evidence = msgspec.structs.replace(
        alert.evidence, exchange_ids=("0192-a",), reproduce=("banister monitor x --again",),
        links=("/monitoring?job=rate_drift",),
    )  # fmt: skip
    alert = msgspec.structs.replace(alert, evidence=evidence)
    gone = an_alert("flag", state=State.RESOLVED, resolved_at=NOW + 3 * HOUR)
    message = Message("change", "drift", (alert,), (gone,), (an_alert("length", layer=4),))
    assert subject(message) == "[banister] 1 firing, 1 resolved: block on all"
    told = text(message, "https://banister.example/", ID)
    for part in (
        "block rate: 0.08 share, n = 400, 95 % 0.0500 to 0.1100, threshold 0.03",
        "window 2026-11-26 06:00 to 2026-11-26 12:00 UTC",
        "exchanges (held): 0192-a",
        "$ banister monitor x --again",
        f"https://banister.example/alerts/{alert.id}",
        "resolved 2026-11-26 15:00 UTC after 3.0 h",
        "EXPLAINED BY THE ABOVE\n- length on all",
        str(ID),
    ):
        assert part in told
    page = html(message, None, ID)
    assert "<td" in page
    assert "0.0500 to 0.1100" in page
    assert "href" not in page
    assert "src=" not in page


def test_what_others_named_is_escaped_and_a_flood_is_cut():
    wild = an_alert(summary="<script>alert(1)</script>")
    message = Message("repeat", "drift", (wild,) * (MOST_SHOWN + 5))
    page = html(message, "https://b.example", ID)
    assert "<script>" not in page
    assert "and 5 more" in page
    assert "and 5 more" in text(message, None, ID)
    assert subject(message).startswith("[banister] still 25 firing: ")
    assert (
        len(subject(msgspec.structs.replace(message, firing=(an_alert(summary="x" * 999),)))) < 200
    )
