"""What of a JSON body may be written down, when only texts that were scanned may?

A string of the body is kept if it is a text that a detector scanned, with the found spans cut, or a
short word under a key whose values are words of the protocol. All else is withheld: metadata, tool
descriptions, images, log probabilities, numbers that are long enough to be somebody's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

NOT_SCANNED = "[not scanned]"
NOT_RECORDED = "[not recorded]"
MAX_VALUES = 50_000
MAX_RENDERED = 200
LONG_NUMBER = 10**6

_WORD_KEYS = frozenset(
    {
        "call_id",
        "code",
        "detail",
        "encoding_format",
        "error",
        "finish_reason",
        "format",
        "id",
        "model",
        "object",
        "param",
        "reasoning_effort",
        "role",
        "service_tier",
        "severity",
        "status",
        "stop_reason",
        "system_fingerprint",
        "tool_call_id",
        "tool_choice",
        "type",
    }
)
ENDS = (("details", "finish_reason"), ("incomplete_details", "reason"))
"""Where TGI and Responses say why an answer ended."""

_NUMBER_KEYS = frozenset({"created", "created_at", "seed"})
_WORD = re.compile(r"[A-Za-z][\w.:/@-]{0,79}")
_LONG_DIGITS = re.compile(r"\d(?:[ .-]?\d){11}")
_KEY = re.compile(r"[A-Za-z_$][\w$.-]{0,63}")


class TooManyValues(Exception):
    """A body has more values than may be walked in the event loop."""


class Writer:
    """Writes bodies down.

    `texts` maps each scanned text to what may be kept of it, `secrets` each cut piece to its mask;
    `rendered` says that a template put the texts into longer ones.
    Cost: about a microsecond a value. Errors: TooManyValues.
    """

    def __init__(
        self,
        texts: Mapping[str, str],
        secrets: Mapping[str, str],
        *,
        kept: Collection[str] = (),
        rendered: bool = False,
    ) -> None:
        self._texts = texts
        self._masks = secrets
        self._kept = kept
        self._rendered = rendered and len(texts) <= MAX_RENDERED
        longest_first = sorted(secrets, key=len, reverse=True)
        self._secret = re.compile("|".join(map(re.escape, longest_first))) if secrets else None
        self._values = 0

    def body(self, value: Any, key: str = "") -> Any:
        """A copy of the value without what may not be kept."""
        self._values += 1
        if self._values > MAX_VALUES:
            raise TooManyValues
        match value:
            case None | bool():
                return value
            case str():
                return self._string(value, key)
            case int() | float():
                return (
                    NOT_SCANNED if abs(value) >= LONG_NUMBER and key not in _NUMBER_KEYS else value
                )
            case dict():
                return {
                    self._key(name, number): NOT_SCANNED
                    if name == "logprobs" and isinstance(inner, dict | list)
                    else self.body(inner, name)
                    for number, (name, inner) in enumerate(value.items())
                }
            case list() | tuple():
                # Tokens, bytes and embeddings: the text in another form.
                if len(value) > 1 and all(isinstance(inner, int | float) for inner in value):
                    return NOT_SCANNED
                return [self.body(inner, key) for inner in value]
        return NOT_SCANNED

    def masked(self, text: str) -> str:
        """The text with every known secret in it masked."""
        if self._secret is None:
            return text
        return self._secret.sub(lambda found: self._masks[found[0]], text)

    def _string(self, text: str, key: str) -> str:
        known = self._texts.get(text)
        if known is not None:
            return known
        if not text or text in self._kept:
            return text
        if key in _WORD_KEYS and _WORD.fullmatch(text) and not _LONG_DIGITS.search(text):
            return self.masked(text)
        if self._rendered:
            inside = [
                original for original in self._texts if len(original) > 1 and original in text
            ]
            if inside:
                for original in sorted(inside, key=len, reverse=True):
                    text = text.replace(original, self._texts[original])
                return self.masked(text)
        return NOT_SCANNED

    def _key(self, name: str, number: int) -> str:
        if _KEY.fullmatch(name) and self.masked(name) == name and not _LONG_DIGITS.search(name):
            return name
        return f"[key {number}]"


def skeleton(body: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What is left of a body that is not recorded: the model, and how each choice ended."""
    if body is None:
        return None
    kept: dict[str, Any] = {"dropped": True}
    for name in ("model", "stop_reason", "status"):
        if isinstance(body.get(name), str) and _WORD.fullmatch(body[name]):
            kept[name] = body[name]
    for name, field in ENDS:
        reason = body[name].get(field) if isinstance(body.get(name), dict) else None
        if isinstance(reason, str) and _WORD.fullmatch(reason):
            kept[name] = {field: reason}
    choices = body.get("choices")
    if isinstance(choices, list):
        kept["choices"] = [
            {"finish_reason": choice.get("finish_reason")}
            for choice in choices
            if isinstance(choice, dict)
        ]
    return kept
