"""OpenAI chat completions: `/v1/chat/completions`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from guardrails.errors import BadRequest
from guardrails.grounding import cite
from guardrails.types import Exchange, Segment, Stage, Usage
from guardrails.wire import fields
from guardrails.wire.body import check_how_answered, wrong_type
from guardrails.wire.chat_events import END as END
from guardrails.wire.chat_events import REASONING
from guardrails.wire.chat_events import Fold as Fold
from guardrails.wire.chat_events import deltas as deltas
from guardrails.wire.chat_events import frame as frame
from guardrails.wire.chat_events import unfold as unfold
from guardrails.wire.chat_to_messages import CHAT_TO_MESSAGES
from guardrails.wire.pointers import Pointer
from guardrails.wire.results import (
    error_body,
    side_results,
    with_choices_withheld,
    with_results,
)
from guardrails.wire.texts import Texts

PROTOCOL = "chat"
PATH = "/chat/completions"
TRANSLATIONS = {"anthropic": CHAT_TO_MESSAGES}

WITHHELD = "[This turn was withheld by the content policy.]"
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_ADDED = ("annotations", "context")
# Fields of a message that are taken in by name; every other one is read as it stands.
_KNOWN_INPUT = frozenset({"role", "content", "refusal", "tool_calls", "function_call"})
_KNOWN_OUTPUT = _KNOWN_INPUT | {"audio", "annotations"}


def check_request(body: dict[str, Any], *, most_messages: int) -> None:
    """Refuse what later steps could not read; everything else is the upstream's to judge."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise wrong_type("messages", "a non-empty array")
    if len(messages) > most_messages:
        raise BadRequest(f"More than {most_messages} messages.", param="messages", status=413)
    for number, message in enumerate(messages):
        _check_message(f"messages[{number}]", message)
    check_how_answered(body)
    if not isinstance(body.get("tools"), list | None):
        raise wrong_type("tools", "an array")


def _check_message(at: str, message: Any) -> None:
    if not isinstance(message, dict):
        raise wrong_type(at, "an object")
    if not isinstance(message.get("role"), str):
        raise wrong_type(f"{at}.role", "a string")
    content = message.get("content")
    if not isinstance(content, str | list | None):
        raise wrong_type(f"{at}.content", "a string, an array or null")
    if isinstance(content, list) and not all(isinstance(part, dict) for part in content):
        raise wrong_type(f"{at}.content", "an array of objects")
    calls = message.get("tool_calls")
    if not isinstance(calls, list | None) or not all(isinstance(c, dict) for c in calls or ()):
        raise wrong_type(f"{at}.tool_calls", "an array of objects")


def inputs(body: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Every text that goes to the model: turns, tool calls and results, tool descriptions."""
    texts = Texts()
    for number, message in enumerate(body["messages"]):
        # A made-up role is nobody's privilege: it is held to what a user is held to.
        role = message["role"] if message["role"] in _ROLES else "user"
        stage = Stage.TOOL_RESULT if role in ("tool", "function") else Stage.INPUT
        at = ("messages", number)
        texts.add_content(stage, role, number, (*at, "content"), message.get("content"))
        texts.add(stage, role, number, (*at, "refusal"), message.get("refusal"))
        texts.add_calls(number, at, message)
        if not message.keys() <= _KNOWN_INPUT:
            _add_rest(texts, stage, role, number, at, message, _KNOWN_INPUT)
    for field in ("tools", "functions"):
        for number, tool in enumerate(body.get(field) or ()):
            fields.read(texts, Stage.INPUT, "tool_definition", number, (field, number), tool)
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("json_schema"):
        where: Pointer = ("response_format", "json_schema")
        fields.read(texts, Stage.INPUT, "tool_definition", 0, where, wanted["json_schema"])
    return texts.done()


def _add_rest(
    texts: Texts,
    stage: Stage,
    role: str,
    index: int,
    at: Pointer,
    message: dict[str, Any],
    known: frozenset[str],
) -> None:
    """The fields that are not taken in by name: unknown ones are read, never trusted."""
    rest = {field: value for field, value in message.items() if field not in known}
    reasoning = {field: rest.pop(field) for field in REASONING & rest.keys()}
    fields.read(texts, stage, "reasoning", index, at, reasoning)
    fields.read(texts, stage, role, index, at, rest)


def question(body: dict[str, Any]) -> str | None:
    """The last user turn's text, which grounding looks up."""
    for message in reversed(body["messages"]):
        if message["role"] == "user":
            content = message.get("content")
            if isinstance(content, list):
                content = "\n".join(p["text"] for p in content if isinstance(p.get("text"), str))
            return content or None
    return None


def without_blocked_turns(body: dict[str, Any], notices: Collection[str]) -> dict[str, Any]:
    """The body with earlier blocked turns masked, so that one block does not poison the rest.

    A blocked turn is known by its answer: an assistant message that is one of the policy's own
    notices. The user turn before it is withheld from the detectors and from the model alike, so a
    caller who forges the notice only silences himself.
    """
    messages = body["messages"]
    masked: dict[int, dict[str, Any]] = {}
    for number, message in enumerate(messages):
        if message["role"] == "assistant" and _said(message) in notices:
            before = number - 1
            while before >= 0 and messages[before]["role"] == "user" and before not in masked:
                masked[before] = {"role": "user", "content": WITHHELD}
                before -= 1
    if not masked:
        return body
    return {**body, "messages": [masked.get(i, message) for i, message in enumerate(messages)]}


def _said(message: dict[str, Any]) -> Any:
    content = message.get("content")
    return content if isinstance(content, str) else message.get("refusal")


def outputs(answer: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Every text that the model gave, of all choices; `Segment.index` is the choice's index."""
    texts = Texts()
    for number, choice in enumerate(answer["choices"]):
        message = choice.get("message") or {}
        index, at = choice.get("index", number), ("choices", number, "message")
        texts.add_content(
            Stage.OUTPUT, "assistant", index, (*at, "content"), message.get("content")
        )
        texts.add(Stage.OUTPUT, "assistant", index, (*at, "refusal"), message.get("refusal"))
        texts.add_calls(index, at, message)
        if not message.keys() <= _KNOWN_OUTPUT:
            _add_rest(texts, Stage.OUTPUT, "assistant", index, at, message, _KNOWN_OUTPUT)
        if message.get("annotations"):
            notes: Pointer = (*at, "annotations")
            fields.read(texts, Stage.OUTPUT, "assistant", index, notes, message["annotations"])
        audio = message.get("audio")
        if isinstance(audio, dict):
            where = (*at, "audio", "transcript")
            texts.add(Stage.OUTPUT, "assistant", index, where, audio.get("transcript"))
            texts.skip((*at, "audio"), "audio")
    return texts.done()


def is_answer(answer: Any) -> bool:
    """Whether an upstream's body is a completion at all."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    return isinstance(choices, list) and all(
        isinstance(choice, dict) and isinstance(choice.get("message"), dict | None)
        for choice in choices
    )


def usage(answer: dict[str, Any]) -> Usage:
    """Tokens as the upstream counted them."""
    counted = answer.get("usage") or {}
    return Usage(counted.get("prompt_tokens"), counted.get("completion_tokens"))


def blocked(exchange: Exchange, message: str) -> dict[str, Any]:
    """The answer of a withheld exchange: an ordinary completion that says so."""
    wanted = exchange.request.get("response_format") or {}
    # A refusal must not look like the JSON that the caller's parser expects.
    structured = isinstance(wanted, dict) and wanted.get("type") in ("json_schema", "json_object")
    content = None if structured else message
    said = {"message": {"role": "assistant", "content": content, "refusal": message}}
    count = exchange.request.get("n") or 1
    return with_choices_withheld(exchange, "chat.completion", "chatcmpl", count, said)


def finished(exchange: Exchange, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with its citations and with what the policy found."""
    answer = with_results(exchange, answer)
    if not exchange.citations:
        return answer
    choices = [
        {**choice, "message": _cited(exchange, choice.get("index", number), choice["message"])}
        for number, choice in enumerate(answer["choices"])
    ]
    return {**answer, "choices": choices}


def _cited(exchange: Exchange, index: int, message: dict[str, Any]) -> dict[str, Any]:
    citations = [citation for citation in exchange.citations if citation.choice == index]
    return {
        **message,
        "annotations": [
            *(message.get("annotations") or ()),
            *cite.annotations(citations, exchange.passages),
        ],
        "context": {"citations": cite.context_citations(exchange.passages)},
    }


def failed(exchange: Exchange) -> dict[str, Any]:
    """The error that a failed exchange gets."""
    assert exchange.failure is not None  # noqa: S101 - only failed exchanges come here
    return error_body(exchange.failure)


def named(body: dict[str, Any], model: str) -> dict[str, Any]:
    """An answer or an event under the model name that the caller asked for."""
    return body if body.get("model") in (None, model) else {**body, "model": model}


def addenda(exchange: Exchange) -> Iterator[dict[str, Any]]:
    """What became known of a stream's whole answer only: its citations, and what was found."""
    answer = exchange.answer or {}
    base = {"id": answer.get("id"), "object": "chat.completion.chunk", "model": exchange.model}
    for choice in answer.get("choices") or ():
        message = choice.get("message") or {}
        delta = {field: message[field] for field in _ADDED if field in message}
        found = {f: choice[f] for f in ("content_filter_results",) if f in choice}
        if delta or found:
            index = choice.get("index", 0)
            body = {"index": index, "delta": delta, "finish_reason": None, **found}
            yield {**base, "created": answer.get("created"), "choices": [body]}


def stopped(exchange: Exchange, message: str, released: bool) -> Iterator[dict[str, Any]]:
    """What ends a stream that the policy stopped: the notice if nothing was said, then the end.

    Every choice ends: those at fault, or all when that is not known, with `content_filter`; the
    others with the reason that the model gave.
    """
    answer = blocked(exchange, message)
    base = {
        field: value
        for field, value in answer.items()
        if field not in ("choices", "usage", "guardrail", "prompt_filter_results")
    }
    base["object"] = "chat.completion.chunk"
    if not released:
        wanted = exchange.request.get("stream_options") or {}
        yield from unfold(answer, include_usage=bool(wanted.get("include_usage")))
        return
    results = {"content_filter_results": side_results(exchange, Stage.OUTPUT)}
    last = len(answer["choices"]) - 1
    for number, choice in enumerate(answer["choices"]):
        reason = choice.get("finish_reason") or "content_filter"
        end = {"index": choice.get("index", number), "delta": {}, "finish_reason": reason}
        if reason == "content_filter":
            end |= results
        extra = {"guardrail": answer["guardrail"]} if number == last else {}
        yield {**base, "choices": [end], **extra}
    if (exchange.request.get("stream_options") or {}).get("include_usage"):
        yield {**base, "choices": [], "usage": answer.get("usage")}
