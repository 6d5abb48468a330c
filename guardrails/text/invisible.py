"""Which characters that nobody sees may stay, and what do the others hide?

A joiner between two letters of Arabic or an Indic script is spelling, and one between two emoji
makes them one; a variation selector chooses how the emoji or ideograph before it looks; tags behind
a black flag name a country. Every other invisible character is removed.
"""

from __future__ import annotations

import re
import unicodedata

from guardrails.text.edits import Edit

_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_TAGS = "\U000e0000-\U000e007f"
_CLASS = (
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    f"{_SELECTORS}{_TAGS}]"
)
HINT = _CLASS
"""A regex, of RE2 too, without which there is nothing to remove."""

_INVISIBLE = re.compile(
    "(?:\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f)"
    f"|(?P<run>{_CLASS}+)"
)
_OVERRIDDEN = re.compile("\u202e([^\u202c-\u202e\u2066-\u2069\n]*)\u202c?")
_JOINERS = "\u200c\u200d"
_VIRAMA = 9
_JOINED_LETTER = re.compile(
    "[\u0620-\u06ff\u0710-\u074a\u0750-\u077f\u0780-\u07b1\u07ca-\u07ea\u0860-\u086a\u08a0-\u08ff"
    "\u0900-\u0dff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1820-\u18aa\u1900-\u1cff\ua840-\uabff"
    "\U00010d00-\U00010d23\U00011000-\U00011fff]"
)
# Only those that NFKC leaves alone: what it changes has no emoji form afterwards.
_EMOJI = re.compile(
    "[\u00a9\u00ae\u2190-\u21ff\u231a-\u23ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d"
    "\U0001f000-\U0001f0ff\U0001f170-\U0001f1ff\U0001f300-\U0001faff]"
)
_IDEOGRAPH = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U000323af]")


def remove_invisible(text: str) -> tuple[list[Edit], list[tuple[int, int, str]]]:
    """The edits that remove them, and the texts that they hide, with places.

    Hidden is what tags or selectors spell, and what a reader sees where a right-to-left override
    turns letters round.
    """
    edits: list[Edit] = []
    hidden: list[tuple[int, int, str]] = []
    for match in _INVISIBLE.finditer(text):
        run = match["run"]
        if run is None:
            continue
        start, end = match.span()
        before, after = text[start - 1 : start], text[end : end + 1]
        kept = _kept(run, before, after)
        if kept != run:
            edits.append((start, end, kept))
        if len(run) >= 4 and (said := _said(run)):
            hidden.append((start, end, said))
    if "\u202e" in text:
        hidden.append((0, len(text), _OVERRIDDEN.sub(lambda found: found[1][::-1], text)))
    return edits, hidden


def _kept(run: str, before: str, after: str) -> str:
    if _JOINED_LETTER.match(before):
        if "\u180b" <= run[0] <= "\u180d" or run[0] == "\ufe00":
            return run[0]
        joiner = next((c for c in run if c in _JOINERS), "")
        # Behind a virama it shapes the consonant, also at the end of a word.
        shapes = _JOINED_LETTER.match(after) or unicodedata.combining(before) == _VIRAMA
        return joiner if joiner and shapes else ""
    if before in tuple("0123456789#*") and after == "\u20e3":
        return "\ufe0f" if "\ufe0f" in run else ""
    if _EMOJI.match(before):
        selector = run[0] if run[0] in "\ufe0e\ufe0f" else ""
        joiner = "\u200d" if "\u200d" in run and _EMOJI.match(after) else ""
        return selector + joiner
    if _IDEOGRAPH.match(before) and re.match(f"[{_SELECTORS}]", run):
        return run[0]
    return ""


def _is_tag(character: str) -> bool:
    return (
        "\U000e0020" <= character <= "\U000e007e" or character in "\U000e0009\U000e000a\U000e000d"
    )


def _said(run: str) -> str:
    """What the run spells, as ASCII in tags or bytes in variation selectors; empty for nothing."""
    tags = "".join(chr(ord(c) - 0xE0000) for c in run if _is_tag(c))
    if len(tags) >= 4:
        return tags
    data = bytes(
        ord(c) - 0xFE00 if c <= "\ufe0f" else ord(c) - 0xE0100 + 16
        for c in run
        if "\ufe00" <= c <= "\ufe0f" or "\U000e0100" <= c <= "\U000e01ef"
    )
    try:
        said = data.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    is_text = all(c.isprintable() or c.isspace() for c in said)
    return said if len(said) >= 4 and is_text else ""
