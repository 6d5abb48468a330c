"""What of an exchange may be recorded? The texts, or some columns, are cut before anything is kept.

Found spans are masked at their own length, so that every offset of the record still holds. Where
a detector that must look for them did not, the texts are withheld: unscanned is not clean.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from guardrails.errors import ConfigError
from guardrails.exchange_log.private_body import NOT_RECORDED, NOT_SCANNED, Writer, skeleton
from guardrails.faults import fault_of
from guardrails.redact import without
from guardrails.settings import TEXT_COLUMNS, CutSettings, PrivacySettings
from guardrails.types import Action, Check, Exchange, Segment, Stage

logger = logging.getLogger(__name__)

BODIES = ("request", "prompt", "completion", "answer")
SHORTEST_SECRET = 3
_END_USER = ("safety_identifier", "user")
PSEUDONYM = "pseudonym:"

Span = tuple[int, int, str]


class Policy(Struct, frozen=True):
    """What holds for one route and tenant: which findings are cut, which columns dropped."""

    cuts: tuple[CutSettings, ...] = ()
    dropped: frozenset[str] = frozenset()

    @property
    def idle(self) -> bool:
        """Whether everything is recorded as it came."""
        return not self.cuts and not self.dropped


class Privacy:
    """The rules of the settings, held to every exchange before it is recorded.

    `finders` are the detectors that report every span; of any other, a label above its threshold
    takes the whole text. Errors: ConfigError where a rule names what no detector has.
    Cost: 0.3 µs where no rule holds, else about 1 µs a value of the bodies.
    """

    def __init__(
        self,
        rules: Sequence[PrivacySettings],
        *,
        known: Mapping[str, Sequence[str]],
        finders: Collection[str],
        secret: bytes,
    ) -> None:
        faults = [fault for rule in rules for cut in rule.cut if (fault := _fault(cut, known))]
        if faults:
            raise ConfigError("BANISTER_PRIVACY is not valid: " + "; ".join(faults))
        self._rules = tuple(rules)
        self._finders = frozenset(finders)
        self._secret = secret
        self._policies: dict[tuple[str, str], Policy] = {}

    def detectors(self, route: str, tenant: str) -> frozenset[str]:
        """The detectors that must look at the texts, whether a rule of the policy asks or not."""
        return frozenset(cut.detector for cut in self.policy(route, tenant).cuts)

    def policy(self, route: str, tenant: str) -> Policy:
        """What holds for a route and a tenant: all rules that name them, together."""
        found = self._policies.get((route, tenant))
        if found is None:
            holding = [
                rule
                for rule in self._rules
                if (rule.routes is None or route in rule.routes)
                and (rule.tenants is None or tenant in rule.tenants)
            ]
            dropped = frozenset(
                column
                for rule in holding
                for name in rule.drop
                for column in (TEXT_COLUMNS if name == "all" else (name,))
            )
            found = Policy(tuple(cut for rule in holding for cut in rule.cut), dropped)
            # Tenants come from our keys and routes from the settings, so this stays small.
            self._policies[route, tenant] = found
        return found

    def of(self, exchange: Exchange, notices: Collection[str] = ()) -> Exchange:
        """The exchange as it may be recorded; the same object where no rule holds.

        `notices` are the policy's own words, which may stand in an answer. Never raises: what
        cannot be cut is dropped whole.
        """
        policy = self.policy(exchange.route, exchange.caller.tenant)
        if policy.idle:
            return exchange
        try:
            if policy.cuts:
                exchange = self._cut(exchange, policy, notices)
            return self._dropped(exchange, policy.dropped)
        except Exception as error:
            logger.error("An exchange could not be cut, its texts are dropped: %s", fault_of(error))
            exchange = self._dropped(exchange, frozenset(TEXT_COLUMNS))
            note = "privacy: the texts could not be cut"
            return exchange.evolve(uncovered=(*_places(exchange), note))

    def _cut(self, exchange: Exchange, policy: Policy, notices: Collection[str]) -> Exchange:
        texts: dict[str, str] = {}
        secrets: dict[str, str] = {}
        notes: list[str] = []
        sides: dict[str, tuple[Segment, ...]] = {}
        for side, name in ((Stage.INPUT, "inputs"), (Stage.OUTPUT, "outputs")):
            segments: tuple[Segment, ...] = getattr(exchange, name)
            missing = _unscanned(exchange.checks, policy.cuts, side) if segments else ()
            if missing:
                notes += [f"privacy: {detector} did not scan the {side}" for detector in missing]
                sides[name] = tuple(replace(s, text=NOT_SCANNED) for s in segments)
                continue
            spans = self._spans(exchange.checks, policy.cuts, segments, side)
            sides[name] = tuple(
                replace(segment, text=masked(segment.text, spans[number]))
                for number, segment in enumerate(segments)
            )
            for number, (before, after) in enumerate(zip(segments, sides[name], strict=True)):
                texts[before.text] = after.text
                for start, end, label in spans[number]:
                    if end - start >= SHORTEST_SECRET:
                        secrets[before.text[start:end]] = mask(label, end - start)
                redactions = _redactions(exchange, number, side, before.text)
                if redactions:
                    # What the policy itself had cut for the model, or for the caller.
                    kept = without(before.text, [*redactions, *spans[number]])
                    texts[without(before.text, redactions)] = kept
        writer = Writer(texts, secrets, kept=notices, rendered=False)
        rendered = Writer(texts, secrets, rendered=exchange.template_hash is not None)
        bodies = {
            name: (rendered if name == "prompt" else writer).body(getattr(exchange, name))
            for name in BODIES
        }
        for name in ("request", "prompt"):
            self._name_end_user(bodies[name], getattr(exchange, name), exchange.caller.tenant)
        passages = tuple(replace(p, text=writer.masked(p.text)) for p in exchange.passages)
        uncovered = (*_places(exchange), *notes)
        return exchange.evolve(**bodies, **sides, passages=passages, uncovered=uncovered)

    def _spans(
        self,
        checks: Sequence[Check],
        cuts: Sequence[CutSettings],
        segments: Sequence[Segment],
        side: Stage,
    ) -> dict[int, list[Span]]:
        spans: dict[int, list[Span]] = defaultdict(list)
        for check in checks:
            if check.side is not side:
                continue
            for found in check.detections:
                if not any(_names(cut, check.detector, found.label, found.score) for cut in cuts):
                    continue
                if check.detector in self._finders:
                    length = len(segments[found.segment].text)
                    start = 0 if found.start is None else found.start
                    end = length if found.end is None else found.end
                    spans[found.segment].append((start, end, found.label))
                    continue
                # It names its best window only; another text may have scored nearly as high.
                where = segments[found.segment]
                for number, segment in enumerate(segments):
                    if (segment.stage, segment.role) == (where.stage, where.role):
                        spans[number].append((0, len(segment.text), found.label))
        return spans

    def _dropped(self, exchange: Exchange, columns: frozenset[str]) -> Exchange:
        if not columns:
            return exchange
        changes: dict[str, Any] = {
            name: skeleton(getattr(exchange, name)) for name in BODIES if name in columns
        }
        for name in ("request", "prompt"):
            if name in changes:
                self._name_end_user(changes[name], getattr(exchange, name), exchange.caller.tenant)
        for name in ("inputs", "outputs", "passages"):
            if name in columns:
                changes[name] = tuple(
                    replace(one, text=NOT_RECORDED) for one in getattr(exchange, name)
                )
        return exchange.evolve(**changes)

    def _name_end_user(self, body: Any, original: Any, tenant: str) -> None:
        """Keep the caller's user under a pseudonym, so that an erasure still finds the rows."""
        user = end_user(original)
        if isinstance(body, dict) and user is not None:
            for name in _END_USER:
                body.pop(name, None)
            body["safety_identifier"] = pseudonym(self._secret, tenant, user)


RECORD_ALL = Privacy((), known={}, finders=(), secret=b"")


def end_user(request: Any) -> str | None:
    """The caller's own name for its user, as SQL's `exchange_end_user` reads it."""
    if not isinstance(request, dict):
        return None
    metadata = request.get("metadata")
    names = [request.get(name) for name in _END_USER]
    names.append(metadata.get("user_id") if isinstance(metadata, dict) else None)
    return next((str(name) for name in names if name is not None), None)


def pseudonym(secret: bytes, tenant: str, user: str) -> str:
    """A name that stands for an end user of a tenant, and tells nothing without the secret."""
    if user.startswith(PSEUDONYM):
        return user
    written = f"end-user\0{tenant}\0{user}".encode("utf-8", "surrogatepass")
    return PSEUDONYM + hmac.new(secret, written, hashlib.sha256).hexdigest()[:32]


def mask(label: str, length: int) -> str:
    """What stands in the place of a found span, as long as it: `[email]····`."""
    name = f"[{label}]"
    return name.ljust(length, "·") if len(name) <= length else "·" * length


def masked(text: str, spans: Sequence[Span]) -> str:
    """The text with each span masked; its length stays."""
    pieces: list[str] = []
    position = 0
    for start, end, label in sorted(spans):
        start, end = max(start, position), min(end, len(text))
        if start < end:
            pieces += text[position:start], mask(label, end - start)
            position = end
    return "".join(pieces) + text[position:]


def _places(exchange: Exchange) -> tuple[str, ...]:
    """What was not scanned, less the notes of cut texts, which may name a caller's keys."""
    return tuple(note for note in exchange.uncovered if len(note) <= 200)


def _names(cut: CutSettings, detector: str, label: str, score: float) -> bool:
    return (
        cut.detector == detector
        and (cut.labels is None or label in cut.labels)
        and score >= cut.threshold
    )


def _unscanned(checks: Sequence[Check], cuts: Sequence[CutSettings], side: Stage) -> list[str]:
    """The detectors that had to scan a side's texts and did not, or not all of them."""
    missing = []
    for detector in sorted({cut.detector for cut in cuts}):
        ran = [check for check in checks if check.detector == detector and check.side is side]
        if not ran or any(check.error or check.skipped or check.uncovered for check in ran):
            missing.append(detector)
    return missing


def _redactions(exchange: Exchange, number: int, side: Stage, text: str) -> list[Span]:
    return [
        (
            0 if reason.start is None else reason.start,
            len(text) if reason.end is None else reason.end,
            reason.label,
        )
        for reason in exchange.verdict.reasons
        if reason.action is Action.REDACT
        and not reason.shadow
        and reason.side is side
        and (reason.segment or 0) == number
    ]


def _fault(cut: CutSettings, known: Mapping[str, Sequence[str]]) -> str | None:
    if cut.detector not in known:
        return f"no detector {cut.detector!r}; there are {', '.join(sorted(known))}"
    unknown = [label for label in cut.labels or () if label not in known[cut.detector]]
    if unknown:
        return (
            f"{cut.detector} has no label {unknown[0]!r}; it has {', '.join(known[cut.detector])}"
        )
    return None
