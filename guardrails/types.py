"""The few types that every room speaks in: what was asked, what was measured, what was decided.

All are frozen `msgspec.Struct`s: as cheap to make and to `evolve` as a tuple, and encoded straight
into the exchange log's JSON (docs/decisions/0002).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct


class Stage(StrEnum):
    """Where in an exchange a text stands; a rule names the stages that it holds for."""

    INPUT = "input"
    OUTPUT = "output"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"


class Action(StrEnum):
    """What a rule does when it fires, mildest first; the strictest of all wins."""

    ALLOW = "allow"
    FLAG = "flag"
    REDACT = "redact"
    BLOCK = "block"

    @property
    def rank(self) -> int:
        """Position in the order of strictness, 0 for allow."""
        return _RANKS[self]


_RANKS = {action: rank for rank, action in enumerate(Action)}


def strictest(actions: Iterable[Action]) -> Action:
    """The strictest of some actions; allow where there is none."""
    return max(actions, key=_RANKS.__getitem__, default=Action.ALLOW)


class Segment(Struct, frozen=True):
    """One text of a request or an answer that detectors read, and where it stands in the body.

    `pointer` leads to the string from the body's root, as `("messages", 2, "content", 0, "text")`;
    `index` is the number of the message (input) or of the choice (output).
    """

    stage: Stage
    role: str
    index: int
    pointer: tuple[str | int, ...]
    text: str


class Detection(Struct, frozen=True, omit_defaults=True):
    """One label that a detector scored on one segment.

    `score` is in [0, 1]. `segment` numbers the segments that the check was given; `start` and `end`
    are character offsets into that segment's text, where the detector knows them. `evidence` names
    what matched (a rule or word-list id), never the matched text itself.
    """

    label: str
    score: float
    segment: int = 0
    start: int | None = None
    end: int | None = None
    evidence: str | None = None


class _Run(Struct, frozen=True, omit_defaults=True):
    detector: str
    version: str
    side: Stage


class Check(_Run, frozen=True, omit_defaults=True, kw_only=True):
    """One run of one detector over the segments of one side of an exchange.

    `detections` holds every label's highest score, also the harmless ones (drift needs the whole
    distribution), and each span that was found. `error` is set when the detector could not run:
    then there are no detections, and the policy's `on_error` decides. `skipped` says why a detector
    had nothing to measure (groundedness without passages): then its rules do not apply. `uncovered`
    names what was not scanned (`messages[2].content[1]: image`). All of these are given by name:
    one in another's place could let a detection through.
    """

    detections: tuple[Detection, ...] = ()
    seconds: float = 0.0
    error: str | None = None
    skipped: str | None = None
    uncovered: tuple[str, ...] = ()


class Reason(Struct, frozen=True, omit_defaults=True):
    """Why a rule fired: the rule, what it saw, and what it asks for.

    `segment` numbers the texts of `side` (input or output). Without a score the check could not
    run, and `error` says why. `advised` is what a rule would have done that only advises.
    """

    rule: str
    detector: str
    label: str
    action: Action
    side: Stage
    threshold: float
    score: float | None = None
    segment: int | None = None
    start: int | None = None
    end: int | None = None
    shadow: bool = False
    advised: Action | None = None
    error: str | None = None


class Verdict(Struct, frozen=True):
    """What the policy decided. Shadow rules leave a reason but never move `action`."""

    action: Action = Action.ALLOW
    reasons: tuple[Reason, ...] = ()


class Passage(Struct, frozen=True, omit_defaults=True):
    """A piece of a document that was put before the model; `number` is what the prompt calls it."""

    number: int
    passage_id: str
    document_id: str
    title: str
    source: str
    text: str
    score: float
    start: int = 0
    end: int = 0


class Citation(Struct, frozen=True, omit_defaults=True):
    """One sentence of an answer held against the passages.

    `support` is in [0, 1]; `passage` is the best passage's number, or None where none comes near.
    `start` and `end` are character offsets into the text of choice `choice`.
    """

    choice: int
    start: int
    end: int
    support: float
    passage: int | None = None


class Usage(Struct, frozen=True):
    """Tokens as the upstream counted them; None where it did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None


class Caller(Struct, frozen=True):
    """Who asks: the key's id and its tenant; `key_id` is None for a keyless caller on loopback."""

    key_id: str | None = None
    tenant: str = "default"


class Failure(Struct, frozen=True):
    """What went wrong with an exchange, as it is told to the caller; never holds user text."""

    code: str
    message: str
    status: int
    type: str = "api_error"
    param: str | None = None
    retry_after_seconds: int | None = None


class Exchange(Struct, frozen=True, kw_only=True):
    """A request and all that became of it. Each step of the pipeline returns a new one.

    `request` is the body as the caller sent it, `prompt` the body as the model saw it, `completion`
    the model's whole answer, `answer` what the caller got where that differs (blocked, redacted).
    `assigned_model` is the version that a rollout drew for the `conversation`, `upstream_model` the
    one that answered. `seconds` maps each step to the time it took. `language` and `groups` are
    those of the user's last text, named when the exchange ends. `source_id` is the exchange whose
    prompt an audit of ours asks again. `unrecorded`: the log had no room for it, and is configured
    to go on.
    """

    id: str
    started_at: datetime
    protocol: str
    route: str
    model: str
    stream: bool
    request: dict[str, Any]
    caller: Caller = Caller()
    policy_version: str = ""
    template_hash: str | None = None
    inputs: tuple[Segment, ...] = ()
    outputs: tuple[Segment, ...] = ()
    passages: tuple[Passage, ...] = ()
    citations: tuple[Citation, ...] = ()
    prompt: dict[str, Any] | None = None
    completion: dict[str, Any] | None = None
    answer: dict[str, Any] | None = None
    usage: Usage = Usage()
    checks: tuple[Check, ...] = ()
    verdict: Verdict = Verdict()
    uncovered: tuple[str, ...] = ()
    upstream: str | None = None
    upstream_model: str | None = None
    conversation: int | None = None
    assigned_model: str | None = None
    attempts: int = 0
    seconds: dict[str, float] = {}
    language: str | None = None
    groups: tuple[str, ...] = ()
    source_id: str | None = None
    failure: Failure | None = None
    abandoned: bool = False
    unrecorded: bool = False

    @property
    def blocked(self) -> bool:
        """Whether the policy withheld the request or the answer."""
        return self.verdict.action is Action.BLOCK

    @property
    def over(self) -> bool:
        """Whether nothing more is to be done for it: withheld, or failed."""
        return self.blocked or self.failure is not None

    @property
    def question(self) -> str:
        """The user's last text; empty where no user spoke."""
        return next((one.text for one in reversed(self.inputs) if one.role == "user"), "")

    def evolve(self, **changes: Any) -> Exchange:
        """A copy with some fields replaced."""
        return msgspec.structs.replace(self, **changes)
