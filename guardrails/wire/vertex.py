"""Vertex AI's online prediction: `…/endpoints/{endpoint}:predict`, said to a chat upstream.

An instance is a prompt, or a conversation as PaLM's chat models took it; each is one request of its
own to the upstream. The endpoint's or the model's name in the path is the model that is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from guardrails.errors import BadRequest
from guardrails.types import Detection, Exchange, Segment, Stage, Usage
from guardrails.wire import chat, fields
from guardrails.wire.body import wrong_type
from guardrails.wire.chat_to_messages import CHAT_TO_MESSAGES
from guardrails.wire.pointers import Pointer
from guardrails.wire.results import choices_at_fault, guardrail
from guardrails.wire.spoken import Events, Through
from guardrails.wire.texts import Texts

PROTOCOL = "vertex"
PATH = ":predict"
PATHS = tuple(
    f"/{version}/projects/{{project}}/locations/{{location}}/{target}:predict"
    for version in ("v1", "v1beta1")
    for target in ("endpoints/{endpoint}", "publishers/{publisher}/models/{model}")
)
SPEAKS = None

_ASSISTANTS = frozenset({"assistant", "bot", "model", "1"})
_PARAMETERS = {
    "temperature": "temperature",
    "maxOutputTokens": "max_tokens",
    "topP": "top_p",
    "topK": "top_k",
    "stopSequences": "stop",
    "candidateCount": "n",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "seed": "seed",
}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

named = chat.named


def model_of(path: str, body: dict[str, Any], models: Sequence[str]) -> str:
    """The endpoint's or the model's name in the path."""
    return path.rsplit("/", 1)[1].partition(":")[0]


def asks_stream(path: str, body: dict[str, Any]) -> bool:
    """A prediction comes in one piece."""
    return False


def check_request(body: dict[str, Any], *, most_messages: int) -> None:
    """Refuse what later steps could not read."""
    instances = body.get("instances")
    if not isinstance(instances, list) or not instances:
        raise wrong_type("instances", "a non-empty array")
    if len(instances) > most_messages:
        raise BadRequest(f"More than {most_messages} instances.", param="instances", status=413)
    for number, instance in enumerate(instances):
        at = f"instances[{number}]"
        if not isinstance(instance, dict):
            raise wrong_type(at, "an object")
        messages = instance.get("messages")
        if messages is None and not isinstance(instance.get("prompt"), str):
            raise wrong_type(f"{at}.prompt", "a string, unless there are messages")
        if messages is not None and not _are_objects(messages):
            raise wrong_type(f"{at}.messages", "a non-empty array of objects")
        if not isinstance(instance.get("context"), str | None):
            raise wrong_type(f"{at}.context", "a string")
        if instance.get("examples") and not _are_objects(instance["examples"]):
            raise wrong_type(f"{at}.examples", "an array of objects")
    if not isinstance(body.get("parameters"), dict | None):
        raise wrong_type("parameters", "an object")


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def parts(body: dict[str, Any]) -> int:
    """Each instance is asked by itself."""
    return len(body["instances"])


def inputs(body: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Every text of every instance; `Segment.index` is the instance's number."""
    texts = Texts()
    for number, instance in enumerate(body["instances"]):
        at: Pointer = ("instances", number)
        texts.add(Stage.INPUT, "system", number, (*at, "context"), instance.get("context"))
        for place, message in enumerate(instance.get("messages") or ()):
            where: Pointer = (*at, "messages", place)
            said = {f: v for f, v in message.items() if f != "author"}
            fields.read(texts, Stage.INPUT, _role(message), number, where, said)
        for place, example in enumerate(instance.get("examples") or ()):
            for side, told in example.items():
                spot: Pointer = (*at, "examples", place, side)
                fields.read(texts, Stage.INPUT, "user", number, spot, told)
        rest = {f: v for f, v in instance.items() if f not in ("context", "messages", "examples")}
        fields.read(texts, Stage.INPUT, "user", number, at, rest)
    return texts.done()


def _role(message: dict[str, Any]) -> str:
    named = str(message.get("author") or message.get("role") or "user")
    if named in _ASSISTANTS:
        return "assistant"
    return named if named == "system" else "user"


def question(body: dict[str, Any]) -> str | None:
    """Predictions are not grounded."""
    return None


def without_blocked_turns(body: dict[str, Any], notices: Collection[str]) -> dict[str, Any]:
    """The body with earlier blocked turns masked, in each instance as in a chat."""
    instances = [_without_blocked(instance, notices) for instance in body["instances"]]
    changed = any(new is not old for new, old in zip(instances, body["instances"], strict=True))
    return {**body, "instances": instances} if changed else body


def _without_blocked(instance: dict[str, Any], notices: Collection[str]) -> dict[str, Any]:
    messages = list(instance.get("messages") or ())
    changed = False
    for number, message in enumerate(messages):
        if _role(message) == "assistant" and message.get("content") in notices:
            before = number - 1
            while before >= 0 and _role(messages[before]) == "user":
                messages[before] = {**messages[before], "content": chat.WITHHELD}
                changed = True
                before -= 1
    return {**instance, "messages": messages} if changed else instance


def outputs(answer: dict[str, Any]) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """The content of every prediction and candidate; the index is the instance's number."""
    texts = Texts()
    for number, prediction in enumerate(answer["predictions"]):
        at: Pointer = ("predictions", number)
        texts.add(Stage.OUTPUT, "assistant", number, (*at, "content"), prediction.get("content"))
        for place, candidate in enumerate(prediction.get("candidates") or ()):
            where: Pointer = (*at, "candidates", place, "content")
            texts.add(Stage.OUTPUT, "assistant", number, where, candidate.get("content"))
    return texts.done()


def is_answer(answer: Any) -> bool:
    """Whether a body is a list of predictions."""
    return isinstance(answer, dict) and isinstance(answer.get("predictions"), list)


def usage(answer: dict[str, Any]) -> Usage:
    """Tokens as the upstream counted them, over all instances."""
    counted = (answer.get("metadata") or {}).get("tokenMetadata") or {}
    read, written = counted.get("inputTokenCount") or {}, counted.get("outputTokenCount") or {}
    return Usage(read.get("totalTokens"), written.get("totalTokens"))


def finished(exchange: Exchange, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with every prediction's safety attributes."""
    predictions = [
        _rated(prediction, _attributes(exchange, number, blocked=False))
        for number, prediction in enumerate(answer["predictions"])
    ]
    return {**answer, "predictions": predictions}


def blocked(exchange: Exchange, message: str) -> dict[str, Any]:
    """The notice in the place of each prediction at fault, and `blocked` in its attributes."""
    instances = exchange.request["instances"]
    if exchange.completion is None:
        answer = _answer(exchange, [_prediction(i, [""]) for i in instances], 0, 0)
    else:
        answer = exchange.completion
    at_fault = choices_at_fault(exchange, range(len(instances)))
    predictions = []
    for number, (instance, given) in enumerate(zip(instances, answer["predictions"], strict=True)):
        withheld = number in at_fault or exchange.completion is None
        told = _prediction(instance, [message]) if withheld else given
        predictions.append(_rated(told, _attributes(exchange, number, blocked=withheld)))
    return {**answer, "predictions": predictions, "guardrail": guardrail(exchange)}


def _rated(prediction: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
    candidates = prediction.get("candidates")
    told = attributes if candidates is None else [attributes for _ in candidates]
    return {**prediction, "safetyAttributes": told}


def _attributes(exchange: Exchange, number: int, *, blocked: bool) -> dict[str, Any]:
    """Every label that was measured on an instance or its prediction, with its highest score."""
    scores: dict[str, float] = {}
    for check in exchange.checks:
        segments = exchange.inputs if check.side is Stage.INPUT else exchange.outputs
        for detection in check.detections:
            if _concerns(detection, segments, number):
                score = scores.get(detection.label, 0.0)
                scores[detection.label] = max(score, detection.score)
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return {
        "categories": [label for label, _ in ranked],
        "scores": [round(score, 4) for _, score in ranked],
        "blocked": blocked,
    }


def _concerns(detection: Detection, segments: Sequence[Segment], number: int) -> bool:
    place = detection.segment
    return place >= len(segments) or segments[place].index == number


def failed(exchange: Exchange) -> dict[str, Any]:
    """The error that a failed exchange gets, in Google's envelope."""
    failure = exchange.failure
    assert failure is not None  # noqa: S101 - only failed exchanges come here
    return _error(failure.status, failure.message)


def blocked_error(exchange: Exchange, message: str) -> dict[str, Any]:
    """A withheld exchange as an error (400), for routes that say `blocked_as: error`."""
    return {**_error(400, message), "guardrail": guardrail(exchange)}


def _error(status: int, message: str) -> dict[str, Any]:
    usual = "INVALID_ARGUMENT" if status < 500 else "INTERNAL"
    name = _STATUSES.get(status, usual)
    return {"error": {"code": status, "message": message, "status": name}}


def _prediction(instance: dict[str, Any], contents: Sequence[str]) -> dict[str, Any]:
    if "messages" not in instance:
        return {"content": contents[0], "citationMetadata": {"citations": []}}
    return {
        "candidates": [{"author": "1", "content": content} for content in contents],
        "citationMetadata": [{"citations": []} for _ in contents],
    }


def _answer(
    exchange: Exchange, predictions: list[dict[str, Any]], read: int, written: int
) -> dict[str, Any]:
    counted = {
        "inputTokenCount": {"totalTokens": read},
        "outputTokenCount": {"totalTokens": written},
    }
    return {
        "predictions": predictions,
        "model": exchange.model,
        "metadata": {"tokenMetadata": counted},
    }


class PredictToChat:
    """Vertex instances as OpenAI chat completions."""

    PATH = chat.PATH

    def request(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        """The chat request of one instance."""
        instance = body["instances"][number]
        told: dict[str, Any] = {"messages": _conversation(instance)}
        for name, value in (body.get("parameters") or {}).items():
            told[_PARAMETERS.get(name, name)] = value
        if "messages" not in instance:
            told.pop("n", None)
        return told

    def is_answer(self, answer: Any) -> bool:
        """Whether an upstream's body is a completion at all."""
        return chat.is_answer(answer) and bool(answer["choices"])

    def answer(self, answers: Sequence[dict[str, Any]], exchange: Exchange) -> dict[str, Any]:
        """The predictions, in the instances' order."""
        predictions, read, written = [], 0, 0
        for instance, one in zip(exchange.request["instances"], answers, strict=True):
            messages = [choice.get("message") or {} for choice in one["choices"]]
            said = [m.get("content") or m.get("refusal") or "" for m in messages]
            predictions.append(_prediction(instance, said))
            used = chat.usage(one)
            read += used.input_tokens or 0
            written += used.output_tokens or 0
        return _answer(exchange, predictions, read, written)

    def events(self, exchange: Exchange) -> Events:
        """A prediction is never streamed."""
        raise BadRequest("A prediction cannot be streamed.")

    def error(self, body: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
        """OpenAI's error in Google's envelope."""
        status = exchange.failure.status if exchange.failure else 500
        return _error(status, str(body["error"].get("message") or "The upstream refused it."))


_TO_CHAT = PredictToChat()
TRANSLATIONS = {"openai": _TO_CHAT, "anthropic": Through(_TO_CHAT, CHAT_TO_MESSAGES)}


def _conversation(instance: dict[str, Any]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    if instance.get("context"):
        told.append({"role": "system", "content": instance["context"]})
    for example in instance.get("examples") or ():
        for side, role in (("input", "user"), ("output", "assistant")):
            content = (example.get(side) or {}).get("content")
            told.append({"role": role, "content": content})
    for message in instance.get("messages") or ():
        told.append({"role": _role(message), "content": message.get("content")})
    return told if "messages" in instance else [*told, _user(instance["prompt"])]


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}
