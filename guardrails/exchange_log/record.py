"""How does an exchange become one line of JSON that Postgres takes?

The line is the log's record: the writer unpacks it in SQL, and a spool may keep it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec

from guardrails.types import Exchange

MAX_RECORD_BYTES = 2**20
MAX_DEPTH = 64
MAX_NUMBER_BITS = 1_024
MAX_VALUES = 50_000
MAX_NOTES = 50
KEPT_CHARACTERS = (16_384, 2_048, 256)
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_encode = msgspec.json.Encoder(decimal_format="number").encode

_BODIES = ("request", "prompt", "completion", "answer")
_LISTS = ("inputs", "outputs", "passages", "citations", "checks")


def encode(exchange: Exchange) -> bytes | None:
    """The exchange as one line, or None where it must be mended first.

    Cost: about 3 µs and 1 µs a KiB. Limits: `MAX_RECORD_BYTES`.
    """
    try:
        line = _encode(exchange)
    except (UnicodeEncodeError, RecursionError, TypeError, ValueError, OverflowError):
        return None
    if len(line) > MAX_RECORD_BYTES or b"\\u0000" in line:
        return None
    return line


def mend(exchange: Exchange) -> bytes:
    """The exchange as one line that Postgres takes, whatever was in it.

    NUL and lone surrogates become U+FFFD; what nests deeper than `MAX_DEPTH` and, in a record of
    more than `MAX_RECORD_BYTES`, long strings are cut with a visible mark. `uncovered` then names
    each place, as `cut: request.messages[0].content`.

    Cost: up to 0.1 s, so not in the event loop.
    """
    with suppress(_TooManyValues):
        for kept in (MAX_RECORD_BYTES, *KEPT_CHARACTERS):
            line = _mended(exchange, kept)
            if len(line) <= MAX_RECORD_BYTES:
                return line
    # So many small values that only leaving whole parts out helps.
    bodies = {name: {"cut": True} for name in _BODIES if getattr(exchange, name) is not None}
    notes = tuple(f"cut: {name}" for name in (*bodies, *_LISTS))
    lists = dict.fromkeys(_LISTS, ())
    return _mended(exchange.evolve(**bodies, **lists, uncovered=notes), KEPT_CHARACTERS[-1])


def _mended(exchange: Exchange, kept_characters: int) -> bytes:
    mender = _Mender(kept_characters)
    record = mender.of(exchange, "", 0)
    record["uncovered"] += mender.notes
    return _encode(record)


class _TooManyValues(Exception):
    """A walk would take too long."""


class _Mender:
    """One walk over a record; `notes` are the places where something was cut."""

    def __init__(self, kept_characters: int) -> None:
        self.kept_characters = kept_characters
        self.notes: list[str] = []
        self.values = 0

    def of(self, value: Any, place: str, depth: int) -> Any:
        self.values += 1
        if self.values > MAX_VALUES:
            raise _TooManyValues
        match value:
            # A StrEnum is a str too; its value is plain.
            case Enum():
                return value.value
            case str():
                return self._text(value, place)
            case int() if value.bit_length() > MAX_NUMBER_BITS:
                self._note(place)
                return f"[cut: a number of {value.bit_length()} bits]"
            case None | bool() | int() | float():
                return value
            case datetime():
                return value.isoformat()
        if depth > MAX_DEPTH:
            self._note(place)
            return "[cut: nested too deep]"
        match value:
            case msgspec.Struct():
                fields = msgspec.structs.asdict(value)
                return {name: self._at(place, name, v, depth) for name, v in fields.items()}
            case Mapping():
                named = ((_clean(str(key)), v) for key, v in value.items())
                return {name: self._at(place, name, v, depth) for name, v in named}
            case list() | tuple() | set() | frozenset():
                return [self.of(v, f"{place}[{i}]", depth + 1) for i, v in enumerate(value)]
        return self._text(str(value), place)

    def _at(self, place: str, name: str, value: Any, depth: int) -> Any:
        return self.of(value, f"{place}.{name}" if place else name, depth + 1)

    def _text(self, text: str, place: str) -> str:
        if len(text) <= self.kept_characters:
            return _clean(text)
        self._note(place)
        return f"{_clean(text[: self.kept_characters])}…[cut: {len(text)} characters]"

    def _note(self, place: str) -> None:
        if len(self.notes) < MAX_NOTES:
            self.notes.append(f"cut: {place}")


def _clean(text: str) -> str:
    """Without what Postgres' jsonb cannot hold: NUL, and surrogates that stand alone."""
    text = text.replace("\x00", REPLACEMENT)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Pairs become the character that they stand for; what is left alone is replaced.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
