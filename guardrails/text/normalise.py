"""What does a text say, once the ways of hiding it are undone?

One canonical text, which every detector reads, with the way back from each of its places to the
original. The steps stand in modules of their own; they are repeated until none finds anything.
"""

from __future__ import annotations

import re2
from msgspec import Struct

from guardrails.text import (
    compatibility,
    confusables,
    edits,
    encoded,
    interrupted,
    invisible,
    leet,
    rotated,
    spelled,
)

Reading = tuple[int, int, str]

_ROUNDS = 6
_DEPTH = 3

# One automaton says which steps may find something; most texts need none, in microseconds.
_STEPS = re2.Set.SearchSet()
_LEET, _SPELLED, _ENCODED, _INVISIBLE, _PILED, _MIXED, _EMOJI, _SIGNS, _ROTATED = map(
    _STEPS.Add,
    (
        r"[A-Za-z][0-9@$!]+[A-Za-z]|[0-9@$!][A-Za-z][0-9@$!]"
        r"|(?:^|[\s\"'(\[*])[0-9@$!]+[A-Za-z]{2}|[A-Za-z]{2}[0-9@$]+(?:$|[\s\"').,;:?!*])",
        spelled.HINT,
        r"[A-Za-z0-9+/]{16}|[A-Za-z0-9_-]{40}|[A-Za-z0-9+/]{6}="
        r"|(?:[0-9A-Fa-f]{2}(?: |:|, ?| ?0x|\\x|%)?){5}",
        invisible.HINT,
        compatibility.PILED_HINT,
        confusables.HINT,
        interrupted.EMOJI_HINT,
        interrupted.SIGN_HINT,
        rotated.HINT,
    ),
)
_STEPS.Compile()


class Canonical(Struct, frozen=True):
    """A text as detectors read it.

    `extra` are further readings, decoded from base64, hexadecimal, rot13 or hidden characters:
    start and end in the ORIGINAL text, and what stands there, itself canonical.
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
    steps = _STEPS.Match(text.encode("utf-8", "replace"))
    if steps is None and text.isascii():
        return Canonical(text)
    layers: list[edits.Layer] = []
    extra: list[Reading] = []
    for _ in range(_ROUNDS):
        before = text
        steps = steps or ()
        if _INVISIBLE in steps:
            found, hidden = invisible.remove_invisible(text)
            extra += _in_original(hidden, layers)
            text = _edited(text, found, layers)
        if not text.isascii():
            text = _edited(text, compatibility.to_plain_forms(text), layers)
        if _PILED in steps:
            text = _edited(text, compatibility.without_piles(text), layers)
        if _MIXED in steps:
            text = _edited(text, confusables.unmix_scripts(text), layers)
        if _EMOJI in steps:
            text = _edited(text, interrupted.join_around_emoji(text), layers)
        if _SIGNS in steps:
            text = _edited(text, interrupted.join_around_signs(text), layers)
        if _SPELLED in steps:
            text = _edited(text, spelled.join_spelled(text), layers)
        if _LEET in steps:
            text = _edited(text, leet.undo_leet(text), layers)
        if text == before:
            break
        steps = _STEPS.Match(text.encode("utf-8", "replace"))
    if steps and _ENCODED in steps:
        extra += _in_original(encoded.readings(text), layers)
    if steps and _ROTATED in steps:
        extra += _in_original(rotated.readings(text), layers)
    return Canonical(text, tuple(layers), tuple(_readable(extra, depth)) if depth else ())


def _in_original(readings: list[Reading], layers: list[edits.Layer]) -> list[Reading]:
    way_back = Canonical("", tuple(layers))
    return [(*way_back.to_original(start, end), said) for start, end, said in readings]


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
