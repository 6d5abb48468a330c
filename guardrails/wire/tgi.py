"""Text Generation Inference: `/generate` and `/generate_stream`, said to `/v1/completions`.

A request names no model, so it means the first one that is served, unless it says `model`.
TGI's clients know three reasons to finish and refuse a fourth: a withheld text ends with
`stop_sequence`, and says the rest in `guardrail` and in the headers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import orjson

from guardrails.errors import BadRequest
from guardrails.types import Exchange, Segment, Stage, Usage
from guardrails.wire import chat, completions, fields, sse
from guardrails.wire.body import wrong_type
from guardrails.wire.chat_to_messages import CHAT_TO_MESSAGES
from guardrails.wire.completions_to_chat import COMPLETIONS_TO_CHAT
from guardrails.wire.deltas import Delta, Lane
from guardrails.wire.pointers import Pointer
from guardrails.wire.results import guardrail
from guardrails.wire.spoken import Through
from guardrails.wire.texts import Texts

PROTOCOL = "tgi"
PATH = "/generate"
PATHS = ("/generate", "/generate_stream")
SPEAKS = None
END = b""

_PARAMETERS = {
    "max_new_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "typical_p": "typical_p",
    "repetition_penalty": "repetition_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "stop": "stop",
    "best_of": "best_of",
}
_USUAL_TOKENS = 100
_REASONS = {"stop": "eos_token", "length": "length"}
_ERROR_TYPES = {400: "validation", 422: "validation", 429: "overloaded", 503: "overloaded"}

named = chat.named


def model_of(path: str, body: dict[str, Any], models: Sequence[str]) -> str:
    """The model that the body names, or the first that is served."""
    model = body.get("model")
    if isinstance(model, str) and model:
        return model
    if not models:
        raise BadRequest("There is no model here.", code="model_not_found", status=404)
    return models[0]


def asks_stream(path: str, body: dict[str, Any]) -> bool:
    """By the path, or by `stream`, which Hugging Face's client sends to either."""
    return path.endswith("/generate_stream") or body.get("stream") is True


def check_request(body: dict[str, Any], *, most_messages: int) -> None:
    """Refuse what later steps could not read."""
    if not isinstance(body.get("inputs"), str) or not body["inputs"]:
        raise wrong_type("inputs", "a non-empty string")
    if not isinstance(body.get("parameters"), dict | None):
        raise wrong_type("parameters", "an object")


def inputs(body: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """The prompt, and the grammar that the answer must follow."""
    texts = Texts()
    texts.add(Stage.INPUT, "user", 0, ("inputs",), body["inputs"])
    where: Pointer = ("parameters", "grammar")
    grammar = (body.get("parameters") or {}).get("grammar")
    texts.add_json(Stage.INPUT, "tool_definition", 0, where, grammar)
    return texts.done()


def question(body: dict[str, Any]) -> str | None:
    """A prompt that is generated from is not grounded."""
    return None


def without_blocked_turns(body: dict[str, Any], notices: Collection[str]) -> dict[str, Any]:
    """There are no turns."""
    return body


def outputs(answer: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """The generated text, and what only its stream said."""
    texts = Texts()
    whole: Pointer = ("generated_text",)
    texts.add(Stage.OUTPUT, "assistant", 0, whole, answer.get("generated_text"))
    streamed: Pointer = ("streamed",)
    fields.read(texts, Stage.OUTPUT, "assistant", 0, streamed, answer.get("streamed"))
    return texts.done()


def is_answer(answer: Any) -> bool:
    """Whether a body is a generated text."""
    return isinstance(answer, dict) and isinstance(answer.get("generated_text"), str)


def usage(answer: dict[str, Any]) -> Usage:
    """Tokens as the upstream counted them."""
    counted = answer.get("usage") or {}
    return Usage(counted.get("prompt_tokens"), counted.get("completion_tokens"))


def finished(exchange: Exchange, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, with what the policy did where it did anything."""
    if all(reason.shadow for reason in exchange.verdict.reasons):
        return answer
    return {**answer, "guardrail": guardrail(exchange)}


def blocked(exchange: Exchange, message: str) -> dict[str, Any]:
    """The notice in the place of the text."""
    given = exchange.completion or {}
    return {
        "generated_text": message,
        **({"details": _details("stop_sequence", 0)} if _wants_details(exchange) else {}),
        "usage": given.get("usage") or {"prompt_tokens": 0, "completion_tokens": 0},
        "guardrail": guardrail(exchange),
    }


def _wants_details(exchange: Exchange) -> bool:
    parameters = exchange.request.get("parameters") or {}
    return exchange.stream or bool(parameters.get("details"))


def _details(reason: str, tokens: int) -> dict[str, Any]:
    return {
        "finish_reason": reason,
        "generated_tokens": tokens,
        "input_length": 0,
        "seed": None,
        "prefill": [],
        "tokens": [],
    }


def failed(exchange: Exchange) -> dict[str, Any]:
    """The error that a failed exchange gets, in TGI's envelope."""
    failure = exchange.failure
    assert failure is not None  # noqa: S101 - only failed exchanges come here
    return _error(failure.status, failure.message)


def blocked_error(exchange: Exchange, message: str) -> dict[str, Any]:
    """A withheld exchange as an error (400), for routes that say `blocked_as: error`."""
    return {**_error(400, message), "guardrail": guardrail(exchange)}


def _error(status: int, message: str) -> dict[str, Any]:
    return {"error": message, "error_type": _ERROR_TYPES.get(status, "generation")}


def frame(event: dict[str, Any]) -> bytes:
    """An event as bytes on the wire."""
    return sse.event(orjson.dumps(event))


class Fold:
    """Puts a stream's tokens together to the text that would have come unstreamed."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._last: dict[str, Any] = {}
        self.ended = False

    def add(self, event: dict[str, Any]) -> None:
        """Take in one event; the last one holds the whole text once more."""
        self._pieces.append((event.get("token") or {}).get("text") or "")
        if event.get("generated_text") is not None:
            kept = ("generated_text", "details", "usage", "guardrail")
            self._last = {field: event[field] for field in kept if field in event}
            self.ended = True

    def result(self) -> dict[str, Any]:
        """The whole text so far; what the last event does not own up to stands beside it."""
        streamed = "".join(self._pieces)
        answer = {"generated_text": streamed, **self._last}
        return (
            answer if answer["generated_text"] == streamed else {**answer, "streamed": [streamed]}
        )

    def place(self, pointer: Pointer) -> Pointer:
        """Where the text of a lane stands in the answer."""
        if pointer != ("generated_text",):
            return ("generated_text",)
        said = self._last.get("generated_text")
        return pointer if said in (None, "".join(self._pieces)) else ("streamed", 0)


def unfold(answer: dict[str, Any], *, include_usage: bool) -> Iterator[dict[str, Any]]:
    """The text as one token, then the event that ends it."""
    yield token_event(1, answer["generated_text"])
    yield {**token_event(2, "", special=True), **answer}


def token_event(index: int, text: str, *, special: bool = False) -> dict[str, Any]:
    """One event. Token ids and log probabilities are not known: another tokenizer made them."""
    token = {"id": 0, "text": text, "logprob": 0.0, "special": special}
    return {"index": index, "token": token, "generated_text": None, "details": None}


def deltas(event: dict[str, Any]) -> list[Delta]:
    """The token's text, and the whole text at the end: another lane, for it may say otherwise."""
    found = []
    lane = Lane(Stage.OUTPUT, "assistant", 0, ("generated_text",))
    text = (event.get("token") or {}).get("text")
    if text:
        found.append(Delta(lane, ("token", "text"), text))
    if event.get("generated_text"):
        again = Lane(Stage.OUTPUT, "assistant", 0, ("generated_text", "whole"))
        found.append(Delta(again, ("generated_text",), event["generated_text"]))
    return found


class Sent:
    """What a stream has let out so far: its last event says all of it once more."""

    def __init__(self) -> None:
        self.pieces: list[str] = []

    def add(self, event: dict[str, Any]) -> None:
        """Note an event that left for the caller."""
        self.pieces.append((event.get("token") or {}).get("text") or "")


def stopped(
    exchange: Exchange, message: str, released: bool, sent: Sent | None = None
) -> Iterator[dict[str, Any]]:
    """What ends a stream that the policy stopped: the notice if nothing was said, then the end."""
    answer = blocked(exchange, message)
    if not released:
        yield from unfold(answer, include_usage=True)
        return
    pieces = sent.pieces if sent is not None else []
    last = token_event(len(pieces) + 1, "", special=True)
    yield {**last, **answer, "generated_text": "".join(pieces)}


class GenerateToCompletions:
    """TGI's generation as OpenAI text completions, for the prompt is already formatted."""

    PATH = completions.PATH

    def request(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        """The completion request. Errors: BadRequest for a grammar that is no JSON schema."""
        parameters = body.get("parameters") or {}
        told: dict[str, Any] = {"prompt": body["inputs"], "max_tokens": _USUAL_TOKENS}
        for name, value in parameters.items():
            if name in _PARAMETERS and value is not None:
                told[_PARAMETERS[name]] = value
        if parameters.get("do_sample") is False:
            told.setdefault("temperature", 0.0)
        grammar = parameters.get("grammar")
        if isinstance(grammar, dict):
            if grammar.get("type") not in ("json", "json_schema"):
                raise BadRequest("Only a JSON grammar can be served.", param="parameters.grammar")
            schema = {"name": "answer", "schema": grammar.get("value")}
            told["response_format"] = {"type": "json_schema", "json_schema": schema}
        return told

    def is_answer(self, answer: Any) -> bool:
        """Whether an upstream's body is a completion at all."""
        return completions.is_answer(answer) and bool(answer["choices"])

    def answer(self, answers: Sequence[dict[str, Any]], exchange: Exchange) -> dict[str, Any]:
        """The generated text that a completion stands for."""
        choice = answers[0]["choices"][0]
        text = choice.get("text") or ""
        prompt = exchange.prompt or exchange.request
        if (prompt.get("parameters") or {}).get("return_full_text"):
            text = prompt["inputs"] + text
        counted = answers[0].get("usage") or {}
        answer: dict[str, Any] = {"generated_text": text, "usage": counted}
        if _wants_details(exchange):
            answer["details"] = _ended(choice, counted)
        return answer

    def events(self, exchange: Exchange) -> CompletionEvents:
        """What translates one stream."""
        return CompletionEvents()

    def error(self, body: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
        """OpenAI's error in TGI's envelope."""
        status = exchange.failure.status if exchange.failure else 500
        return _error(status, str(body["error"].get("message") or "The upstream refused it."))


_TO_COMPLETIONS = GenerateToCompletions()
_TO_CHAT = Through(_TO_COMPLETIONS, COMPLETIONS_TO_CHAT)
TRANSLATIONS = {"openai": _TO_COMPLETIONS, "anthropic": Through(_TO_CHAT, CHAT_TO_MESSAGES)}


def _ended(choice: dict[str, Any], counted: dict[str, Any]) -> dict[str, Any]:
    reason = _REASONS.get(str(choice.get("finish_reason")), "stop_sequence")
    if reason == "eos_token" and isinstance(choice.get("stop_reason"), str):
        reason = "stop_sequence"
    details = _details(reason, counted.get("completion_tokens") or 0)
    return {**details, "input_length": counted.get("prompt_tokens") or 0}


class CompletionEvents:
    """A completion stream as TGI's: a chunk is a token, and the last event says all of it."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._choice: dict[str, Any] = {}
        self._counted: dict[str, Any] = {}

    def add(self, event: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The event that one chunk makes."""
        self._counted = event.get("usage") or self._counted
        for choice in event.get("choices") or ():
            if choice.get("text"):
                self._pieces.append(choice["text"])
                yield token_event(len(self._pieces), choice["text"])
            if choice.get("finish_reason"):
                self._choice = choice

    def end(self) -> Iterator[dict[str, Any]]:
        """The end of the text; nothing if the stream broke off before any finish reason."""
        if self._choice:
            counted = {"completion_tokens": len(self._pieces), **self._counted}
            yield {
                **token_event(len(self._pieces) + 1, "", special=True),
                "generated_text": "".join(self._pieces),
                "details": _ended(self._choice, counted),
                "usage": counted,
            }
