"""What is planned for a rollout: the steps, and how sure its test must be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from guardrails.errors import ConfigError

Share = Annotated[float, Meta(gt=0, le=1)]


class Step(Struct, frozen=True):
    """A share of the conversations, and what must be seen of the candidate before the next step."""

    share: Share
    seconds: Annotated[float, Meta(ge=0)]
    conversations: Annotated[int, Meta(ge=0)]


STEPS = (
    Step(0.01, 1_800, 100),
    Step(0.05, 1_800, 200),
    Step(0.25, 1_800, 400),
    Step(0.50, 3_600, 800),
)
"""After the last one all conversations move: 100 % is what a promotion gives."""


class Plan(Struct, frozen=True):
    """The steps to 100 %, and the chance that a candidate that is no worse is rolled back.

    `tolerated` is the odds ratio against the champion, by metric, that is not called a harm; those
    that are not named are 1.25.
    """

    steps: Annotated[tuple[Step, ...], Meta(min_length=1)] = STEPS
    false_rollback: Annotated[float, Meta(gt=0, lt=1)] = 0.01
    tolerated: dict[str, float] = {}

    def __post_init__(self) -> None:
        shares = [step.share for step in self.steps]
        if sorted(set(shares)) != shares:
            raise ValueError("each step's share must be greater than the one before")
        if any(ratio < 1 for ratio in self.tolerated.values()):
            raise ValueError("what is tolerated is an odds ratio of 1 or more")


def plan_of(path: Path | None) -> Plan:
    """The plan in a file of YAML or JSON; the usual one without a file.

    Errors: ConfigError where it cannot be read, or makes no sense.
    """
    if path is None:
        return Plan()
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=Plan)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path} is no plan: {error}") from error
