"""The policy as data: rules, validated whole, with the hash of its text as version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from guardrails.errors import ConfigError
from guardrails.types import Action, Stage

Known = Mapping[str, Sequence[str]]
"""The labels of each detector that is loaded."""


class Rule(BaseModel):
    """Fires when `detector` scores `label` at `threshold` or above on a text of one of `stages`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    detector: str
    label: str
    stage: tuple[Stage, ...] = Field(min_length=1)
    threshold: float = Field(ge=0, le=1)
    action: Action
    on_error: Action = Field(description="What it asks for when its check could not run")
    mode: Literal["enforce", "advise", "shadow"] = "enforce"
    roles: tuple[str, ...] | None = Field(None, description="Roles of the texts; None: all")
    routes: tuple[str, ...] | None = Field(None, description="None: all")
    tenants: tuple[str, ...] | None = Field(None, description="None: all")
    keys: tuple[str, ...] | None = Field(None, description="Key ids; None: all")
    restore: bool = Field(
        False, description="What is redacted of a request comes back in its answer"
    )
    message: str | None = Field(None, description="Said to the caller instead of the policy's own")


class Policy(BaseModel):
    """A reviewed list of rules, and what a blocked caller is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    blocked_message: str = "This request was declined by the content policy."
    rules: tuple[Rule, ...]
    _source: str = PrivateAttr("")

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Policy:
        ids = [rule.id for rule in self.rules]
        if twice := {i for i in ids if ids.count(i) > 1}:
            raise ValueError(f"rule ids stand twice: {', '.join(sorted(twice))}")
        return self

    @property
    def source(self) -> str:
        """The text that it was read from."""
        return self._source

    @property
    def version(self) -> str:
        """The first twelve hex digits of the source's SHA-256."""
        return hashlib.sha256(self._source.encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """How it is named on the wire and in the log: `name@version`."""
        return f"{self.name}@{self.version}"


def parse_policy(text: str, known: Known | None) -> Policy:
    """A policy from YAML; raises ConfigError that names every fault and what would be right.

    Without `known` (a replay loads no detector) it is not held against the detectors' labels.
    """
    try:
        data = yaml.safe_load(text)
        policy = Policy.model_validate(data)
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"The policy is not valid: {error}") from error
    faults = [fault for rule in policy.rules if (fault := _fault(rule, known))]
    if faults:
        raise ConfigError("The policy is not valid: " + "; ".join(faults))
    policy._source = text
    return policy


def read_policy(path: Path, known: Known | None) -> Policy:
    """The policy in a file; a missing file is a ConfigError too."""
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(f"The policy cannot be read: {error}") from error
    return parse_policy(text, known)


def detectors_named(path: Path) -> set[str]:
    """The detectors that a policy file names, before their labels are known."""
    try:
        data = yaml.safe_load(path.read_text())
        return {rule["detector"] for rule in data["rules"]}
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise ConfigError(f"The policy cannot be read: {error}") from error


def _fault(rule: Rule, known: Known | None) -> str | None:
    if known is not None and rule.detector not in known:
        return f"{rule.id}: no detector {rule.detector!r}; there are {', '.join(sorted(known))}"
    if known is not None and rule.label not in known[rule.detector]:
        labels = ", ".join(known[rule.detector])
        return f"{rule.id}: {rule.detector} has no label {rule.label!r}; it has {labels}"
    if rule.action is Action.ALLOW:
        return f"{rule.id}: a rule that allows does nothing; use flag, redact or block"
    if rule.restore and (rule.action is not Action.REDACT or Stage.OUTPUT in rule.stage):
        return f"{rule.id}: restore belongs to a rule that redacts requests, not answers"
    if rule.on_error is Action.REDACT:
        return f"{rule.id}: on_error is allow, flag or block: the unchecked cannot be redacted"
    return None
