"""OpenAI embeddings: `/v1/embeddings`. Only what goes in is text, so only that is checked."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from guardrails.types import Exchange, Segment, Usage
from guardrails.wire.chat import failed as failed
from guardrails.wire.chat import named as named
from guardrails.wire.completions import add_prompt, check_prompt
from guardrails.wire.results import blocked_error
from guardrails.wire.texts import Texts

PROTOCOL = "embeddings"
PATH = "/embeddings"


def check_request(body: dict[str, Any], *, most_messages: int) -> None:
    """Refuse what later steps could not read."""
    check_prompt(body, "input", most_messages)


def inputs(body: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """The texts to embed."""
    texts = Texts()
    add_prompt(texts, body, "input")
    return texts.done()


def question(body: dict[str, Any]) -> str | None:
    """Embeddings are not grounded."""
    return None


def without_blocked_turns(body: dict[str, Any], notices: Collection[str]) -> dict[str, Any]:
    """An embedding has no turns."""
    return body


def outputs(answer: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Vectors hold no text."""
    return (), ()


def is_answer(answer: Any) -> bool:
    """Whether an upstream's body is a list of embeddings."""
    return isinstance(answer, dict) and isinstance(answer.get("data"), list)


def usage(answer: dict[str, Any]) -> Usage:
    """Tokens as the upstream counted them."""
    return Usage((answer.get("usage") or {}).get("prompt_tokens"), None)


def finished(exchange: Exchange, answer: dict[str, Any]) -> dict[str, Any]:
    """Vectors leave as they came."""
    return answer


def blocked(exchange: Exchange, message: str) -> dict[str, Any]:
    """There is no such thing as a withheld vector: Azure's error body, with status 400."""
    return blocked_error(exchange, message)
