"""What must be changed in a request and in its answers, for several choices and for the stream?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import orjson

from guardrails.errors import BadRequest

MAX_CHOICES = 8
DONE = b"[DONE]"

# What `transformers serve` takes and heeds; most others it would refuse.
FIELDS = frozenset(
    {
        *(
            "messages",
            "prompt",
            "suffix",
            "model",
            "max_tokens",
            "max_completion_tokens",
            "temperature",
        ),
        *("top_p", "seed", "stop", "frequency_penalty", "logit_bias", "tools", "tool_choice"),
        *("response_format", "stream", "chat_template_kwargs"),
    }
)
DEFAULT_TOKENS = 160
NUMBERS = ("max_tokens", "max_completion_tokens", "temperature", "top_p", "frequency_penalty")


VERSION: ContextVar[str | None] = ContextVar("version", default=None)
"""The version that is asked for while a request is served; None: the model itself."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request for one choice, and what the caller asked for besides."""

    body: bytes
    version: str | None
    choices: int
    stream: bool
    usage_wanted: bool


def read_request(
    raw: bytes, model: str, required: str, is_version: Callable[[str], bool] = lambda _: False
) -> Request:
    """Check a body and keep what the inner server understands.

    `is_version` says of another name than the model's whether it is one of its versions.
    Errors: BadRequest that names the field.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest("The body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    wanted = body.get("model", model)
    if wanted != model and not (isinstance(wanted, str) and is_version(wanted)):
        raise BadRequest(
            f"There is no such model here; there is {model}.", code="model_not_found", status=404
        )
    _check_types(body, required)
    if isinstance(prompt := body.get("prompt"), list):
        if len(prompt) != 1 or not isinstance(prompt[0], str):
            raise BadRequest("The demo model takes one prompt at a time, as text.", param="prompt")
        body["prompt"] = prompt[0]
    if isinstance(bias := body.get("logit_bias"), dict):
        body["logit_bias"] = {token: float(weight) for token, weight in bias.items()}
    stream = bool(body.get("stream"))
    options = body.get("stream_options") or {}
    kept = {name: value for name, value in body.items() if name in FIELDS and value is not None}
    if not any(name in kept for name in ("max_tokens", "max_completion_tokens")):
        # A dozen tokens a second on two cores: who sets no limit should not wait for minutes.
        kept["max_tokens"] = DEFAULT_TOKENS
    return Request(
        orjson.dumps({**kept, "model": model}),
        None if wanted == model else wanted,
        body.get("n") or 1,
        stream,
        stream and isinstance(options, dict) and bool(options.get("include_usage")),
    )


def _check_types(body: dict[str, Any], required: str) -> None:
    """Refuse what would make the inner server fail with a bare 500."""
    if not body.get(required):
        raise BadRequest(f"`{required}` is missing or empty.", param=required)
    messages = body.get("messages", [])
    if not isinstance(messages, list) or not all(
        isinstance(message, dict) and isinstance(message.get("role"), str) for message in messages
    ):
        raise BadRequest("`messages` must be a list of objects with a `role`.", param="messages")
    for name in NUMBERS:
        if not isinstance(body.get(name) or 0, int | float):
            raise BadRequest(f"`{name}` must be a number.", param=name)
        if name.startswith("max_") and body.get(name) is not None and body[name] < 1:
            raise BadRequest(f"`{name}` must be 1 or more.", param=name)
    choices = body.get("n") or 1
    if not isinstance(choices, int) or not 1 <= choices <= MAX_CHOICES:
        raise BadRequest(f"`n` must be a whole number from 1 to {MAX_CHOICES}.", param="n")


def merge_answers(answers: Sequence[dict[str, Any]], model: str) -> dict[str, Any]:
    """One answer with all choices; the prompt's tokens count once, as OpenAI counts them."""
    choices = [
        {"logprobs": None, **choice, "index": index}
        for index, choice in enumerate(c for answer in answers for c in answer["choices"])
    ]
    for choice in choices:
        if "message" in choice:
            message = {"content": None, "refusal": None, **choice["message"]}
            if message.get("tool_calls"):
                message["content"] = message["content"] or None
            choice["message"] = message
    usage = _add_usage([answer["usage"] for answer in answers])
    return {**answers[0], "model": model, "choices": choices, "usage": usage}


async def merge_streams(
    streams: Iterable[AsyncGenerator[bytes, None]], model: str, *, usage: bool
) -> AsyncGenerator[bytes, None]:
    """The data of each event, choice after choice, then the usage where wanted, then `[DONE]`.

    Closing it closes the stream that is read at that moment.
    """
    first: dict[str, Any] = {}
    counted = []
    for index, stream in enumerate(streams):
        async with aclosing(stream), aclosing(_events(stream)) as events:
            async for data in events:
                chunk = orjson.loads(data)
                if "error" in chunk:
                    yield _fault(chunk["error"])
                    yield DONE
                    return
                first = first or {key: chunk[key] for key in ("id", "created", "object")}
                if (spent := chunk.pop("usage", None)) is not None:
                    counted.append(spent)
                for choice in chunk["choices"]:
                    choice["index"] = index
                    choice.setdefault("finish_reason", None)
                extra = {"usage": None} if usage else {}
                yield orjson.dumps({**chunk, **first, "model": model, **extra})
    if usage:
        yield orjson.dumps({**first, "model": model, "choices": [], "usage": _add_usage(counted)})
    yield DONE


def _fault(message: object) -> bytes:
    return orjson.dumps({"error": {"message": str(message), "type": "api_error", "code": None}})


def _add_usage(parts: Sequence[dict[str, int]]) -> dict[str, int]:
    prompt = parts[0]["prompt_tokens"] if parts else 0
    completion = sum(part["completion_tokens"] for part in parts)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


async def _events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The data of each event, however the stream was cut."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n\n")
        for event in whole:
            if event.startswith(b"data: "):
                yield event[6:]
