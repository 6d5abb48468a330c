"""A replay in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from dashboards.pages.policy_replay import view
from guardrails.policy.decide import Ruling
from guardrails.policy.model import parse_policy
from monitoring.replay.run import Replayed
from monitoring.replay.sweep import Sweep
from monitoring.replay.tally import Tally
from monitoring.types import Window
from tests.unit.monitoring.replay.test_redecide import QUIET, measured
from tests.unit.monitoring.replay.test_tally import numbered

AT = datetime(2026, 11, 23, tzinfo=UTC)
WINDOW = Window(AT - timedelta(days=1), AT)
POLICY = parse_policy(
    """
name: house
rules:
  - {id: insults, detector: compact, label: insult, stage: [input], threshold: 0.5,
     action: block, on_error: block}
""",
    None,
)


def page(*exchanges, harmful=None):
    tally, sweep = Tally(Ruling(POLICY), harmful or {}), Sweep(POLICY.rules[0], harmful or {})
    for exchange in exchanges:
        tally.add(exchange)
        sweep.add(exchange)
    found = Replayed(tally.result(), sweep.curve())
    return view(POLICY, "/policies/x", WINDOW, len(exchanges), found)


def test_shares_are_of_what_could_be_decided():
    shown = page(*(numbered(n, measured(n / 4), QUIET) for n in range(4)), numbered(9, QUIET))
    assert (shown.n, shown.decided, shown.moved) == (5, "4", ("0\xa0%", "50.0\xa0%"))
    assert [row.count for row in shown.unmeasured] == ["1"]
    assert [(name, len(rows)) for name, rows in shown.examples] == [("newly blocked", 2)]


def test_the_rule_s_own_threshold_is_marked_in_its_sweep():
    shown = page(*(numbered(n, measured(n / 4), QUIET) for n in range(4)))
    assert [point.threshold for point in shown.points if point.own] == ["0.5"]
    assert shown.swept == "4 measured, 0 not"


def test_what_people_said_stands_beside():
    exchanges = [numbered(n, measured(n / 4), QUIET) for n in range(4)]
    shown = page(*exchanges, harmful={UUID(int=3): True, UUID(int=0): False})
    assert [(row.name, row.n, row.after) for row in shown.judged] == [
        ("harmful", "1", "100\xa0%"),
        ("harmless", "1", "0\xa0%"),
    ]


def test_nothing_logged_is_no_data():
    shown = page()
    assert (shown.n, shown.moved, shown.judged[0].after) == (None, ("no data",) * 2, "no data")
