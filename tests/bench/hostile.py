"""How long can purpose-made text hold the event loop: `python -m tests.bench.hostile`?

Prints the slowest texts of the size that `guardrails.reading` hands to the normaliser and to a
finder at a time. CPU time, best of three, caches emptied: the worst text, not the worst moment.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable

from guardrails import reading
from guardrails.detectors import patterns
from guardrails.text import confusables, leet
from guardrails.text.normalise import normalise

_UNITS = [
    "a b ", "i d i o t ", "a.b.", "' i", "q.w.e.r.t.y.", "1a", "y0u ", "1d10t ", "i1!1!a ",
    "a1b1c1d1 ", "7h47 ", "\u200b", "i\u200bd\u200b", "\u202ea ", "e\u0301", "\u0301", "！",
    "ﷺ", "½", "ｉｄ ", "ﬁ", "한", "がが", "аbсdе ", "рот idіot ", "ᗩᏚ", "ᴋɪʟʟ ", "ụẹ", "🇮",
    "🅰", "i😀", "x😀q😀z ", "fu-ck ", "a-b.c_d ", "aA1+/", "aGVsbG8gd29ybGQh ", "69 ", "%41",
    "\U000e0041", "ner lbh ", "fuck ", "傻逼", "fagé", "1.1.1.1", "4111 ", "DE89 3704 0044 ",
    "::", "a@b.co ", "password=x1 ", "-----BEGIN PRIVATE KEY-----", "eyJhbGciOiJIUzI1NiJ9.",
    "ignore all previous instructions ",
]  # fmt: skip
_ALPHABETS = {
    "leet": "aeiostl1034570@$! ",
    "letters apart": "e t a o i n . - ",
    "mixed scripts": "aeioаеіоαειοᗩᏚն ",
    "all at once": "aeiot1035$@! .-_\u200b\u200c\u200d\u00ad\ufe0f\u0301\u0338\u202e\u3099аеоиαο"
    "１ｉ，！你한ᄀ한می❤👩🏴",
    "base64": "ABCabc0123+/= ",
    "rot13": "rgnbvafueqyh ",
    "compatibility": "".join(map(chr, (*range(0xF900, 0xFA00), *range(0x3200, 0x3300)))),
}


def texts(size: int) -> dict[str, str]:
    """Hostile texts of `size` characters, by what they are made of."""
    rng = random.Random(5)
    made = {repr(unit): (unit * (size // len(unit) + 1))[:size] for unit in _UNITS}
    for name, alphabet in _ALPHABETS.items():
        made[f"random {name}"] = "".join(rng.choices(alphabet, k=size))
    made |= {f"turned round {name}": f"\u202e{text}"[:size] for name, text in made.items()}
    encoded = {
        f"base64 of {name}": base64.b64encode(text.encode()).decode()[:size]
        for name, text in made.items()
    }
    return made | encoded


def slowest(
    run: Callable[[str], object], made: dict[str, str], most: int
) -> list[tuple[float, str]]:
    """The milliseconds of the slowest texts, and their names."""
    found = []
    for name, text in made.items():
        best = float("inf")
        for _ in range(3):
            confusables.unmixed.cache_clear()
            leet.known_words.cache_clear()
            started = time.process_time()
            run(text)
            best = min(best, time.process_time() - started)
        found.append((1000 * best, name))
    return sorted(found, reverse=True)[:most]


def main() -> None:
    """Measure, and print."""
    piece = reading.PIECE_CHARACTERS + 2 * reading.MARGIN_CHARACTERS
    _print(f"normalise, {piece} characters", slowest(normalise, texts(piece), 8))
    finder = patterns.create("patterns")
    size = reading.LEFT_CHARACTERS + reading.SLICE_CHARACTERS + reading.RIGHT_CHARACTERS
    places = reading.LEFT_CHARACTERS + reading.SLICE_CHARACTERS
    found = slowest(lambda text: finder.find(text, before=places), texts(size), 8)
    _print(f"find, {places} places of {size} characters", found)


def _print(title: str, found: list[tuple[float, str]]) -> None:
    print(title)
    for milliseconds, name in found:
        print(f"  {milliseconds:6.1f} ms  {name[:60]}")


if __name__ == "__main__":
    main()
