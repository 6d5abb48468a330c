"""Real HTTP upstreams for tests: they speak Anthropic's messages, OpenAI's Responses, or as TGI.

    async with fakes.upstream(fakes_protocols.messages("Fine.")) as server:
        ...

Each step answers streamed or not, as it was asked. Blocks and items are given as the whole answer
has them; the step cuts them into the protocol's own events.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests import fakes
from tests.fakes import Request, Step

Block = Mapping[str, Any]


def messages(
    text: str | None = None,
    *,
    content: Sequence[Block] | None = None,
    stop_reason: str = "end_turn",
    chunk_characters: int = 8,
    delay_seconds: float = 0.0,
    cut_bytes: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Step:
    """Anthropic's `/messages` and `/messages/count_tokens`; without a text it echoes the user."""

    async def step(request: Request, writer: asyncio.StreamWriter) -> None:
        asked = request.json
        if request.path.split("?")[0].endswith("/count_tokens"):
            await fakes._json(writer, {"input_tokens": len(request.body.split())})
            return
        said = text if text is not None else f"Echo: {_last_user_text(asked)}"
        blocks = content if content is not None else [{"type": "text", "text": said}]
        answer = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-of-the-endpoint",
            "content": blocks,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {"input_tokens": 7, "output_tokens": 5},
            **(extra or {}),
        }
        if asked.get("stream"):
            events = [_named(event) for event in _message_events(answer, chunk_characters)]
            await fakes._sse(writer, events, delay_seconds, cut_bytes)
        else:
            await asyncio.sleep(delay_seconds)
            await fakes._json(writer, answer, cut_bytes=cut_bytes)

    return step


def anthropic_error(code: int, kind: str, message: str) -> Step:
    """An error in Anthropic's envelope."""
    error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_up"}
    return fakes.status(code, error)


def responses(
    text: str | None = None,
    *,
    output: Sequence[Mapping[str, Any]] | None = None,
    status: str = "completed",
    chunk_characters: int = 8,
    delay_seconds: float = 0.0,
    cut_bytes: int | None = None,
    extra: Mapping[str, Any] | None = None,
    snapshot: Sequence[Mapping[str, Any]] | None = None,
) -> Step:
    """OpenAI's `/responses`; `snapshot` is what a stream's last event claims was the output."""

    async def step(request: Request, writer: asyncio.StreamWriter) -> None:
        asked = request.json
        said = text if text is not None else f"Echo: {_last_input_text(asked)}"
        items = output if output is not None else [message_item(said)]
        answer = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1_700_000_000,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": asked.get("instructions"),
            "model": "endpoint-model",
            "output": items,
            "parallel_tool_calls": True,
            "previous_response_id": asked.get("previous_response_id"),
            "store": asked.get("store", True),
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": asked.get("tools", []),
            "top_p": 1.0,
            "usage": {
                "input_tokens": 7,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 12,
            },
            **(extra or {}),
        }
        if asked.get("stream"):
            events = _response_events(answer, chunk_characters, snapshot)
            numbered = [_named({**e, "sequence_number": i}) for i, e in enumerate(events)]
            await fakes._sse(writer, numbered, delay_seconds, cut_bytes)
        else:
            await asyncio.sleep(delay_seconds)
            await fakes._json(writer, answer, cut_bytes=cut_bytes)

    return step


def message_item(text: str, *, kind: str = "output_text") -> dict[str, Any]:
    """An output message with one part."""
    part = {"type": kind, "text": text, "annotations": [], "logprobs": []}
    if kind == "refusal":
        part = {"type": "refusal", "refusal": text}
    return {
        "type": "message",
        "id": "m_1",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }


def tgi(text: str = "a text", *, chunk_characters: int = 8, delay_seconds: float = 0.0) -> Step:
    """TGI as an upstream: its OpenAI-compatible routes, with the oddities that it has there.

    It names the events' object as the whole answer's, counts usage in the last event unasked, and
    ends an answer with the token's own name.
    """

    async def step(request: Request, writer: asyncio.StreamWriter) -> None:
        asked = request.json
        chat = request.path.endswith("/chat/completions")
        head = {
            "id": "",
            "object": "chat.completion" if chat else "text_completion",
            "created": 1_700_000_000,
            "model": "tgi",
            "system_fingerprint": "3.3.4-native",
        }
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        reason = "length" if asked.get("max_tokens") == 1 else "stop"
        if not asked.get("stream"):
            body: dict[str, Any] = {"index": 0, "finish_reason": reason, "logprobs": None}
            body |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            await fakes._json(writer, {**head, "choices": [body], "usage": usage})
            return
        events = []
        pieces = fakes._pieces(text, chunk_characters)
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            said = {"delta": {"role": "assistant", "content": piece}} if chat else {"text": piece}
            choice = {"index": 0, **said, "finish_reason": reason if last else None}
            events.append(
                fakes._data({**head, "choices": [choice], **({"usage": usage} if last else {})})
            )
        await fakes._sse(writer, [*events, b"data: [DONE]\n\n"], delay_seconds, None)

    return step


def _named(event: Mapping[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _last_user_text(asked: Mapping[str, Any]) -> str:
    for message in reversed(asked["messages"]):
        if message["role"] == "user":
            content = message["content"]
            if isinstance(content, str):
                return content
            return " ".join(block["text"] for block in content if block["type"] == "text")
    return ""


def _last_input_text(asked: Mapping[str, Any]) -> str:
    given = asked["input"]
    if isinstance(given, str):
        return given
    for item in reversed(given):
        if item.get("role") == "user":
            content = item["content"]
            if isinstance(content, str):
                return content
            return " ".join(part["text"] for part in content if part["type"] == "input_text")
    return ""


def _message_events(answer: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
    opening = {**answer, "content": [], "stop_reason": None}
    yield {"type": "message_start", "message": opening}
    yield {"type": "ping"}
    for index, block in enumerate(answer["content"]):
        begun, steps = dict(block), []
        if block["type"] == "text":
            begun = {"type": "text", "text": ""}
            steps = [{"type": "text_delta", "text": t} for t in fakes._pieces(block["text"], size)]
            for citation in block.get("citations") or ():
                steps.append({"type": "citations_delta", "citation": citation})
        elif block["type"] == "thinking":
            begun = {**block, "thinking": "", "signature": ""}
            pieces = fakes._pieces(block["thinking"], size)
            steps = [{"type": "thinking_delta", "thinking": t} for t in pieces]
            steps.append({"type": "signature_delta", "signature": block.get("signature", "")})
        elif "input" in block:
            begun = {**block, "input": {}}
            pieces = fakes._pieces(json.dumps(block["input"]), size)
            steps = [{"type": "input_json_delta", "partial_json": t} for t in pieces]
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        for delta in steps:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}}
    yield {"type": "message_stop"}


def _response_events(
    answer: Mapping[str, Any], size: int, snapshot: Sequence[Mapping[str, Any]] | None
) -> Iterator[dict[str, Any]]:
    begun = {**answer, "output": [], "status": "in_progress", "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for number, item in enumerate(answer["output"]):
        at = {"output_index": number, "item_id": item.get("id", f"i_{number}")}
        opened = {**item, "status": "in_progress"}
        if item["type"] == "message":
            opened["content"] = []
        elif item["type"] == "reasoning":
            opened["summary"] = []
        elif item["type"] == "function_call":
            opened["arguments"] = ""
        yield {"type": "response.output_item.added", "output_index": number, "item": opened}
        yield from _item_events(item, at, size)
        yield {"type": "response.output_item.done", "output_index": number, "item": item}
    final = {**answer, "output": answer["output"] if snapshot is None else snapshot}
    yield {"type": f"response.{answer['status']}", "response": final}


def _item_events(
    item: Mapping[str, Any], at: Mapping[str, Any], size: int
) -> Iterator[dict[str, Any]]:
    if item["type"] == "message":
        for index, part in enumerate(item["content"]):
            field = "refusal" if part["type"] == "refusal" else "text"
            name = "response.refusal" if field == "refusal" else "response.output_text"
            here = {**at, "content_index": index}
            yield {"type": "response.content_part.added", **here, "part": {**part, field: ""}}
            for piece in fakes._pieces(part[field], size):
                yield {"type": f"{name}.delta", **here, "delta": piece, "logprobs": []}
            yield {"type": f"{name}.done", **here, field: part[field], "logprobs": []}
            yield {"type": "response.content_part.done", **here, "part": part}
    elif item["type"] == "reasoning":
        for index, part in enumerate(item["summary"]):
            here = {**at, "summary_index": index}
            name = "response.reasoning_summary"
            yield {"type": f"{name}_part.added", **here, "part": {**part, "text": ""}}
            for piece in fakes._pieces(part["text"], size):
                yield {"type": f"{name}_text.delta", **here, "delta": piece}
            yield {"type": f"{name}_text.done", **here, "text": part["text"]}
            yield {"type": f"{name}_part.done", **here, "part": part}
    elif item["type"] == "function_call":
        name = "response.function_call_arguments"
        for piece in fakes._pieces(item["arguments"], size):
            yield {"type": f"{name}.delta", **at, "delta": piece}
        done = {"arguments": item["arguments"], "name": item["name"]}
        yield {"type": f"{name}.done", **at, **done}
