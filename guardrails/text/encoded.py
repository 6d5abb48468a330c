"""Which runs of base64 or hexadecimal digits decode to something that can be read?"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata

_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{6,}(?:\r?\n[A-Za-z0-9+/_-]{16,})*={0,2}"
    r"(?![A-Za-z0-9+/_=-])"
)
_HEX = re.compile(
    r"(?<![0-9A-Za-z])(?:0x|\\x|%)?[0-9A-Fa-f]{2}"
    r"(?:(?: |:|, ?| ?0x|\\x|%)?[0-9A-Fa-f]{2}){4,}(?![0-9A-Za-z])"
)
_HEX_PAIR = re.compile(r"(?:0x)?([0-9A-Fa-f]{2})")
_LINE_BREAK = re.compile(r"\r?\n")
_SHORTEST = 16
_LONG = 64
_MOST_OF_A_CHARACTER = 3
_CONTINUATION = bytes(range(0x80, 0xC0))
_READABLE_SHARE = 0.6
_CHARACTERS_A_CONTROL = 50


def readings(text: str) -> list[tuple[int, int, str]]:
    """Where such runs stand, and what they say.

    A run at an end of the text may be part of a longer one, cut anywhere.
    Limits: base64 from 16 characters on, or shorter where it ends in `=`; hexadecimal from 5 bytes.
    """
    found = []
    for match in _BASE64.finditer(text):
        run = _LINE_BREAK.sub("", match[0])
        if len(run) >= _SHORTEST or (run.endswith("=") and len(run) % 4 == 0):
            said = _printable(_from_base64(run))
            if not said and match.start() == 0 and len(run) >= _LONG:
                rests = (_printable(_from_base64(run[at:])) for at in (1, 2, 3))
                said = next(filter(None, rests), "")
            if said:
                found.append((*match.span(), said))
    for match in _HEX.finditer(text):
        said = _printable(bytes.fromhex("".join(_HEX_PAIR.findall(match[0]))))
        if said:
            found.append((*match.span(), said))
    return sorted(found)


def _from_base64(run: str) -> bytes:
    body = run.rstrip("=").replace("-", "+").replace("_", "/")
    body = body[: len(body) - (len(body) % 4 == 1)]
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4))
    except binascii.Error:
        return b""


def _printable(data: bytes) -> str:
    """The bytes as text, where they are text: printable, and mostly letters and spaces.

    Up to three bytes at either end may be the rest of a character.
    """
    try:
        said = data.decode("utf-8")
    except UnicodeDecodeError:
        rest = data.lstrip(_CONTINUATION)
        if len(data) < _LONG or len(data) - len(rest) > _MOST_OF_A_CHARACTER:
            return ""
        try:
            said = rest.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.start < len(rest) - _MOST_OF_A_CHARACTER:
                return ""
            said = rest[: error.start].decode("utf-8")
    if len(said) < 4 or sum(map(_is_control, said)) > len(said) // _CHARACTERS_A_CONTROL:
        return ""
    is_counted = str.isalpha if len(said) < _LONG else str.isalnum
    readable = sum(is_counted(c) or c.isspace() for c in said)
    return said if readable >= _READABLE_SHARE * len(said) else ""


def _is_control(character: str) -> bool:
    """Neither seen nor white space, nor one of the invisible ones that text may hide behind."""
    if character.isprintable() or character.isspace():
        return False
    return unicodedata.category(character) != "Cf"
