"""What can be said of a text without a model? Length, language, share of code, refusal."""

from __future__ import annotations

import re

from msgspec import Struct

from guardrails.text.language import language_of

READ_CHARACTERS = 4_000

REFUSAL = (
    r"^\W*(i'?m sorry|i am sorry|sorry,? (but )?i|i apologi[sz]e|i can'?t |i cannot |i'?m unable"
    r"|i am unable|i'?m not able|i am not able|i won'?t |i will not be able|unfortunately,? i can"
    r"|as an ai[ ,]|es tut mir leid|ich kann (dir|ihnen|das|dabei) .{0,20}nicht|je suis désolée?"
    r"|je ne peux pas|lo siento|no puedo |mi dispiace|non posso |desculpe|não posso |het spijt me)"
)
"""How a refusal begins. A POSIX-compatible expression: Postgres reads the same one (`~*`)."""

_REFUSAL = re.compile(REFUSAL.replace("'?", "['’]?"), re.IGNORECASE)
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_CODE_LINE = re.compile(
    r"^\s*(def |class |import |from \w+ import|return\b|(if|for|while) .*[:{]$|}|#include"
    r"|function\b|const |let |var |public |private |SELECT |INSERT |UPDATE |</?\w+[^>]*>|\$ )"
    r"|[;{]\s*$"
)


class Description(Struct, frozen=True):
    """A text in numbers. `language` is ISO 639-1, or `und` where nothing points to one."""

    characters: int
    language: str
    code_share: float
    refusal: bool


def describe(text: str) -> Description:
    """Say what can be said. Limits: the first READ_CHARACTERS, but for the length."""
    head = text[:READ_CHARACTERS]
    return Description(len(text), language_of(head), code_share(head), refuses(head))


def refuses(text: str) -> bool:
    """Whether a text begins as refusals do."""
    return _REFUSAL.match(text.replace("’", "'")) is not None


def code_share(text: str) -> float:
    """Which share of the characters stands in fenced code or in lines that look like code."""
    if not text:
        return 0.0
    fenced = sum(len(match.group()) for match in _FENCED.finditer(text))
    rest = _FENCED.sub("", text)
    lines = [line for line in rest.splitlines() if _CODE_LINE.search(line)]
    return min(1.0, (fenced + sum(len(line) + 1 for line in lines)) / len(text))
