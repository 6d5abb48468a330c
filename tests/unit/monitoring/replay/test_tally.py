"""What a replay counts."""

from __future__ import annotations

from uuid import UUID

import msgspec

from guardrails.policy.decide import Ruling
from guardrails.policy.model import Policy
from guardrails.types import Action
from monitoring.replay.redecide import Change
from monitoring.replay.tally import MOST_EXAMPLES, Reviewed, Tally
from tests.unit.monitoring.replay.test_redecide import QUIET, measured, recorded, rule


def numbered(number, *checks, **changes):
    return msgspec.structs.replace(recorded(*checks, **changes), id=UUID(int=number))


def tally(*exchanges, harmful=None, rules=None):
    counted = Tally(Ruling(Policy(name="c", rules=rules or (rule(),))), harmful or {})
    for exchange in exchanges:
        counted.add(exchange)
    return counted.result()


def test_every_exchange_counts_in_one_change_and_one_move():
    found = tally(
        numbered(1, measured(0.9), QUIET),
        numbered(2, measured(0.1), QUIET),
        numbered(3, measured(0.1), QUIET, decision=Action.BLOCK),
        numbered(4, measured(0.1, label="threat"), QUIET),
    )
    assert found.n == sum(found.changes.values()) == 4
    assert found.changes[Change.NEWLY_BLOCKED] == found.changes[Change.UNDECIDED] == 1
    assert sum(found.moves.values()) == 3
    assert (found.blocked_before, found.blocked_after) == (1, 1)
    assert found.rules == {"insults": 1}
    assert found.unmeasured == {"compact/insult": 1}
    assert found.versions == {"default@1": 4}


def test_reviewed_exchanges_are_counted_beside():
    exchanges = [numbered(n, measured(n / 10), QUIET) for n in range(10)]
    unmeasured = numbered(10, QUIET)
    harmful = {UUID(int=n): n >= 6 for n in range(3, 11)}
    found = tally(*exchanges, unmeasured, harmful=harmful)
    assert found.harmful == Reviewed(n=5, before=0, after=4, undecided=1)
    assert found.harmless == Reviewed(n=3, before=0, after=1)
    assert {e.id: e.harmful for e in found.examples[Change.NEWLY_BLOCKED]}[UUID(int=5)] is False


def test_examples_are_bounded_and_none_is_shown_of_what_stays():
    exchanges = [numbered(n, measured(0.9), QUIET) for n in range(MOST_EXAMPLES + 5)]
    found = tally(*exchanges, numbered(99, measured(0.1), QUIET))
    assert len(found.examples[Change.NEWLY_BLOCKED]) == MOST_EXAMPLES
    assert Change.SAME not in found.examples


def test_nothing_logged_is_nothing_found():
    found = tally()
    assert (found.n, found.blocked_after, found.examples) == (0, 0, {})
