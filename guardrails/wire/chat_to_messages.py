"""How is an OpenAI chat request said to an Anthropic-speaking upstream?

What messages cannot say is refused where the answer would be another one without it (several
choices, log probabilities, a seed), and left out where it only steers the provider (caches, tiers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from guardrails.errors import BadRequest
from guardrails.types import Exchange
from guardrails.wire.message_to_chat import MessageEvents, completion

USUAL_TOKENS = 4_096
"""Anthropic wants a limit; this one is meant where the caller sets none."""

SAID = frozenset({
    "model", "messages", "stream", "max_tokens", "max_completion_tokens", "stop", "temperature",
    "top_p", "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort",
    "user", "safety_identifier",
})  # fmt: skip
LEFT_OUT = frozenset({
    "stream_options", "metadata", "store", "service_tier", "prediction", "verbosity",
    "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
})  # fmt: skip
REFUSED: dict[str, Any] = {
    # Each with the value that asks for nothing.
    "n": 1, "modalities": ["text"], "frequency_penalty": 0, "presence_penalty": 0,
    "logit_bias": {}, "logprobs": False, "top_logprobs": 0, "seed": None, "audio": None,
    "functions": None, "function_call": None, "web_search_options": None, "moderation": None,
}  # fmt: skip

_EFFORTS = frozenset({"low", "medium", "high", "xhigh"})
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_TURN = frozenset({"role", "content", "refusal", "tool_calls", "tool_call_id"})
# What an answer of ours may hold, and comes back as history.
_TURN_LEFT_OUT = frozenset(
    {"annotations", "context", "reasoning", "reasoning_content", "reasoning_details", "id"}
)


class ChatToMessages:
    """OpenAI chat completions as Anthropic messages."""

    PATH = "/messages"
    HEADERS = ((b"anthropic-version", b"2023-06-01"),)

    def request(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        """The messages request. Errors: BadRequest for what messages cannot say."""
        for field, nothing in REFUSED.items():
            if body.get(field) is not None and body[field] != nothing:
                raise cannot(field)
        told = {f: v for f, v in body.items() if f not in SAID | LEFT_OUT | REFUSED.keys()}
        system, told["messages"] = _turns(body["messages"])
        if system:
            told["system"] = system
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        told["max_tokens"] = most or USUAL_TOKENS
        told |= _sampling(body)
        if body.get("tools"):
            told["tools"] = [_tool(f"tools[{n}]", tool) for n, tool in enumerate(body["tools"])]
            told |= _tool_choice(body)
        told |= _output_config(body)
        user = body.get("safety_identifier") or body.get("user")
        if user:
            told["metadata"] = {"user_id": user}
        return told

    def is_answer(self, answer: Any) -> bool:
        """Whether an upstream's body is a message at all."""
        content = answer.get("content") if isinstance(answer, dict) else None
        return isinstance(content, list) and all(isinstance(block, dict) for block in content)

    def answer(self, answers: Sequence[dict[str, Any]], exchange: Exchange) -> dict[str, Any]:
        """The completion that a message stands for."""
        return completion(answers[0], exchange)

    def events(self, exchange: Exchange) -> MessageEvents:
        """What translates one stream."""
        return MessageEvents(exchange)

    def error(self, body: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
        """Anthropic's error in OpenAI's envelope."""
        told = body["error"]
        message = str(told.get("message") or "The upstream refused the request.")
        return {
            "error": {"message": message, "type": told.get("type"), "param": None, "code": None}
        }


CHAT_TO_MESSAGES = ChatToMessages()


def cannot(what: str) -> BadRequest:
    """The error for what an Anthropic-speaking endpoint cannot be told."""
    return BadRequest(
        f"`{what}` cannot be served: this model's endpoint speaks Anthropic's messages protocol.",
        param=what,
    )


def _turns(
    messages: Sequence[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The system prompt, which stands by itself, and the turns; those of one role become one, as
    all results of a round of tools must stand in one.
    """
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for number, message in enumerate(messages):
        at = f"messages[{number}]"
        for field, value in message.items():
            if value and field not in _TURN and field not in _TURN_LEFT_OUT:
                raise cannot(f"{at}.{field}")
        role, content = message["role"], message.get("content")
        if role in ("system", "developer"):
            system += _blocks(f"{at}.content", content)
            continue
        if role == "tool":
            role, blocks = "user", [_tool_result(at, message)]
        elif role == "assistant":
            blocks = [*_blocks(f"{at}.content", content), *_text(message.get("refusal"))]
            blocks += [
                _tool_use(f"{at}.tool_calls[{n}]", call)
                for n, call in enumerate(message.get("tool_calls") or ())
            ]
        elif role == "user":
            blocks = _blocks(f"{at}.content", content)
        else:
            raise cannot(f"{at}.role")
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return system, turns


def _text(text: Any) -> list[dict[str, Any]]:
    # Anthropic refuses empty blocks.
    return [{"type": "text", "text": text}] if isinstance(text, str) and text else []


def _blocks(at: str, content: Any) -> list[dict[str, Any]]:
    if not isinstance(content, list):
        return _text(content)
    blocks: list[dict[str, Any]] = []
    for number, part in enumerate(content):
        made = _part(f"{at}[{number}]", part)
        if part.get("cache_control"):
            made = [{**block, "cache_control": part["cache_control"]} for block in made]
        blocks += made
    return blocks


def _part(at: str, part: dict[str, Any]) -> list[dict[str, Any]]:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        return _text(part.get(kind))
    if kind == "image_url" and isinstance(part.get("image_url"), dict):
        url = str(part["image_url"].get("url") or "")
        return [{"type": "image", "source": _source(at, url)}]
    if kind == "file" and isinstance(part.get("file"), dict) and part["file"].get("file_data"):
        document = {"type": "document", "source": _source(at, str(part["file"]["file_data"]))}
        name = part["file"].get("filename")
        return [{**document, "title": name} if name else document]
    raise cannot(at)


def _source(at: str, url: str) -> dict[str, Any]:
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise cannot(at)
    media_type = head.removeprefix("data:").removesuffix(";base64")
    return {"type": "base64", "media_type": media_type, "data": data}


def _tool_result(at: str, message: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "tool_result",
        "tool_use_id": message.get("tool_call_id"),
        "content": _blocks(f"{at}.content", message.get("content")),
    }


def _tool_use(at: str, call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, dict):
        raise cannot(at)
    try:
        given = orjson.loads(function.get("arguments") or "{}")
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise cannot(f"{at}.function.arguments")
    return {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": given}


def _sampling(body: dict[str, Any]) -> dict[str, Any]:
    told = {f: body[f] for f in ("temperature", "top_p") if body.get(f) is not None}
    if isinstance(told.get("temperature"), int | float) and told["temperature"] > 1:
        raise BadRequest(
            "`temperature` above 1 cannot be served: this model's endpoint speaks Anthropic's "
            "messages protocol, which ends there.",
            param="temperature",
        )
    stop = body.get("stop")
    if stop:
        told["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    return told


def _tool(at: str, tool: Any) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        raise cannot(at)
    told = {
        "name": function.get("name"),
        "input_schema": function.get("parameters") or {"type": "object"},
    }
    kept = ("description", "strict")
    return told | {field: function[field] for field in kept if function.get(field) is not None}


def _tool_choice(body: dict[str, Any]) -> dict[str, Any]:
    wanted = body.get("tool_choice")
    alone = body.get("parallel_tool_calls") is False
    if wanted is None and not alone:
        return {}
    choice: dict[str, Any]
    if isinstance(wanted, dict):
        function = wanted.get("function")
        if not isinstance(function, dict):
            raise cannot("tool_choice")
        choice = {"type": "tool", "name": function.get("name")}
    elif wanted is None or wanted in _CHOICES:
        choice = {"type": _CHOICES[wanted or "auto"]}
    else:
        raise cannot("tool_choice")
    if alone and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tool_choice": choice}


def _output_config(body: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if isinstance(wanted, dict) and kind == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema")
        config["format"] = {"type": "json_schema", "schema": schema}
    elif wanted is not None and kind != "text":
        raise cannot("response_format")
    if body.get("reasoning_effort") in _EFFORTS:
        config["effort"] = body["reasoning_effort"]
    return {"output_config": config} if config else {}
