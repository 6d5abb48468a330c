"""What does a replay come to? Counts of what would change, with examples and reviewers' labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from guardrails.policy.decide import Ruling
from guardrails.types import Action
from monitoring.replay.records import Recorded
from monitoring.replay.redecide import Change, Redecided, redecide

MOST_EXAMPLES = 50


class Example(Struct, frozen=True):
    """One exchange that would be decided otherwise."""

    id: UUID
    started_at: datetime
    before: Action
    after: Action
    rules: tuple[str, ...]
    harmful: bool | None


class Reviewed(Struct, frozen=True):
    """Of `n` exchanges that people judged alike: how many were blocked, and how many would be.

    `undecided` of them are in neither `after` nor in what is not blocked.
    """

    n: int = 0
    before: int = 0
    after: int = 0
    undecided: int = 0


class Replay(Struct, frozen=True):
    """What another policy would have made of `n` logged exchanges.

    `moves` counts each pair of decisions, as it was and as it would be, of the decided ones.
    `rules` counts the exchanges in which each rule would fire, `unmeasured` those for which a score
    was missing. `unanswered` of the newly passed were never answered.
    """

    policy: str
    n: int
    changes: Mapping[Change, int]
    moves: Mapping[tuple[Action, Action], int]
    rules: Mapping[str, int]
    unmeasured: Mapping[str, int]
    unanswered: int
    examples: Mapping[Change, tuple[Example, ...]]
    harmful: Reviewed
    harmless: Reviewed
    versions: Mapping[str, int]

    @property
    def blocked_before(self) -> int:
        """How many of the decided exchanges were blocked."""
        return sum(count for (before, _), count in self.moves.items() if before is Action.BLOCK)

    @property
    def blocked_after(self) -> int:
        """How many of the decided exchanges would be blocked."""
        return sum(count for (_, after), count in self.moves.items() if after is Action.BLOCK)


class Tally:
    """Counts exchange by exchange, so that a replay of any length needs the same memory."""

    def __init__(self, ruling: Ruling, harmful: Mapping[UUID, bool]) -> None:
        """`harmful` holds what reviewers agreed on, by exchange."""
        self._ruling = ruling
        self._judged = harmful
        self._changes: Counter[Change] = Counter()
        self._moves: Counter[tuple[Action, Action]] = Counter()
        self._rules: Counter[str] = Counter({rule.id: 0 for rule in ruling.policy.rules})
        self._unmeasured: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()
        self._reviewed: Counter[tuple[bool, str]] = Counter()
        self._examples: dict[Change, list[Example]] = {}
        self._unanswered = 0

    def add(self, recorded: Recorded) -> Redecided:
        """Decide one more exchange anew, and count it."""
        found = redecide(recorded, self._ruling)
        self._changes[found.change] += 1
        self._versions[recorded.policy_version] += 1
        self._rules.update(found.rules)
        self._unmeasured.update(found.unmeasured)
        decided = found.change is not Change.UNDECIDED
        if decided:
            self._moves[recorded.decision, found.action] += 1
            self._unanswered += found.change is Change.NEWLY_PASSED and found.unanswered
        harmful = self._judged.get(recorded.id)
        if harmful is not None:
            self._reviewed[harmful, "n"] += 1
            self._reviewed[harmful, "before"] += recorded.decision is Action.BLOCK
            self._reviewed[harmful, "after"] += decided and found.action is Action.BLOCK
            self._reviewed[harmful, "undecided"] += not decided
        examples = self._examples.setdefault(found.change, [])
        if found.change is not Change.SAME and len(examples) < MOST_EXAMPLES:
            examples.append(
                Example(
                    recorded.id,
                    recorded.started_at,
                    recorded.decision,
                    found.action,
                    found.rules,
                    harmful,
                )
            )
        return found

    def result(self) -> Replay:
        """What has been counted so far."""
        return Replay(
            policy=self._ruling.label,
            n=self._changes.total(),
            changes={change: self._changes[change] for change in Change},
            moves=dict(self._moves),
            rules=dict(self._rules),
            unmeasured=dict(self._unmeasured.most_common()),
            unanswered=self._unanswered,
            examples={change: tuple(rows) for change, rows in self._examples.items() if rows},
            harmful=self._of(harmful=True),
            harmless=self._of(harmful=False),
            versions=dict(self._versions.most_common()),
        )

    def _of(self, *, harmful: bool) -> Reviewed:
        return Reviewed(
            **{name: self._reviewed[harmful, name] for name in Reviewed.__struct_fields__}
        )
