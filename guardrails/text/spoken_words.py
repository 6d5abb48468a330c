"""Which words does a text say, in lower case and in their order?"""

from __future__ import annotations

import functools
import re

_WORD = re.compile(r"[^\W\d_]+")
_LETTERS = bytes(ord(chr(n).lower()) if chr(n).isalpha() else 0x20 for n in range(0x80))
_SPACED = _LETTERS + bytes(range(0x80, 0x100))


@functools.lru_cache(maxsize=1)  # a prompt is asked for its language and then for its groups
def spoken_words(text: str) -> tuple[str, ...]:
    """Every run of letters.

    Cost: 3 µs for 60 words of ASCII, where a regex takes 17; 10 µs with a few other characters.
    """
    if text.isascii():
        return tuple(text.encode().translate(_SPACED).decode().split())
    spaced = text.lower().encode("utf-8", "surrogatepass").translate(_SPACED)
    words: list[str] = []
    for word in spaced.decode("utf-8", "surrogatepass").split():
        if word.isascii():
            words.append(word)
        else:
            # What else stands between its letters is not ASCII: quotation marks, dashes, digits.
            words += _WORD.findall(word)
    return tuple(words)
