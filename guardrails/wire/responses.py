"""OpenAI's Responses: `/v1/responses`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from guardrails.errors import BadRequest
from guardrails.grounding import cite
from guardrails.types import Exchange, Segment, Stage, Usage
from guardrails.wire import chat, fields
from guardrails.wire.body import wrong_type
from guardrails.wire.chat_to_messages import CHAT_TO_MESSAGES
from guardrails.wire.chat_to_responses import head
from guardrails.wire.chat_to_responses import usage as usage_of
from guardrails.wire.pointers import Pointer
from guardrails.wire.response_events import END as END
from guardrails.wire.response_events import Fold as Fold
from guardrails.wire.response_events import Sent, ending
from guardrails.wire.response_events import deltas as deltas
from guardrails.wire.response_events import frame as frame
from guardrails.wire.response_events import unfold as unfold
from guardrails.wire.response_items import add_item, said
from guardrails.wire.responses_to_chat import RESPONSES_TO_CHAT
from guardrails.wire.results import both_sides, guardrail, with_guardrail
from guardrails.wire.spoken import Through
from guardrails.wire.texts import Texts

PROTOCOL = "responses"
PATH = "/responses"
TRANSLATIONS = {"anthropic": Through(RESPONSES_TO_CHAT, CHAT_TO_MESSAGES)}

failed = chat.failed

# What stands at the upstream and not in the request, so that nobody can read it here.
_ELSEWHERE = ("previous_response_id", "conversation", "prompt", "store")


def check_request(body: dict[str, Any], *, most_messages: int) -> None:
    """Refuse what later steps could not read; everything else is the upstream's to judge."""
    given = body.get("input")
    if isinstance(given, list):
        if len(given) > most_messages:
            raise BadRequest(f"More than {most_messages} items.", param="input", status=413)
        for number, item in enumerate(given):
            _check_item(f"input[{number}]", item)
    elif not isinstance(given, str | None):
        raise wrong_type("input", "a string or an array")
    if not isinstance(body.get("instructions"), str | None):
        raise wrong_type("instructions", "a string")
    if not isinstance(body.get("tools"), list | None):
        raise wrong_type("tools", "an array")
    if not isinstance(body.get("stream", False), bool | None):
        raise wrong_type("stream", "a boolean")


def _check_item(at: str, item: Any) -> None:
    if not isinstance(item, dict):
        raise wrong_type(at, "an object")
    if not isinstance(item.get("type"), str | None):
        raise wrong_type(f"{at}.type", "a string")
    content = item.get("content")
    if not isinstance(content, str | list | None):
        raise wrong_type(f"{at}.content", "a string or an array")
    if isinstance(content, list) and not all(isinstance(part, dict) for part in content):
        raise wrong_type(f"{at}.content", "an array of objects")


def inputs(body: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Every text that goes to the model; history that the upstream keeps is named as unread."""
    texts = Texts()
    texts.add(Stage.INPUT, "system", 0, ("instructions",), body.get("instructions"))
    given = body.get("input")
    if isinstance(given, list):
        for number, item in enumerate(given):
            add_item(texts, number, ("input", number), item)
    else:
        texts.add(Stage.INPUT, "user", 0, ("input",), given)
    for number, tool in enumerate(body.get("tools") or ()):
        fields.read(texts, Stage.INPUT, "tool_definition", number, ("tools", number), tool)
    where: Pointer = ("text", "format")
    wanted = _format(body)
    fields.read(texts, Stage.INPUT, "tool_definition", 0, where, wanted)
    prompt = body.get("prompt")
    if isinstance(prompt, dict):
        variables = ("prompt", "variables")
        texts.add_json(Stage.INPUT, "user", 0, variables, prompt.get("variables"))
    for field in _ELSEWHERE:
        if body.get(field):
            texts.skip((field,), "kept by the upstream")
    return texts.done()


def _format(body: dict[str, Any]) -> dict[str, Any]:
    text = body.get("text")
    wanted = text.get("format") if isinstance(text, dict) else None
    return wanted if isinstance(wanted, dict) else {}


def question(body: dict[str, Any]) -> str | None:
    """Responses are not grounded: their history may stand where it cannot be seen."""
    return None


def without_blocked_turns(body: dict[str, Any], notices: Collection[str]) -> dict[str, Any]:
    """The body with earlier blocked turns masked, as `chat.without_blocked_turns` does."""
    items = body.get("input")
    if not isinstance(items, list):
        return body
    masked: dict[int, dict[str, Any]] = {}
    for number, item in enumerate(items):
        if said(item) in notices:
            before = number - 1
            while before >= 0 and before not in masked:
                hidden = _masked(items[before])
                if hidden is None:
                    break
                masked[before] = hidden
                before -= 1
    if not masked:
        return body
    return {**body, "input": [masked.get(i, item) for i, item in enumerate(items)]}


def _masked(item: dict[str, Any]) -> dict[str, Any] | None:
    kind = item.get("type") or "message"
    if kind == "message" and item.get("role") == "user":
        return {**item, "content": chat.WITHHELD}
    return {**item, "output": chat.WITHHELD} if kind.endswith("_output") else None


def outputs(answer: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Every text of every item that the model gave, and what only its stream said."""
    texts = Texts()
    for number, item in enumerate(answer["output"]):
        add_item(texts, 0, ("output", number), item, given=True)
    streamed: Pointer = ("streamed",)
    fields.read(texts, Stage.OUTPUT, "assistant", 0, streamed, answer.get("streamed"))
    return texts.done()


def is_answer(answer: Any) -> bool:
    """Whether an upstream's body is a response at all."""
    output = answer.get("output") if isinstance(answer, dict) else None
    return isinstance(output, list) and all(isinstance(item, dict) for item in output)


def usage(answer: dict[str, Any]) -> Usage:
    """Tokens as the upstream counted them."""
    counted = answer.get("usage") or {}
    return Usage(counted.get("input_tokens"), counted.get("output_tokens"))


def named(body: dict[str, Any], model: str) -> dict[str, Any]:
    """An answer or an event under the model name that the caller asked for."""
    response = body.get("response")
    if isinstance(response, dict):
        return {**body, "response": named(response, model)}
    return body if body.get("model") in (None, model) else {**body, "model": model}


def blocked(exchange: Exchange, message: str) -> dict[str, Any]:
    """The answer of a withheld exchange: incomplete because of `content_filter`, and saying so."""
    request, given = exchange.request, exchange.completion or {}
    # A refusal must not look like the JSON that the caller's parser expects.
    if _format(request).get("type") in ("json_schema", "json_object"):
        part: dict[str, Any] = {"type": "refusal", "refusal": message}
    else:
        part = {"type": "output_text", "text": message, "annotations": [], "logprobs": []}
    item = {
        "type": "message",
        "id": f"msg_{exchange.id}",
        "status": "incomplete",
        "role": "assistant",
        "content": [part],
    }
    return {
        **head(exchange, given.get("id")),
        "status": "incomplete",
        "incomplete_details": {"reason": "content_filter"},
        "output": [item],
        "usage": given.get("usage") or usage_of({}),
        "guardrail": {**guardrail(exchange), **both_sides(exchange)},
    }


def finished(exchange: Exchange, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with what the policy found; itself where it found nothing."""
    if exchange.citations:
        answer = {**answer, "context": {"citations": cite.context_citations(exchange.passages)}}
    return with_guardrail(exchange, answer)


def stopped(
    exchange: Exchange, message: str, released: bool, sent: Sent | None = None
) -> Iterator[dict[str, Any]]:
    """What ends a stream that the policy stopped: the notice if nothing was said, then the end.

    Without `sent` nothing is known to be open.
    """
    if sent is None:
        sent = Sent()
        sent.begun = released
    yield from ending(blocked(exchange, message), released, sent)
