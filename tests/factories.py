"""Exchanges and their parts for tests: whole and plausible, each field open to change."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from guardrails.types import (
    Action,
    Caller,
    Check,
    Detection,
    Exchange,
    Reason,
    Segment,
    Stage,
    Usage,
    Verdict,
)


def make_id(at: datetime | None = None) -> str:
    """A UUIDv7 of the given moment (default: now)."""
    since = (at or datetime.now(UTC)) - datetime.fromtimestamp(0, UTC)
    milliseconds = since // timedelta(milliseconds=1)
    number = milliseconds << 80 | int.from_bytes(os.urandom(10))
    number = number & ~(0xF << 76) | 0x7 << 76
    return str(UUID(int=number & ~(0x3 << 62) | 0x2 << 62))


def make_check(label: str = "insult", score: float = 0.02, **changes: Any) -> Check:
    """One check with one detection."""
    fields: dict[str, Any] = {
        "detector": "toxicity",
        "version": "test-1",
        "side": Stage.INPUT,
        "detections": (Detection(label=label, score=score),),
        "seconds": 0.003,
    }
    return Check(**{**fields, **changes})


def make_reason(**changes: Any) -> Reason:
    """Why a rule fired: by default it blocks for an insult in the input."""
    fields: dict[str, Any] = {
        "rule": "no-insults",
        "detector": "toxicity",
        "label": "insult",
        "action": Action.BLOCK,
        "side": Stage.INPUT,
        "threshold": 0.8,
        "score": 0.93,
        "segment": 0,
    }
    return Reason(**{**fields, **changes})


def make_exchange(
    question: str = "What is a banister?",
    reply: str | None = "A handrail with its supporting posts.",
    **changes: Any,
) -> Exchange:
    """An allowed chat that was answered; `reply=None` for one that never reached the model."""
    started_at = changes.pop("started_at", None) or datetime.now(UTC)
    messages = [{"role": "user", "content": question}]
    completion = None
    outputs: tuple[Segment, ...] = ()
    if reply is not None:
        completion = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": "demo-model-2026",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": reply},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21},
        }
        pointer = ("choices", 0, "message", "content")
        outputs = (Segment(Stage.OUTPUT, "assistant", 0, pointer, reply),)
    fields: dict[str, Any] = {
        "id": make_id(started_at),
        "started_at": started_at,
        "protocol": "chat",
        "route": "default",
        "model": "demo",
        "stream": False,
        "request": {"model": "demo", "messages": messages},
        "caller": Caller(key_id="k1", tenant="acme"),
        "policy_version": "default@0123456789ab",
        "template_hash": "feedc0ffee00",
        "inputs": (Segment(Stage.INPUT, "user", 0, ("messages", 0, "content"), question),),
        "outputs": outputs,
        "prompt": {"model": "demo", "messages": messages},
        "completion": completion,
        "usage": Usage(12, 9) if reply is not None else Usage(),
        "checks": (make_check(), make_check(side=Stage.OUTPUT)),
        "upstream": "gpu-1" if reply is not None else None,
        "upstream_model": "demo@1" if reply is not None else None,
        "attempts": 1 if reply is not None else 0,
        "seconds": {"check_input": 0.004, "model": 0.25, "check_output": 0.003, "total": 0.26},
    }
    return Exchange(**{**fields, **changes})


def make_blocked(question: str = "You are an idiot.", **changes: Any) -> Exchange:
    """A chat that the policy stopped at its input."""
    fields: dict[str, Any] = {
        "verdict": Verdict(Action.BLOCK, (make_reason(),)),
        "checks": (make_check(score=0.93),),
        "answer": {"choices": [{"finish_reason": "content_filter"}]},
    }
    return make_exchange(question, None, **{**fields, **changes})
