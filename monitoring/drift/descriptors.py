"""What can be said of a text without a model? Length, language, share of code, refusal."""

from __future__ import annotations

import re

from msgspec import Struct

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
_WORD = re.compile(r"[^\W\d_]+")

_SCRIPTS = (
    ("ja", re.compile("[぀-ヿ]")),
    ("zh", re.compile("[一-鿿]")),
    ("ko", re.compile("[가-힯]")),
    ("ru", re.compile("[Ѐ-ӿ]")),
    ("ar", re.compile("[؀-ۿ]")),
    ("he", re.compile("[֐-׿]")),
    ("el", re.compile("[Ͱ-Ͽ]")),
    ("hi", re.compile("[ऀ-ॿ]")),
    ("th", re.compile("[฀-๿]")),
)
_COMMON = {
    "en": "the of and to in is that it for you what how are with this on be as i my do can not",
    "de": "der die das und ist nicht ein eine ich zu den mit wie was für auf sich von im kann wir",
    "fr": "le la les et est un une des que pour dans pas je qui sur du ce vous avec comment plus",
    "es": "el los las y es un una que para no por con como qué cómo del se mi lo cuál está su",
    "it": "il gli e è un una che per non di con come cosa del della sono mi lo si più questo",
    "pt": "os e é um uma que para não com como do da em se por mais qual você meu são isso",
    "nl": "de het een en is niet van ik dat op te voor met wat hoe zijn aan er kan je mijn",
}
_SPEAKERS: dict[str, tuple[str, ...]] = {}
for _language, _words in _COMMON.items():
    for _one in _words.split():
        _SPEAKERS[_one] = (*_SPEAKERS.get(_one, ()), _language)

UNKNOWN = "und"


class Description(Struct, frozen=True):
    """A text in numbers. `language` is ISO 639-1, or `und` where nothing points to one."""

    characters: int
    language: str
    code_share: float
    refusal: bool


def describe(text: str) -> Description:
    """Say what can be said. Limits: the first READ_CHARACTERS, but for the length."""
    head = text[:READ_CHARACTERS]
    return Description(len(text), language(head), code_share(head), refuses(head))


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


def language(text: str) -> str:
    """A guess at the language, from its script and its commonest words.

    Cost: about 20 µs a prompt. Limits: `und` for texts without three words, and for languages that
    are not listed; Chinese and Japanese without kana are one.
    """
    letters = sum(map(str.isalpha, text))
    for name, script in _SCRIPTS:
        if letters and len(script.findall(text)) >= (0.1 if name == "ja" else 0.3) * letters:
            return name
    votes: dict[str, float] = {}
    for word in _WORD.findall(text.lower()):
        speakers = _SPEAKERS.get(word, ())
        for one in speakers:
            votes[one] = votes.get(one, 0.0) + 1.0 / len(speakers)
    if not votes:
        return UNKNOWN
    best = max(votes, key=lambda name: (votes[name], name == "en"))
    return best if votes[best] >= 1.0 else UNKNOWN
