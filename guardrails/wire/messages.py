"""Anthropic messages: `/v1/messages`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from guardrails.errors import BadRequest
from guardrails.grounding import cite
from guardrails.types import Exchange, Segment, Stage, Usage
from guardrails.wire import fields
from guardrails.wire.body import wrong_type
from guardrails.wire.chat import WITHHELD
from guardrails.wire.message_blocks import add_block, add_content
from guardrails.wire.message_events import END as END
from guardrails.wire.message_events import Fold as Fold
from guardrails.wire.message_events import Sent, ending
from guardrails.wire.message_events import deltas as deltas
from guardrails.wire.message_events import frame as frame
from guardrails.wire.message_events import unfold as unfold
from guardrails.wire.pointers import Pointer
from guardrails.wire.results import both_sides, guardrail, with_guardrail
from guardrails.wire.texts import Texts
from guardrails.wire.translate import MESSAGES_TO_CHAT, error_envelope

PROTOCOL = "messages"
PATH = "/messages"
SPEAKS = "anthropic"
TRANSLATIONS = {"openai": MESSAGES_TO_CHAT}
HEADERS = {b"anthropic-version": b"2023-06-01", b"anthropic-beta": None}

# Of an answer: its blocks are read one by one, the others are ours or count what was cached.
_NOT_SAID = frozenset({"content", "context", "guardrail", "diagnostics"})
_ROLES = frozenset({"user", "assistant", "system"})


def check_request(body: dict[str, Any], *, most_messages: int) -> None:
    """Refuse what later steps could not read; everything else is the upstream's to judge."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise wrong_type("messages", "a non-empty array")
    if len(messages) > most_messages:
        raise BadRequest(f"More than {most_messages} messages.", param="messages", status=413)
    for number, message in enumerate(messages):
        at = f"messages[{number}]"
        if not isinstance(message, dict):
            raise wrong_type(at, "an object")
        if not isinstance(message.get("role"), str):
            raise wrong_type(f"{at}.role", "a string")
        _check_content(f"{at}.content", message.get("content"))
    if body.get("system") is not None:
        _check_content("system", body["system"])
    if not isinstance(body.get("tools"), list | None):
        raise wrong_type("tools", "an array")
    if not isinstance(body.get("stream", False), bool | None):
        raise wrong_type("stream", "a boolean")


def _check_content(at: str, content: Any) -> None:
    if isinstance(content, list) and all(isinstance(block, dict) for block in content):
        return
    if not isinstance(content, str):
        raise wrong_type(at, "a string or an array of objects")


def inputs(body: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Every text that goes to the model: system, turns, tool inputs and results, tools, schema."""
    texts = Texts()
    add_content(texts, Stage.INPUT, "system", 0, ("system",), body.get("system"))
    for number, message in enumerate(body["messages"]):
        # A made-up role is nobody's privilege: it is held to what a user is held to.
        role = message["role"] if message["role"] in _ROLES else "user"
        at: Pointer = ("messages", number)
        add_content(texts, Stage.INPUT, role, number, (*at, "content"), message.get("content"))
        rest = {f: v for f, v in message.items() if f not in ("role", "content")}
        fields.read(texts, Stage.INPUT, role, number, at, rest)
    for number, tool in enumerate(body.get("tools") or ()):
        fields.read(texts, Stage.INPUT, "tool_definition", number, ("tools", number), tool)
    for path in (("output_config", "format", "schema"), ("output_format", "schema")):
        schema: Any = body
        for step in path:
            schema = schema.get(step) if isinstance(schema, dict) else None
        texts.add_json(Stage.INPUT, "tool_definition", 0, path, schema)
    return texts.done()


def question(body: dict[str, Any]) -> str | None:
    """The last user turn's text, which grounding looks up."""
    for message in reversed(body["messages"]):
        if message["role"] == "user":
            return _text_of(message.get("content")) or None
    return None


def with_messages(body: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The body with messages that a template wrote, its system message before the caller's."""
    written = [m["content"] for m in messages[:1] if m["role"] == "system"]
    if not written or body["messages"][0]["role"] == "system":
        return {**body, "messages": messages}
    system = body.get("system")
    if isinstance(system, str) or not system:
        told: Any = "\n\n".join([*written, *([system] if system else [])])
    else:
        told = [*({"type": "text", "text": text} for text in written), *system]
    return {**body, "system": told, "messages": messages[1:]}


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    texts = [b.get("text") for b in content or () if b.get("type") == "text"]
    return "\n".join(text for text in texts if isinstance(text, str))


def without_blocked_turns(body: dict[str, Any], notices: Collection[str]) -> dict[str, Any]:
    """The body with earlier blocked turns masked, as `chat.without_blocked_turns` does.

    Tool results are kept as blocks, for the tool calls before them want an answer, but say nothing.
    """
    messages = body["messages"]
    masked: dict[int, dict[str, Any]] = {}
    for number, message in enumerate(messages):
        if message["role"] == "assistant" and _text_of(message.get("content")) in notices:
            before = number - 1
            while before >= 0 and messages[before]["role"] == "user" and before not in masked:
                masked[before] = {"role": "user", "content": _masked(messages[before]["content"])}
                before -= 1
    if not masked:
        return body
    return {**body, "messages": [masked.get(i, message) for i, message in enumerate(messages)]}


def _masked(content: Any) -> Any:
    if isinstance(content, str):
        return WITHHELD
    results = [
        {"type": "tool_result", "tool_use_id": b.get("tool_use_id"), "content": WITHHELD}
        for b in content
        if b.get("type") == "tool_result"
    ]
    return [*results, {"type": "text", "text": WITHHELD}]


def outputs(answer: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Every text of every block that the model gave."""
    texts = Texts()
    for number, block in enumerate(answer["content"]):
        add_block(texts, Stage.OUTPUT, "assistant", 0, ("content", number), block)
    rest = {field: value for field, value in answer.items() if field not in _NOT_SAID}
    fields.read(texts, Stage.OUTPUT, "assistant", 0, (), rest)
    return texts.done()


def is_answer(answer: Any) -> bool:
    """Whether an upstream's body is a message at all."""
    content = answer.get("content") if isinstance(answer, dict) else None
    return isinstance(content, list) and all(isinstance(block, dict) for block in content)


def usage(answer: dict[str, Any]) -> Usage:
    """Tokens as the upstream counted them, those read from a cache included."""
    counted = answer.get("usage") or {}
    read = [
        counted.get(field)
        for field in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    ]
    known = [tokens for tokens in read if isinstance(tokens, int)]
    return Usage(sum(known) if known else None, counted.get("output_tokens"))


def named(body: dict[str, Any], model: str) -> dict[str, Any]:
    """An answer or an event under the model name that the caller asked for."""
    message = body.get("message")
    if isinstance(message, dict):
        return {**body, "message": named(message, model)}
    return body if body.get("model") in (None, model) else {**body, "model": model}


def blocked(exchange: Exchange, message: str) -> dict[str, Any]:
    """The answer of a withheld exchange: a message with `stop_reason: refusal` that says so."""
    given = exchange.completion or {}
    return {
        "id": given.get("id") or f"msg_{exchange.id}",
        "type": "message",
        "role": "assistant",
        "model": exchange.model,
        "content": [{"type": "text", "text": message}],
        "stop_reason": "refusal",
        "stop_sequence": None,
        "stop_details": {"type": "refusal", "category": None, "explanation": message},
        "usage": given.get("usage") or {"input_tokens": 0, "output_tokens": 0},
        "guardrail": {**guardrail(exchange), **both_sides(exchange)},
    }


def finished(exchange: Exchange, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with its sources and with what the policy found; itself where there is neither."""
    if exchange.citations:
        answer = {**answer, "context": {"citations": cite.context_citations(exchange.passages)}}
    return with_guardrail(exchange, answer)


def failed(exchange: Exchange) -> dict[str, Any]:
    """The error that a failed exchange gets, in Anthropic's envelope."""
    failure = exchange.failure
    assert failure is not None  # noqa: S101 - only failed exchanges come here
    return error_envelope(exchange.id, failure.status, failure.message)


def blocked_error(exchange: Exchange, message: str) -> dict[str, Any]:
    """A withheld exchange as an error (400), for routes that say `blocked_as: error`."""
    envelope = error_envelope(exchange.id, 400, message)
    return {**envelope, "guardrail": {**guardrail(exchange), **both_sides(exchange)}}


def stopped(
    exchange: Exchange, message: str, released: bool, sent: Sent | None = None
) -> Iterator[dict[str, Any]]:
    """What ends a stream that the policy stopped: the notice if nothing was said, then the end.

    Without `sent` all blocks of the completion so far are taken for let out, the last one as open.
    """
    answer = blocked(exchange, message)
    if sent is None:
        sent = Sent()
        sent.begun = released
        sent.blocks = len((exchange.completion or {}).get("content") or ()) if released else 0
        sent.open = sent.blocks - 1 if sent.blocks else None
    yield from ending(answer, released, sent)
