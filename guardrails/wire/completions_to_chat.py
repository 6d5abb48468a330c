"""How is a text completion said to an upstream that only chats? As one turn of the user's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from guardrails.errors import BadRequest
from guardrails.types import Exchange

SAID = frozenset({"prompt", "max_tokens"})
REFUSED: dict[str, Any] = {"best_of": 1, "echo": False, "suffix": None, "logprobs": None}
"""Each with the value that asks for nothing."""
_USUAL_TOKENS = 16


class CompletionsToChat:
    """OpenAI text completions as chat completions."""

    PATH = "/chat/completions"

    def request(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        """The chat request. Errors: BadRequest for tokens, several prompts, and what steers how a
        text goes on.
        """
        for field, nothing in REFUSED.items():
            if body.get(field) is not None and body[field] != nothing:
                raise _cannot(field)
        prompt = body["prompt"]
        if isinstance(prompt, list) and len(prompt) == 1:
            (prompt,) = prompt
        if not isinstance(prompt, str):
            raise _cannot("prompt")
        told = {f: v for f, v in body.items() if f not in SAID and f not in REFUSED}
        told["messages"] = [{"role": "user", "content": prompt}]
        told["max_tokens"] = body.get("max_tokens") or _USUAL_TOKENS
        return told

    def is_answer(self, answer: Any) -> bool:
        """Whether an upstream's body is a completion at all."""
        choices = answer.get("choices") if isinstance(answer, dict) else None
        return isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices)

    def answer(self, answers: Sequence[dict[str, Any]], exchange: Exchange) -> dict[str, Any]:
        """The text completion that a chat completion stands for."""
        return _as_text(answers[0], "message")

    def events(self, exchange: Exchange) -> _Chunks:
        """What translates one stream."""
        return _Chunks()

    def error(self, body: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
        """Both speak in one envelope."""
        return body


class _Chunks:
    def add(self, event: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The chunk that one chunk makes."""
        yield _as_text(event, "delta")

    def end(self) -> Iterator[dict[str, Any]]:
        """Nothing is owed at the end."""
        yield from ()


COMPLETIONS_TO_CHAT = CompletionsToChat()


def _as_text(body: dict[str, Any], holder: str) -> dict[str, Any]:
    choices = [
        {
            "index": choice.get("index", 0),
            "text": _said(choice.get(holder) or {}),
            "logprobs": None,
            "finish_reason": choice.get("finish_reason"),
        }
        for choice in body.get("choices") or ()
    ]
    return {**body, "object": "text_completion", "choices": choices}


def _said(message: dict[str, Any]) -> str:
    return message.get("content") or message.get("refusal") or ""


def _cannot(what: str) -> BadRequest:
    return BadRequest(
        f"`{what}` cannot be served: this model's endpoint chats, and completes no texts.",
        param=what,
    )
