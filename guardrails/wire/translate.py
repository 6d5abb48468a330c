"""How is an Anthropic message said to an OpenAI-speaking upstream, and its answer said back?

What the other protocol cannot say is refused where the answer would be another one for it (server
tools, containers), and left out where it only steers (thinking budgets, cache marks).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from guardrails.errors import BadRequest, UpstreamError
from guardrails.types import Exchange
from guardrails.wire import chat

_SAME = frozenset({"max_tokens", "temperature", "top_p", "top_k"})
_REFUSED = ("mcp_servers", "container")
_KNOWN = _SAME | {
    "model", "messages", "system", "stop_sequences", "stream", "metadata", "tools", "tool_choice",
    "output_config", "output_format", "thinking", "service_tier", "context_management",
    "cache_control", "inference_geo", "betas", "diagnostics", *_REFUSED,
}  # fmt: skip
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_envelope(request_id: str, status: int, message: str) -> dict[str, Any]:
    """Anthropic's error envelope with the type that belongs to the status."""
    usual = "invalid_request_error" if status < 500 else "api_error"
    error = {"type": _ERROR_TYPES.get(status, usual), "message": message}
    return {"type": "error", "error": error, "request_id": request_id}


class MessagesToChat:
    """Anthropic messages as OpenAI chat completions."""

    PATH = chat.PATH

    def request(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        """The chat request. Errors: BadRequest for what chat completions cannot say."""
        for field in _REFUSED:
            if body.get(field):
                raise _cannot(field)
        told = {field: value for field, value in body.items() if field not in _KNOWN}
        told |= {field: body[field] for field in _SAME & body.keys()}
        told["messages"] = _messages(body)
        if body.get("stop_sequences"):
            told["stop"] = body["stop_sequences"]
        user = (body.get("metadata") or {}).get("user_id")
        if user:
            told["user"] = user
        if body.get("tools"):
            told["tools"] = [_tool(place, tool) for place, tool in enumerate(body["tools"])]
        told |= _tool_choice(body.get("tool_choice") or {})
        wanted = (body.get("output_config") or {}).get("format") or body.get("output_format")
        if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
            schema = {"name": "answer", "schema": wanted.get("schema"), "strict": True}
            told["response_format"] = {"type": "json_schema", "json_schema": schema}
        return told

    def is_answer(self, answer: Any) -> bool:
        """Whether an upstream's body is a completion at all."""
        return chat.is_answer(answer) and bool(answer["choices"])

    def answer(self, answers: Sequence[dict[str, Any]], exchange: Exchange) -> dict[str, Any]:
        """The message that a completion stands for."""
        completion = answers[0]
        choice = completion["choices"][0]
        message = choice.get("message") or {}
        content: list[dict[str, Any]] = []
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        if isinstance(reasoning, str) and reasoning:
            content.append({"type": "thinking", "thinking": reasoning, "signature": ""})
        for said in (message.get("content"), message.get("refusal")):
            if isinstance(said, str) and said:
                content.append({"type": "text", "text": said})
        content += [_tool_use(call) for call in message.get("tool_calls") or ()]
        return {
            "id": f"msg_{completion.get('id') or exchange.id}",
            "type": "message",
            "role": "assistant",
            "model": exchange.model,
            "content": content,
            **_end(
                choice,
                called=bool(message.get("tool_calls")),
                refused=bool(message.get("refusal")),
            ),
            "usage": _usage(completion.get("usage")),
        }

    def events(self, exchange: Exchange) -> ChatEvents:
        """What translates one stream."""
        return ChatEvents(exchange)

    def error(self, body: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
        """OpenAI's error in Anthropic's envelope."""
        status = exchange.failure.status if exchange.failure else 500
        message = body["error"].get("message") or "The upstream refused the request."
        return error_envelope(exchange.id, status, str(message))


MESSAGES_TO_CHAT = MessagesToChat()


def _cannot(what: str) -> BadRequest:
    return BadRequest(
        f"`{what}` cannot be served: this model's endpoint speaks OpenAI's chat protocol.",
        param=what,
    )


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    if body.get("system"):
        told.append({"role": "system", "content": _joined(body["system"])})
    for number, message in enumerate(body["messages"]):
        at = f"messages[{number}].content"
        content = message.get("content")
        if message["role"] == "assistant":
            told.append(_assistant(at, content))
        elif message["role"] == "system":
            told.append({"role": "system", "content": _joined(content)})
        elif isinstance(content, str):
            told.append({"role": message["role"], "content": content})
        else:
            told += _user(at, message["role"], content or ())
    return told


def _joined(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n\n".join(str(block.get("text") or "") for block in content)


def _user(at: str, role: str, content: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A turn's tool results as tool messages, then the rest of it."""
    parts: list[dict[str, Any]] = []
    for number, block in enumerate(content):
        if block.get("type") == "tool_result":
            result, pictures = _tool_result(f"{at}[{number}]", block)
            parts += pictures
            yield result
        else:
            parts += _parts(f"{at}[{number}]", block)
    if len(parts) == 1 and parts[0]["type"] == "text":
        yield {"role": role, "content": parts[0]["text"]}
    elif parts:
        yield {"role": role, "content": parts}


def _tool_result(at: str, block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A tool message holds text only; pictures go into the user's turn behind it."""
    content = block.get("content") or ""
    parts: list[dict[str, Any]] = []
    if isinstance(content, str):
        parts.append({"type": "text", "text": content})
    else:
        for number, inner in enumerate(content):
            parts += _parts(f"{at}.content[{number}]", inner)
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    if block.get("is_error"):
        text = f"Error: {text}"
    message = {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": text}
    return message, [part for part in parts if part["type"] != "text"]


def _parts(at: str, block: dict[str, Any]) -> list[dict[str, Any]]:
    kind, source = block.get("type"), block.get("source")
    if kind == "text":
        return [{"type": "text", "text": block.get("text") or ""}]
    if kind == "image" and isinstance(source, dict) and source.get("type") in ("base64", "url"):
        return [{"type": "image_url", "image_url": {"url": _url(source)}}]
    if kind == "document" and isinstance(source, dict):
        said = [str(block[field]) for field in ("title", "context") if block.get(field)]
        if source.get("type") == "text":
            said.append(str(source.get("data") or ""))
        elif source.get("type") == "content":
            inner = source.get("content") or ""
            inner = [{"type": "text", "text": inner}] if isinstance(inner, str) else inner
            parts = [part for one in inner for part in _parts(at, one)]
            return [*({"type": "text", "text": text} for text in said), *parts]
        elif source.get("type") == "base64":
            name = str(block.get("title") or "document.pdf")
            return [{"type": "file", "file": {"filename": name, "file_data": _url(source)}}]
        else:
            raise _cannot(at)
        return [{"type": "text", "text": "\n\n".join(said)}]
    if kind == "search_result":
        said = [str(block.get("title") or ""), str(block.get("source") or "")]
        said += [str(one.get("text") or "") for one in block.get("content") or ()]
        return [{"type": "text", "text": "\n".join(text for text in said if text)}]
    raise _cannot(at)


def _url(source: dict[str, Any]) -> str:
    if source.get("type") == "url":
        return str(source.get("url"))
    return f"data:{source.get('media_type')};base64,{source.get('data')}"


def _assistant(at: str, content: Any) -> dict[str, Any]:
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    said: list[str] = []
    calls: list[dict[str, Any]] = []
    for number, block in enumerate(content or ()):
        kind = block.get("type")
        if kind == "text":
            said.append(block.get("text") or "")
        elif kind == "tool_use":
            arguments = orjson.dumps(block.get("input") or {}).decode()
            function = {"name": block.get("name"), "arguments": arguments}
            calls.append({"id": block.get("id"), "type": "function", "function": function})
        elif kind not in ("thinking", "redacted_thinking"):
            raise _cannot(f"{at}[{number}]")
    message: dict[str, Any] = {"role": "assistant", "content": "".join(said) or None}
    return {**message, "tool_calls": calls} if calls else message


def _tool(place: int, tool: Any) -> dict[str, Any]:
    if not isinstance(tool, dict) or tool.get("type") not in (None, "custom"):
        raise _cannot(f"tools[{place}]")
    function = {"name": tool.get("name"), "parameters": tool.get("input_schema") or {}}
    for field in ("description", "strict"):
        if tool.get(field) is not None:
            function[field] = tool[field]
    return {"type": "function", "function": function}


def _tool_choice(choice: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    kind = choice.get("type")
    if kind == "tool":
        told["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif kind in ("auto", "none"):
        told["tool_choice"] = kind
    elif kind == "any":
        told["tool_choice"] = "required"
    if choice.get("disable_parallel_tool_use"):
        told["parallel_tool_calls"] = False
    return told


def _tool_use(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    written = function.get("arguments") or "{}"
    try:
        given = orjson.loads(written)
    except orjson.JSONDecodeError:
        given = None
    # A tool's input is an object; what a model wrote instead is kept, under a name.
    given = given if isinstance(given, dict) else {"arguments": written}
    return {
        "type": "tool_use",
        "id": call.get("id"),
        "name": function.get("name"),
        "input": given,
    }


def _end(choice: dict[str, Any], *, called: bool, refused: bool) -> dict[str, Any]:
    reason = _STOP_REASONS.get(str(choice.get("finish_reason")), "end_turn")
    sequence = choice.get("stop_reason")
    if reason == "end_turn" and isinstance(sequence, str):
        # vLLM says which stop sequence it met.
        return {"stop_reason": "stop_sequence", "stop_sequence": sequence}
    if reason == "end_turn" and (called or refused):
        reason = "refusal" if refused else "tool_use"
    return {"stop_reason": reason, "stop_sequence": None}


def _usage(counted: Any) -> dict[str, Any]:
    counted = counted if isinstance(counted, dict) else {}
    cached = (counted.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return {
        "input_tokens": max((counted.get("prompt_tokens") or 0) - cached, 0),
        "cache_read_input_tokens": cached,
        "output_tokens": counted.get("completion_tokens") or 0,
    }


class ChatEvents:
    """A chat stream as a message's: one block at a time, opened and closed."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._begun = False
        self._index = -1
        self._open: tuple[str, int] | None = None
        self._calls: set[int] = set()
        self._choice: dict[str, Any] = {}
        self._refused = False
        self._usage: Any = None

    def add(self, event: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events that one chunk makes. Errors: UpstreamError for tool calls that mingle."""
        if not self._begun:
            self._begun = True
            yield {"type": "message_start", "message": self._opening(event)}
        if event.get("usage"):
            self._usage = event["usage"]
        for choice in event.get("choices") or ():
            if choice.get("index", 0) == 0:
                yield from self._said(choice.get("delta") or {})
                if choice.get("finish_reason"):
                    self._choice = choice

    def end(self) -> Iterator[dict[str, Any]]:
        """The end of the message; nothing if the stream broke off before any finish reason."""
        if not self._choice:
            return
        yield from self._close()
        delta = _end(self._choice, called=bool(self._calls), refused=self._refused)
        yield {"type": "message_delta", "delta": delta, "usage": _usage(self._usage)}
        yield {"type": "message_stop"}

    def _opening(self, event: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": f"msg_{event.get('id') or self._exchange.id}",
            "type": "message",
            "role": "assistant",
            "model": self._exchange.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }

    def _said(self, delta: dict[str, Any]) -> Iterator[dict[str, Any]]:
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(reasoning, str) and reasoning:
            opened = {"type": "thinking", "thinking": "", "signature": ""}
            yield from self._to("thinking", 0, opened)
            yield self._step({"type": "thinking_delta", "thinking": reasoning})
        for field in ("content", "refusal"):
            said = delta.get(field)
            if isinstance(said, str) and said:
                self._refused = self._refused or field == "refusal"
                yield from self._to(field, 0, {"type": "text", "text": ""})
                yield self._step({"type": "text_delta", "text": said})
        for place, call in enumerate(delta.get("tool_calls") or ()):
            yield from self._called(call.get("index", place), call)

    def _called(self, number: int, call: dict[str, Any]) -> Iterator[dict[str, Any]]:
        function = call.get("function") or {}
        if self._open != ("tool_use", number):
            if number in self._calls:
                raise UpstreamError("The upstream's tool calls mingle; they cannot be passed on.")
            self._calls.add(number)
            name = function.get("name")
            begun: dict[str, Any] = {
                "type": "tool_use",
                "id": call.get("id"),
                "name": name,
                "input": {},
            }
            yield from self._to("tool_use", number, begun)
        if function.get("arguments"):
            delta = {"type": "input_json_delta", "partial_json": function["arguments"]}
            yield self._step(delta)

    def _to(self, kind: str, number: int, begun: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Make sure that this block is the open one."""
        if self._open == (kind, number):
            return
        yield from self._close()
        self._open = (kind, number)
        self._index += 1
        yield {"type": "content_block_start", "index": self._index, "content_block": begun}

    def _step(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _close(self) -> Iterator[dict[str, Any]]:
        if self._open is not None:
            self._open = None
            yield {"type": "content_block_stop", "index": self._index}
