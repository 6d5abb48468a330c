"""What does a text say, once the ways of hiding it are undone?

One canonical text, which every detector reads, with the way back from each of its places to the
original. The steps stand in modules of their own; they are repeated until none finds anything.
"""

from __future__ import annotations

import re2
from msgspec import Struct

from guardrails.text import compatibility, confusables, edits, encoded, invisible, leet

Reading = tuple[int, int, str]

_ROUNDS = 6
_DEPTH = 3

# One automaton for all that ASCII can hide; most texts have none of it and pass in microseconds.
_SUSPECT = re2.Set.SearchSet()
_SUSPECT.Add(
    r"[A-Za-z][0-9@$!]+[A-Za-z]"
    r"|(?:^|[\s\"'(\[*])[0-9@$!]+[A-Za-z]{2}|[A-Za-z]{2}[0-9@$]+(?:$|[\s\"').,;:?!*])"
    r"|(?:^|[^A-Za-z0-9])[A-Za-z0-9][ .\-_*~|/,]{1,3}[A-Za-z0-9@$!][ .\-_*~|/,]{1,3}"
    r"[A-Za-z0-9@$!](?:[^A-Za-z0-9]|$)"
    r"|[A-Za-z0-9+/_-]{16}|[A-Za-z0-9+/]{6}="
    r"|(?:[0-9A-Fa-f]{2}(?: |:|, ?| ?0x|\\x|%)?){5}"
)
_SUSPECT.Compile()


class Canonical(Struct, frozen=True):
    """A text as detectors read it.

    `extra` are further readings, decoded from base64, hexadecimal or hidden characters: start and
    end in the ORIGINAL text, and what stands there, itself canonical.
    """

    text: str
    layers: tuple[edits.Layer, ...] = ()
    extra: tuple[Reading, ...] = ()

    def to_original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original text that became `text[start:end]`.

        It may be wider than what was meant: characters that became one thing stay together.
        Cost: logarithmic in the number of edits.
        """
        is_empty = end <= start
        for layer in reversed(self.layers):
            start, end = layer.start(start), layer.end(end)
        return (start, start) if is_empty else (start, end)


def normalise(text: str) -> Canonical:
    """The canonical reading of a text.

    Benign text in any script stays as it is, up to NFKC. Running it twice changes nothing.
    Limits: leet and spelled words are undone for English and for words of abuse.
    Cost:   linear; see docs/models/patterns.md for the figures.
    """
    return _normalise(text, _DEPTH)


def _normalise(text: str, depth: int) -> Canonical:
    if text.isascii() and _SUSPECT.Match(text.encode()) is None:
        return Canonical(text)
    layers: list[edits.Layer] = []
    extra: list[Reading] = []
    current = text

    def original(reading: Reading) -> Reading:
        start, end = Canonical("", tuple(layers)).to_original(*reading[:2])
        return start, end, reading[2]

    for _ in range(_ROUNDS):
        before = current
        if not current.isascii():
            found, hidden = invisible.remove_invisible(current)
            extra += map(original, hidden)
            current = _edited(current, found, layers)
            current = _edited(current, compatibility.to_plain_forms(current), layers)
            current = _edited(current, compatibility.without_piles(current), layers)
            current = _edited(current, confusables.unmix_scripts(current), layers)
        current = _edited(current, leet.join_spelled(current), layers)
        current = _edited(current, leet.undo_leet(current), layers)
        if current == before:
            break
    extra += map(original, encoded.readings(current))
    return Canonical(current, tuple(layers), tuple(_readable(extra, depth)) if depth else ())


def _edited(text: str, found: list[edits.Edit], layers: list[edits.Layer]) -> str:
    if not found:
        return text
    text, layer = edits.apply(text, found)
    layers.append(layer)
    return text


def _readable(extra: list[Reading], depth: int) -> list[Reading]:
    """The readings in canonical form, and what is encoded within them in turn."""
    readings = []
    for start, end, said in extra:
        canonical = _normalise(said, depth - 1)
        readings.append((start, end, canonical.text))
        readings += [(start, end, inner) for _, _, inner in canonical.extra]
    return readings
