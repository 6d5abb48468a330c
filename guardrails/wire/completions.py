"""OpenAI's older text completions: `/v1/completions`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from guardrails.types import Exchange, Segment, Stage
from guardrails.wire import chat
from guardrails.wire.body import check_how_answered, wrong_type
from guardrails.wire.completions_to_chat import COMPLETIONS_TO_CHAT
from guardrails.wire.deltas import Delta, Lane
from guardrails.wire.results import (
    with_choices_withheld,
    with_results,
)
from guardrails.wire.spoken import Through
from guardrails.wire.texts import Texts

PROTOCOL = "completions"
PATH = "/completions"
TRANSLATIONS = {"anthropic": Through(COMPLETIONS_TO_CHAT, chat.TRANSLATIONS["anthropic"])}

usage = chat.usage
failed = chat.failed
named = chat.named
frame = chat.frame
END = chat.END
finished = with_results


def check_request(body: dict[str, Any], *, most_messages: int) -> None:
    """Refuse what later steps could not read."""
    check_prompt(body, "prompt", most_messages)
    check_how_answered(body)


def check_prompt(body: dict[str, Any], field: str, most: int) -> None:
    """A prompt is a string, an array of strings, or tokens in one or two levels of arrays."""
    prompt = body.get(field)
    if isinstance(prompt, str):
        return
    if not isinstance(prompt, list) or not prompt:
        raise wrong_type(field, "a string or a non-empty array")
    if len(prompt) > most and not isinstance(prompt[0], int):
        raise wrong_type(field, f"an array of at most {most} texts")
    if not all(isinstance(item, str | int | list) for item in prompt):
        raise wrong_type(field, "an array of strings or tokens")


def add_prompt(texts: Texts, body: dict[str, Any], field: str) -> None:
    """The prompt's strings as segments; token arrays cannot be read and are named as such."""
    prompt = body[field]
    if isinstance(prompt, str):
        texts.add(Stage.INPUT, "user", 0, (field,), prompt)
    elif all(isinstance(item, str) for item in prompt):
        for number, text in enumerate(prompt):
            texts.add(Stage.INPUT, "user", number, (field, number), text)
    else:
        texts.skip((field,), "tokens")


def inputs(body: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """The prompts, and the suffix to complete towards."""
    texts = Texts()
    add_prompt(texts, body, "prompt")
    texts.add(Stage.INPUT, "user", 0, ("suffix",), body.get("suffix"))
    return texts.done()


def question(body: dict[str, Any]) -> str | None:
    """Completions are not grounded."""
    return None


def without_blocked_turns(body: dict[str, Any], notices: Collection[str]) -> dict[str, Any]:
    """A completion has no turns."""
    return body


def outputs(answer: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """The text of every choice."""
    texts = Texts()
    for number, choice in enumerate(answer["choices"]):
        index = choice.get("index", number)
        where = ("choices", number, "text")
        texts.add(Stage.OUTPUT, "assistant", index, where, choice.get("text"))
    return texts.done()


def is_answer(answer: Any) -> bool:
    """Whether an upstream's body is a completion at all."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    return isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices)


def blocked(exchange: Exchange, message: str) -> dict[str, Any]:
    """An ordinary completion whose text is the policy's notice."""
    prompt = exchange.request["prompt"]
    prompts = len(prompt) if isinstance(prompt, list) and isinstance(prompt[0], str) else 1
    count = (exchange.request.get("n") or 1) * prompts
    return with_choices_withheld(exchange, "text_completion", "cmpl", count, {"text": message})


class Fold:
    """Puts a stream's chunks together to the answer that would have come unstreamed."""

    def __init__(self) -> None:
        self._answer: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._texts: dict[int, list[str]] = {}

    @property
    def ended(self) -> bool:
        """Whether a choice has come to its end."""
        return any(choice.get("finish_reason") for choice in self._choices.values())

    def add(self, chunk: dict[str, Any]) -> None:
        """Take in one chunk; unknown fields are kept, the last one wins."""
        for field, value in chunk.items():
            if field != "choices" and (value is not None or field not in self._answer):
                self._answer[field] = value
        for choice in chunk.get("choices") or ():
            index = choice.get("index", 0)
            kept = self._choices.setdefault(index, {"index": index})
            self._texts.setdefault(index, []).append(choice.get("text") or "")
            kept.update((f, v) for f, v in choice.items() if v is not None or f not in kept)

    def result(self) -> dict[str, Any]:
        """The whole answer so far."""
        choices = [
            {**choice, "text": "".join(self._texts[index])}
            for index, choice in sorted(self._choices.items())
        ]
        return {**self._answer, "choices": choices}


def unfold(answer: dict[str, Any], *, include_usage: bool) -> Iterator[dict[str, Any]]:
    """One chunk a choice, then the usage."""
    base = {field: value for field, value in answer.items() if field not in ("choices", "usage")}
    for choice in answer["choices"]:
        yield {**base, "choices": [choice]}
    if include_usage:
        yield {**base, "choices": [], "usage": answer.get("usage")}


def deltas(event: dict[str, Any]) -> list[Delta]:
    """The piece of text of each choice."""
    return [
        Delta(
            Lane(Stage.OUTPUT, "assistant", index, ("choices", index, "text")),
            ("choices", number, "text"),
            choice["text"],
        )
        for number, choice in enumerate(event.get("choices") or ())
        if choice.get("text")
        for index in (choice.get("index", 0),)
    ]


def stopped(exchange: Exchange, message: str, released: bool) -> Iterator[dict[str, Any]]:
    """What ends a stream that the policy stopped: the notice if nothing was said, then the end."""
    answer = blocked(exchange, message)
    if released:
        choices = [
            {**choice, "text": "", "finish_reason": choice.get("finish_reason") or "content_filter"}
            for choice in answer["choices"]
        ]
        answer = {**answer, "choices": choices}
    wanted = exchange.request.get("stream_options") or {}
    yield from unfold(answer, include_usage=bool(wanted.get("include_usage")))
