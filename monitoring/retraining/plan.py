"""What is a retraining run to do, and what does each of its steps hand to the next?

A plan stands in the run's record. What a step hands on is a small record beside the files that it
wrote; both are JSON, so that a step can run in another process, container or cluster.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from monitoring.retraining.registry import Kind

STEPS = ("prepare", "tune", "evaluate", "register", "promote")
REFUSAL = "I cannot help with that."


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides what is trained: the same plan on the same log gives the same rows.

    `base` is the directory of the weights that serve now. `exchange_ids` is an alert's evidence;
    of these, and of all that began in [since, until), what people have reviewed is taken.
    `examples` are files of reviewed pairs besides; `data` the rows that a detector was trained on,
    whose encoder stays as it is with `first_stage_only`.
    Limits: `most_rows`, `steps` and `seconds` are the budget; a run that has spent it ends.
    """

    kind: Kind = "language_model"
    model: str
    base: str
    base_version: str = "1"
    template: str | None = None
    since: datetime
    until: datetime
    exchange_ids: tuple[UUID, ...] = ()
    examples: tuple[str, ...] = ()
    data: str | None = None
    first_stage_only: bool = False
    tenants: tuple[str, ...] | None = None
    refusal: str = REFUSAL
    seed: int = 17

    most_rows: int = 2_000
    least_rows: int = 20
    near: float = 0.8
    held_out_share: float = 0.2
    refusal_share: float = 0.3

    steps: int = 200
    batch: int = 4
    tokens: int = 512
    rate: float = 2e-4
    rank: int = 8
    save_every: int = 20
    merge: bool = True

    prompts: int = 48
    answer_tokens: int = 48
    gates: dict[str, float] = {}
    seconds: float = 6 * 3600.0


class Prepared(Struct, frozen=True):
    """A dataset: `train.jsonl` and `held_out.jsonl` in `directory`, and a card of it.

    `sha256` is of both files; it changes with any row.
    """

    directory: str
    dataset_sha256: str
    train: int
    held_out: int
    template_hash: str | None = None


class Tuned(Struct, frozen=True):
    """A candidate: `weights` is an adapter's directory, or a detector's."""

    weights: str
    steps: int
    first_loss: float
    last_loss: float
    seconds: float
    device: str
    template_hash: str | None = None


class Estimate(Struct, frozen=True):
    """A value with its 95 % interval, measured on `n`; None where nothing could be measured."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class Measure(Struct, frozen=True):
    """One thing that was measured on candidate and champion alike, prompt by prompt.

    `difference` is candidate less champion; `better` says which way is good.
    """

    name: str
    unit: str
    better: str
    candidate: float | None
    champion: float | None
    difference: Estimate


class Gate(Struct, frozen=True):
    """One condition of promotion. `bound` is the end of the interval that was held against it."""

    name: str
    passed: bool
    value: float | None
    low: float | None
    high: float | None
    threshold: float
    rule: str
    n: int


class Evaluated(Struct, frozen=True):
    """All measures and gates; `passed` only where every gate has a result and lets it through."""

    measures: tuple[Measure, ...]
    gates: tuple[Gate, ...]
    passed: bool
    seconds: float


class Registered(Struct, frozen=True):
    """The version as it stands in the registry, and where its files are."""

    version_id: UUID
    name: str
    stage: str
    weights_uri: str
    weights_sha256: str
    directory: str


class Promoted(Struct, frozen=True):
    """What was started: the rollout's id, or None and why none was."""

    rollout_id: UUID | None
    why: str


RESULTS: dict[str, Any] = {
    "prepare": Prepared,
    "tune": Tuned,
    "evaluate": Evaluated,
    "register": Registered,
    "promote": Promoted,
}
"""What each step hands on."""
