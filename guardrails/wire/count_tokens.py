"""Anthropic's token counting: `/v1/messages/count_tokens`, for upstreams that have it.

Nothing is generated, but every text goes to the upstream, so it is checked like a message.
"""

from __future__ import annotations

from typing import Any

from guardrails.types import Exchange, Segment, Usage
from guardrails.wire import messages

PROTOCOL = "count_tokens"
PATH = "/messages/count_tokens"
SPEAKS = messages.SPEAKS
HEADERS = messages.HEADERS

check_request = messages.check_request
inputs = messages.inputs
without_blocked_turns = messages.without_blocked_turns
failed = messages.failed
named = messages.named
blocked = blocked_error = messages.blocked_error


def asks_stream(path: str, body: dict[str, Any]) -> bool:
    """A number is not streamed."""
    return False


def question(body: dict[str, Any]) -> str | None:
    """Nothing is answered, so nothing is looked up."""
    return None


def outputs(answer: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """A number holds no text."""
    return (), ()


def is_answer(answer: Any) -> bool:
    """Whether an upstream's body is a count."""
    return isinstance(answer, dict) and isinstance(answer.get("input_tokens"), int)


def usage(answer: dict[str, Any]) -> Usage:
    """Nothing was used."""
    return Usage()


def finished(exchange: Exchange, answer: dict[str, Any]) -> dict[str, Any]:
    """The count leaves as it came."""
    return answer
