"""How is a request for OpenAI's Responses said as a chat request?

What the upstream would have to keep, and tools that it would have to run itself, are refused; what
only steers the provider is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from guardrails.errors import BadRequest
from guardrails.types import Exchange
from guardrails.wire.chat_to_responses import ResponseEvents, response

_SAME = frozenset({
    "temperature", "top_p", "parallel_tool_calls", "user", "safety_identifier",
})  # fmt: skip
SAID = _SAME | {
    "model", "input", "instructions", "stream", "max_output_tokens", "tools", "tool_choice", "text",
    "reasoning",
}  # fmt: skip
LEFT_OUT = frozenset({
    "stream_options", "metadata", "service_tier", "max_tool_calls", "prompt_cache_key",
    "prompt_cache_options", "prompt_cache_retention", "include", "access_programs",
})  # fmt: skip
REFUSED: dict[str, Any] = {
    # Each with the value that asks for nothing.
    "previous_response_id": None, "conversation": None, "prompt": None, "store": False,
    "background": False, "background_options": None, "truncation": "disabled", "top_logprobs": 0,
    "context_management": None, "image": None, "moderation": None,
}  # fmt: skip
_TEXT_PARTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}


class ResponsesToChat:
    """OpenAI's Responses as chat completions."""

    PATH = "/chat/completions"

    def request(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        """The chat request. Errors: BadRequest for what chat completions cannot say."""
        for field, nothing in REFUSED.items():
            if body.get(field) is not None and body[field] != nothing:
                raise _cannot(field)
        if "message.output_text.logprobs" in (body.get("include") or ()):
            raise _cannot("include")
        told = {f: v for f, v in body.items() if f not in SAID | LEFT_OUT | REFUSED.keys()}
        told |= {field: body[field] for field in _SAME & body.keys() if body[field] is not None}
        told["messages"] = _messages(body)
        if body.get("max_output_tokens"):
            told["max_completion_tokens"] = body["max_output_tokens"]
        if body.get("tools"):
            told["tools"] = [_tool(f"tools[{n}]", tool) for n, tool in enumerate(body["tools"])]
            told |= _tool_choice(body.get("tool_choice"))
        effort = (body.get("reasoning") or {}).get("effort")
        if effort:
            told["reasoning_effort"] = effort
        return told | _format(body)

    def is_answer(self, answer: Any) -> bool:
        """Whether an upstream's body is a completion at all."""
        choices = answer.get("choices") if isinstance(answer, dict) else None
        return isinstance(choices, list) and bool(choices) and isinstance(choices[0], dict)

    def answer(self, answers: Sequence[dict[str, Any]], exchange: Exchange) -> dict[str, Any]:
        """The response that a completion stands for."""
        return response(answers[0], exchange)

    def events(self, exchange: Exchange) -> ResponseEvents:
        """What translates one stream."""
        return ResponseEvents(exchange)

    def error(self, body: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
        """Both speak in one envelope."""
        return body


RESPONSES_TO_CHAT = ResponsesToChat()


def _cannot(what: str) -> BadRequest:
    return BadRequest(
        f"`{what}` cannot be served: this model's endpoint has no Responses, and what they share "
        "with chat is all that it can be told.",
        param=what,
    )


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    if body.get("instructions"):
        told.append({"role": "system", "content": body["instructions"]})
    given = body.get("input")
    if isinstance(given, str):
        return [*told, {"role": "user", "content": given}]
    for number, item in enumerate(given or ()):
        at = f"input[{number}]"
        kind = item.get("type") or "message"
        if kind == "message":
            told.append({"role": item.get("role"), "content": _content(at, item.get("content"))})
        elif kind == "function_call":
            _add_call(told, item)
        elif kind == "function_call_output":
            content = _content(at, item.get("output"))
            told.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})
        elif kind != "reasoning":
            # Reasoning is the other model's own, and encrypted where it matters.
            raise _cannot(at)
    return told


def _add_call(told: list[dict[str, Any]], item: dict[str, Any]) -> None:
    """A call belongs to the assistant's turn before it."""
    function = {"name": item.get("name"), "arguments": item.get("arguments") or "{}"}
    call = {"id": item.get("call_id"), "type": "function", "function": function}
    if not told or told[-1]["role"] != "assistant":
        told.append({"role": "assistant", "content": None})
    told[-1].setdefault("tool_calls", []).append(call)


def _content(at: str, content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [_part(f"{at}.content[{number}]", part) for number, part in enumerate(content)]


def _part(at: str, part: dict[str, Any]) -> dict[str, Any]:
    kind = str(part.get("type"))
    if kind in _TEXT_PARTS:
        field = _TEXT_PARTS[kind]
        return {"type": field, field: part.get(field) or ""}
    if kind == "input_image" and part.get("image_url"):
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    if kind == "input_file" and part.get("file_data"):
        file = {"file_data": part["file_data"]}
        name = part.get("filename")
        return {"type": "file", "file": {**file, "filename": name} if name else file}
    raise _cannot(at)


def _tool(at: str, tool: Any) -> dict[str, Any]:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        raise _cannot(at)
    kept = ("name", "description", "parameters", "strict")
    function = {field: tool[field] for field in kept if tool.get(field) is not None}
    return {"type": "function", "function": function}


def _tool_choice(wanted: Any) -> dict[str, Any]:
    if wanted is None:
        return {}
    if isinstance(wanted, str):
        return {"tool_choice": wanted}
    if wanted.get("type") != "function":
        raise _cannot("tool_choice")
    return {"tool_choice": {"type": "function", "function": {"name": wanted.get("name")}}}


def _format(body: dict[str, Any]) -> dict[str, Any]:
    text = body.get("text")
    wanted = text.get("format") if isinstance(text, dict) else None
    if not isinstance(wanted, dict):
        return {}
    if wanted.get("type") != "json_schema":
        return {"response_format": {"type": wanted.get("type")}}
    schema = {field: value for field, value in wanted.items() if field != "type"}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}
