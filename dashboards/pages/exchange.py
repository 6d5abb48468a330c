"""One exchange: what came in, what was measured and decided, what the model and the caller saw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import orjson
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from msgspec import Struct

from dashboards.bodies import Said, texts
from dashboards.charts import Step, waterfall
from dashboards.measured import Measured, marked_spans, measured_checks, rules_for
from dashboards.pages import Page
from dashboards.policies import policy_of
from dashboards.scoped import Similar
from dashboards.site import audited, reading, show
from dashboards.turns import MAX_TURNS, Turn, Turns, said_of, turns_of
from dashboards.wording import count_of, seconds_of
from guardrails.exchange_log.rows import ExchangeDetail
from guardrails.policy.model import Policy
from guardrails.types import Action, Check, Citation, Passage, Reason, Segment

PAGE = Page("Exchange", "/exchanges/", scoped=True)
router = APIRouter()

SIMILAR = 6
STEPS = ("check_input", "ground", "format", "model", "check_output", "cite")
CHARACTERS = {
    "inputs": 9_000,
    "prompt": 6_000,
    "outputs": 7_000,
    "passages": 5_000,
    "answer": 3_000,
}


class Why(Struct, frozen=True):
    """One rule that fired."""

    rule: str
    kind: str
    what: str
    score: float | None
    threshold: float
    error: str | None
    shadow: bool


class Cited(Struct, frozen=True):
    """A sentence of the answer and how well the passages carry it."""

    text: str
    support: float
    passage: int | None


class Fact(Struct, frozen=True):
    """A name and a value; an absent value is shown as none."""

    name: str
    value: str | None
    wide: bool = False


class Quoted(Struct, frozen=True):
    """A passage as the prompt numbered it."""

    number: int
    title: str
    source: str
    score: float
    turn: Turn


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    id: str
    kind: str
    headline: str
    lead: str
    facts: tuple[Fact, ...]
    why: tuple[Why, ...]
    came_in: Turns
    saw: Turns | None
    saw_the_same: bool
    passages: tuple[Quoted, ...]
    answered: Turns | None
    cited: tuple[Cited, ...]
    got: Turns | None
    checks: tuple[Measured, ...]
    policy_known: bool
    steps: tuple[Step, ...]
    total_seconds: float | None
    uncovered: tuple[str, ...]
    versions: tuple[Fact, ...]
    failure: tuple[Fact, ...]
    record_url: str
    near: Similar | None


@router.get("/exchanges/{exchange_id}")
async def exchange(request: Request, exchange_id: str) -> Response:
    """One exchange, for a person."""
    detail, policy = await _looked_at(request, exchange_id, "exchange.open")
    async with reading(request) as log:
        near = await log.similar(detail, SIMILAR)
    return await show(request, "exchange.html", view(detail, policy, near))


@router.get("/exchanges/{exchange_id}/record.json")
async def record(request: Request, exchange_id: str) -> Response:
    """All of one exchange, as it was recorded."""
    detail, _ = await _looked_at(request, exchange_id, "exchange.record")
    body = orjson.dumps(msgspec.to_builtins(detail), option=orjson.OPT_INDENT_2)
    return Response(body, media_type="application/json")


async def _looked_at(
    request: Request, exchange_id: str, action: str
) -> tuple[ExchangeDetail, Policy | None]:
    """The exchange and the policy of its time, once the look is recorded."""
    async with reading(request) as log:
        detail = await log.get(exchange_id)
        if detail is None:
            raise HTTPException(404)
        policy = await policy_of(log.connection, detail.row.policy_version)
    await audited(request, action, str(detail.row.id), {"tenant": detail.row.tenant})
    return detail, policy


def view(detail: ExchangeDetail, policy: Policy | None, near: Similar | None = None) -> View:
    """The page from the record and the policy of that time; without it no threshold is shown."""
    row = detail.row
    inputs = msgspec.convert(detail.inputs, list[Segment])
    outputs = msgspec.convert(detail.outputs, list[Segment])
    checks = msgspec.convert(detail.checks, list[Check])
    reasons = msgspec.convert(detail.reasons, list[Reason])
    rules = () if policy is None else rules_for(policy, row)
    sides = {"input": inputs, "output": outputs}
    spans = marked_spans(checks, reasons, sides, rules)
    came_in = [said_of(segment) for segment in inputs] or texts(detail.request)
    saw = texts(detail.prompt)
    answered = [said_of(segment) for segment in outputs] or texts(detail.completion)
    got = texts(detail.answer)
    return View(
        id=str(row.id),
        kind="failed" if row.failure_code else row.decision,
        headline=_headline(detail, reasons),
        lead=_lead(detail, reasons),
        facts=_facts(detail),
        why=tuple(_why(reason) for reason in reasons),
        came_in=turns_of(came_in, CHARACTERS["inputs"], spans["input"], latest=True),
        saw=None if row.upstream is None else turns_of(saw, CHARACTERS["prompt"], latest=True),
        saw_the_same=_plain(saw) == _plain(texts(detail.request)),
        passages=_quoted(detail.passages),
        answered=turns_of(answered, CHARACTERS["outputs"], spans["output"]) if answered else None,
        cited=_cited(detail.citations, outputs),
        got=turns_of(got, CHARACTERS["answer"])
        if got and _plain(got) != _plain(answered)
        else None,
        checks=measured_checks(checks, sides, rules),
        policy_known=policy is not None,
        steps=waterfall(_in_order(detail.seconds)),
        total_seconds=row.duration_seconds,
        uncovered=tuple(detail.uncovered),
        versions=_versions(detail),
        failure=_failure(detail),
        record_url=f"/exchanges/{row.id}/record.json",
        near=near,
    )


def _headline(detail: ExchangeDetail, reasons: Sequence[Reason]) -> str:
    row = detail.row
    if row.failure_code:
        return f"Failed: {row.failure_code}"
    if row.decision == Action.BLOCK:
        return "Blocked before the model" if row.upstream is None else "Answer withheld"
    words = {Action.REDACT: "Passed on, redacted", Action.FLAG: "Passed on, flagged"}
    return words.get(Action(row.decision), "Allowed")


def _lead(detail: ExchangeDetail, reasons: Sequence[Reason]) -> str:
    """The strictest reason in one sentence."""
    left = " The caller left before the end." if detail.row.abandoned else ""
    standing = [reason for reason in reasons if not reason.shadow]
    if detail.row.failure_code:
        return f"{detail.failure_message}{left}"
    if not standing:
        if not detail.checks:
            return f"No check ran, for no rule of the policy asked for one.{left}"
        return f"No rule of the policy fired.{left}"
    reason = max(standing, key=lambda one: one.action.rank)
    what = f"{reason.detector} / {reason.label}"
    if reason.score is None:
        return f"The rule {reason.rule} could not be checked: {what} did not run.{left}"
    return (
        f"The rule {reason.rule} fired: {what} scored {reason.score:.2f} on the {reason.side},"
        f" at or above {reason.threshold:.2f}.{left}"
    )


def _facts(detail: ExchangeDetail) -> tuple[Fact, ...]:
    row = detail.row
    tokens = None
    if row.input_tokens is not None or row.output_tokens is not None:
        tokens = f"{_or_dash(row.input_tokens)} in, {_or_dash(row.output_tokens)} out"
    return (
        Fact("Started (UTC)", f"{row.started_at:%d %b %Y %H:%M:%S.%f}"[:-3]),
        Fact("Took", f"{seconds_of(row.duration_seconds)} s"),
        Fact("Model", row.model),
        Fact("Route", row.route),
        Fact("Protocol", row.protocol + (", streamed" if row.stream else "")),
        Fact("Caller", row.key_id or "no key, from this machine"),
        Fact("Tenant", row.tenant),
        Fact("Tokens", tokens),
        *_asked_again(detail),
    )


def _asked_again(detail: ExchangeDetail) -> tuple[Fact, ...]:
    """Of an audit's exchange: whose prompt it is."""
    if detail.source_id is None:
        return ()
    return (Fact("Asks again what was asked in", str(detail.source_id), wide=True),)


def _versions(detail: ExchangeDetail) -> tuple[Fact, ...]:
    row = detail.row
    return (
        Fact("Policy", row.policy_version or None),
        Fact("Prompt template", detail.template_hash),
        Fact("Upstream", row.upstream),
        Fact("Upstream model", detail.upstream_model),
        Fact("Model named in the answer", row.response_model),
        Fact("Attempts", count_of(detail.attempts)),
        Fact("Finish reasons", ", ".join(detail.finish_reasons) or None),
        Fact("Recorded (UTC)", f"{detail.recorded_at:%d %b %Y %H:%M:%S}"),
    )


def _failure(detail: ExchangeDetail) -> tuple[Fact, ...]:
    row = detail.row
    if row.failure_code is None:
        return ()
    return (
        Fact("Code", row.failure_code),
        Fact("Status", str(row.failure_status)),
        Fact("Message", detail.failure_message, wide=True),
    )


def _why(reason: Reason) -> Why:
    what = f"{reason.detector} / {reason.label} on the {reason.side}"
    return Why(
        reason.rule,
        reason.action.value,
        what,
        reason.score,
        reason.threshold,
        reason.error,
        reason.shadow,
    )


def _plain(said: Iterable[Said]) -> list[str]:
    return [one.text for one in said]


def _quoted(recorded: Sequence[dict[str, Any]]) -> tuple[Quoted, ...]:
    passages = msgspec.convert(recorded, list[Passage])
    each = CHARACTERS["passages"] // max(1, len(passages))
    return tuple(
        Quoted(
            passage.number,
            passage.title,
            passage.source,
            passage.score,
            turns_of([Said("", passage.text)], each).shown[0] if passage.text else Turn("", ()),
        )
        for passage in passages
    )


def _cited(recorded: Sequence[dict[str, Any]], outputs: Sequence[Segment]) -> tuple[Cited, ...]:
    citations = msgspec.convert(recorded, list[Citation])
    by_choice: dict[int, str] = {}
    for segment in outputs:
        by_choice.setdefault(segment.index, segment.text)
    return tuple(
        Cited(text, one.support, one.passage)
        for one in citations[:MAX_TURNS]
        if (text := by_choice.get(one.choice, "")[one.start : one.end][:300])
    )


def _in_order(seconds: dict[str, float]) -> list[tuple[str, float]]:
    """The steps as they follow each other, and last what of the whole none of them took."""
    named = [(name, seconds[name]) for name in STEPS if name in seconds]
    named += [
        (name, value) for name, value in seconds.items() if name not in STEPS and name != "total"
    ]
    rest = seconds.get("total", 0.0) - sum(value for _, value in named)
    if named and rest > 0.0005:
        named.append(("everything else", rest))
    return named


def _or_dash(number: int | None) -> str:
    return "–" if number is None else count_of(number)
