"""One rule at every threshold."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from guardrails.policy.decide import Ruling
from guardrails.policy.model import Policy
from guardrails.types import Action
from monitoring.replay.redecide import redecide
from monitoring.replay.sweep import Sweep
from tests.unit.monitoring.replay.test_redecide import QUIET, measured, recorded, rule
from tests.unit.monitoring.replay.test_tally import numbered


def swept(*exchanges, threshold=0.5, harmful=None):
    sweep = Sweep(rule(threshold=threshold), harmful or {})
    for exchange in exchanges:
        sweep.add(exchange)
    return sweep.curve()


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0, 1))
def test_curve_counts_what_the_rule_would_do_at_its_own_threshold(scores, threshold):
    exchanges = [recorded(measured(score), QUIET) for score in scores]
    curve = swept(*exchanges, threshold=threshold)
    ruling = Ruling(Policy(name="c", rules=(rule(threshold=threshold),)))
    blocked = [e for e in exchanges if redecide(e, ruling).action is Action.BLOCK]
    own = next(point for point in curve.points if point.threshold == threshold)
    assert own.fires == len(blocked)


def test_curve_tells_the_judged_apart_and_counts_what_was_not_measured():
    exchanges = [numbered(n, measured(n / 10), QUIET) for n in range(1, 10)]
    unmeasured = numbered(10, measured(0.5, label="threat"))
    harmful = {UUID(int=9): True, UUID(int=8): False, UUID(int=1): False}
    curve = swept(*exchanges, unmeasured, harmful=harmful)
    assert (curve.n, curve.unmeasured, curve.harmful, curve.harmless) == (9, 1, 1, 2)
    at = {point.threshold: point for point in curve.points}
    assert (at[0.5].fires, at[0.5].harmful, at[0.5].harmless) == (5, 1, 1)
    assert (at[0.0].fires, at[1.0].fires) == (9, 0)


def test_curve_never_rises_with_the_threshold():
    curve = swept(*(recorded(measured(n / 7), QUIET) for n in range(8)))
    fires = [point.fires for point in curve.points]
    assert fires == sorted(fires, reverse=True)
