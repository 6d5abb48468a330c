"""A plausible day of traffic, the same each time, for browser tests and screenshots."""

from __future__ import annotations

import hashlib
import math
import random
from datetime import datetime, timedelta
from typing import Any

from guardrails.exchange_log.writer import ExchangeLog
from guardrails.types import (
    Action,
    Caller,
    Check,
    Citation,
    Detection,
    Exchange,
    Failure,
    Passage,
    Reason,
    Segment,
    Stage,
    Usage,
    Verdict,
)
from tests.factories import make_exchange

HOSTILE = """<script>document.title='owned'</script><img src=x onerror="document.title='owned'">"""

POLICY = """\
name: default
rules:
  - {id: toxicity, detector: compact, label: toxicity, stage: [input, output], threshold: 0.9,
     action: block, on_error: block}
  - {id: insult, detector: compact, label: insult, stage: [input, output], threshold: 0.9,
     action: flag, on_error: flag}
  - {id: prompt-injection, detector: compact, label: prompt_injection, stage: [input],
     threshold: 0.9, action: block, on_error: block}
  - {id: personal-data, detector: patterns, label: email, stage: [input, output], threshold: 0.9,
     action: redact, on_error: block}
"""
VERSION = hashlib.sha256(POLICY.encode()).hexdigest()[:12]

QUESTIONS = (
    "How long may a parcel stay at the pick-up point before it goes back?",
    "Summarise this clause in two sentences a tenant would understand.",
    "Write a friendly reminder about the invoice of October.",
    "Which of these three plans fits a team of eight people?",
    "Explain what a banister is to a child of six.",
    "Translate into Portuguese: the lift is out of order until Monday.",
    "What changes for me if I cancel within fourteen days?",
    "Give me a Python function that groups readings by hour.",
    "Is the warranty void when I replace the battery myself?",
    "ما هي ساعات عمل المتجر في عطلة نهاية الأسبوع؟",
    "Draft a polite answer to a complaint about a late delivery.",
    "Compare oak and beech for a stair rail in a damp hallway.",
)
LABELS = ("toxicity", "insult", "identity_attack", "threat", "prompt_injection", "harmful_request")


def compact(chance: random.Random, side: Stage, **raised: float) -> Check:
    scores = {label: round(chance.betavariate(0.4, 14), 4) for label in LABELS} | raised
    detections = tuple(Detection(label, score) for label, score in scores.items())
    seconds = chance.uniform(0.006, 0.03)
    return Check("compact", "minilm-heads-2026.11", side, detections=detections, seconds=seconds)


def patterns(side: Stage, *found: Detection) -> Check:
    return Check("patterns", "2026-11-20", side, detections=found, seconds=0.0002)


def reason(rule: str, detector: str, label: str, action: Action, **changes: Any) -> Reason:
    side = changes.pop("side", Stage.INPUT)
    return Reason(rule, detector, label, action, side, 0.9, **{"segment": 0, **changes})


def ordinary(chance: random.Random, at: datetime) -> Exchange:
    model_seconds = chance.lognormvariate(-0.6, 0.5)
    checks = (compact(chance, Stage.INPUT), patterns(Stage.INPUT), compact(chance, Stage.OUTPUT))
    seconds = {
        "check_input": 0.021,
        "format": 0.0004,
        "model": model_seconds,
        "check_output": 0.028,
    }
    return make_exchange(
        chance.choice(QUESTIONS),
        "Up to seven days; then it is sent back to whoever posted it.",
        started_at=at,
        route=chance.choice(("default", "default", "support", "legal")),
        model=chance.choice(("assistant-large", "assistant-large", "assistant-small")),
        caller=Caller("9f31c2a0b7d4", "acme"),
        checks=checks,
        policy_version=f"default@{VERSION}",
        usage=Usage(chance.randint(20, 400), chance.randint(10, 300)),
        upstream="gpu-1",
        upstream_model="assistant-large@3",
        stream=chance.random() < 0.6,
        seconds={**seconds, "total": sum(seconds.values()) + 0.003},
    )


def unlucky(chance: random.Random, exchange: Exchange) -> Exchange:
    """Some of the day's exchanges are flagged, redacted, blocked or fail."""
    draw = chance.random()
    if draw < 0.045:
        score = chance.uniform(0.91, 0.99)
        return exchange.evolve(
            verdict=Verdict(
                Action.BLOCK,
                (
                    reason(
                        "prompt-injection", "compact", "prompt_injection", Action.BLOCK, score=score
                    ),
                ),
            ),
            upstream=None,
            upstream_model=None,
            completion=None,
            outputs=(),
            usage=Usage(),
            seconds={"check_input": 0.024, "total": 0.025},
        )
    if draw < 0.08:
        fired = reason("insult", "compact", "insult", Action.FLAG, score=chance.uniform(0.9, 0.98))
        return exchange.evolve(verdict=Verdict(Action.FLAG, (fired,)))
    if draw < 0.1:
        fired = reason("personal-data", "patterns", "email", Action.REDACT, score=1.0)
        return exchange.evolve(verdict=Verdict(Action.REDACT, (fired,)))
    if draw < 0.115:
        failure = Failure("upstream_timeout", "The upstream did not answer in time.", 504)
        return exchange.evolve(failure=failure, completion=None, outputs=())
    return exchange


def grounded(chance: random.Random, at: datetime) -> Exchange:
    answer = (
        "You may send the rail back within fourteen days of delivery. We pay the way back if it"
        " came damaged. Gift cards never expire."
    )
    ends = [answer.index(".") + 1, answer.rindex(". Gift") + 1, len(answer)]
    starts = [0, ends[0] + 1, ends[1] + 1]
    question = "Can I send the stair rail back, and who pays for that?"
    prompt = {
        "model": "assistant-large",
        "messages": [
            {"role": "system", "content": "Answer from the passages and cite them by number."},
            {"role": "user", "content": f"[1] Returns …\n[2] Damage …\n\n{question}"},
        ],
    }
    return ordinary(chance, at).evolve(
        route="support",
        stream=False,
        request={"model": "assistant-large", "messages": [{"role": "user", "content": question}]},
        inputs=(Segment(Stage.INPUT, "user", 0, ("messages", 0, "content"), question),),
        prompt=prompt,
        template_hash="5e8c0d6f1a2b",
        passages=(
            Passage(1, "p1", "d1", "Returns", "returns.md", "Every part may be sent back within"
                    " fourteen days of its delivery, unused and in its box.", 0.871),
            Passage(2, "p2", "d1", "Damage in transit", "returns.md", "Whoever receives a damaged"
                    " part pays nothing for sending it back.", 0.794),
        ),
        outputs=(
            Segment(Stage.OUTPUT, "assistant", 0, ("choices", 0, "message", "content"), answer),
        ),
        citations=(
            Citation(0, starts[0], ends[0], 0.93, 1),
            Citation(0, starts[1], ends[1], 0.81, 2),
            Citation(0, starts[2], ends[2], 0.07, None),
        ),
        seconds={"check_input": 0.022, "ground": 0.031, "format": 0.0005, "model": 0.84,
                 "check_output": 0.041, "cite": 0.012, "total": 0.951},
    )  # fmt: skip


def redacted(chance: random.Random, at: datetime) -> Exchange:
    address = "ada@example.org"
    question = f"Please mail the contract to {address} and tell me when it is done."
    start = question.index(address)
    find = Detection("email", 1.0, 0, start, start + len(address), "email-address")
    fired = reason(
        "personal-data", "patterns", "email", Action.REDACT, score=1.0, start=start,
        end=start + len(address),
    )  # fmt: skip
    exchange = ordinary(chance, at)
    return exchange.evolve(
        request={"messages": [{"role": "user", "content": question}]},
        prompt={"messages": [{"role": "user", "content": question.replace(address, "[email]")}]},
        inputs=(Segment(Stage.INPUT, "user", 0, ("messages", 0, "content"), question),),
        checks=(compact(chance, Stage.INPUT), patterns(Stage.INPUT, find), exchange.checks[2]),
        verdict=Verdict(Action.REDACT, (fired,)),
    )


def hostile(chance: random.Random, at: datetime) -> Exchange:
    exchange = ordinary(chance, at)
    fired = reason("prompt-injection", "compact", "prompt_injection", Action.BLOCK, score=0.97)
    answer = {
        "choices": [{"message": {"role": "assistant", "refusal": "This request was declined."}}]
    }
    return exchange.evolve(
        model=HOSTILE[:60],
        request={"messages": [{"role": "user", "content": HOSTILE}]},
        inputs=(Segment(Stage.INPUT, "user", 0, ("messages", 0, "content"), HOSTILE),),
        outputs=(),
        completion=None,
        answer=answer,
        checks=(compact(chance, Stage.INPUT, prompt_injection=0.97, toxicity=0.31),),
        verdict=Verdict(Action.BLOCK, (fired,)),
        uncovered=("messages[0].content[1]: image",),
        upstream=None,
        upstream_model=None,
        attempts=0,
        usage=Usage(),
        seconds={"check_input": 0.024, "total": 0.026},
    )


def a_day(now: datetime, n: int = 900) -> list[Exchange]:
    """`n` exchanges of the last 23 hours with an afternoon's peak, and four to look at up close."""
    chance = random.Random(7)
    exchanges = []
    while len(exchanges) < n:
        hours = chance.uniform(0.02, 22.9)
        at = now - timedelta(hours=hours)
        if chance.random() < 0.25 + 0.75 * math.sin(math.pi * at.hour / 24) ** 4:
            exchanges.append(unlucky(chance, ordinary(chance, at)))
    close = [
        ordinary(chance, now - timedelta(seconds=48)).evolve(abandoned=True),
        grounded(chance, now - timedelta(seconds=31)),
        redacted(chance, now - timedelta(seconds=19)),
        hostile(chance, now - timedelta(seconds=4)),
    ]
    return exchanges + close


async def write(url: str, exchanges: list[Exchange]) -> None:
    """Put exchanges and the policy's text into the log, as the proxy does."""
    log = ExchangeLog(url, 100_000)
    await log.start()
    log.remember_policy(VERSION, "default", POLICY)
    for exchange in exchanges:
        assert log.append(exchange)
    await log.stop()
