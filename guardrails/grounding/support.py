"""How well do passages support one sentence?

Measured by words: a claim that the passages bear out shares its rare words, its word order, its
numbers and its names with one of them. A logistic model weighs what is missing. It sees no meaning
beyond that: a paraphrase without common words looks unsupported, two names changed round look
supported (docs/models/groundedness.md).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from guardrails.text.sentences import sentences
from guardrails.types import Passage

WEIGHTS = Path(__file__).parent.parent / "models" / "groundedness.json"

FEATURES = (
    "missing",
    "missing_anywhere",
    "missing_pairs",
    "missing_triples",
    "missing_words",
    "missing_numbers",
    "any_number_missing",
    "missing_names",
    "negation",
)
"""What is measured on a claim, all in [0, 1]; 0 is what a copied sentence has."""


def listed(words: str) -> frozenset[str]:
    """The words of a line."""
    return frozenset(words.split())


NEGATIONS = listed(
    "no not never none nobody nothing neither nor without cannot can't don't doesn't didn't isn't"
    " aren't wasn't weren't won't wouldn't couldn't shouldn't hasn't haven't hadn't"
)
FIRST_PERSON = listed("i me my mine myself i'm i've i'd i'll we our us we're we've")
STOPWORDS = (
    listed(
        "a an the and or but if then than that this these those there here it its he she they"
        " them his her their him hers theirs who whom whose which what when where why how is are"
        " was were be been being am do does did done have has had having will would can could shall"
        " should may might must of in on at by for from to with as into onto about over under"
        " between through during before after up down out off so such too very just also only own"
        " same more most some any each all both other you your yours it's one's s t re ve ll d m"
    )
    | NEGATIONS
    | FIRST_PERSON
)
_COUNTED = (
    *("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
# Without "one": most often it counts nothing.
NUMBER_WORDS = {word: str(number) for number, word in enumerate(_COUNTED, 2)}

_WORD = re.compile(r"\d+(?:[.,]\d+)*(?:st|nd|rd|th)?|[^\W\d_]+(?:['’][^\W\d_]+)*")
_MARKER = re.compile(r"\[\d+(?:\s*,\s*\d+)*\]|^\s*(?:\d+[.)]|[-*•])\s+|[*_`#]+")
_SUFFIXES = (
    "ational", "ization", "fulness", "iveness", "ations", "ation", "ments", "ingly", "edly", "ment",
    "ness", "ings", "ies", "ing", "ers", "ian", "ity", "ous", "ive", "est", "ed", "es", "er", "or",
    "al", "ly", "s", "e", "y",
)  # fmt: skip
PREFIX_MATCH = 0.7
MOST_MISSING = 5.0
_PREFIX = 5


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a text: `stem` to compare by, `weight` by its rarity."""

    text: str
    stem: str
    weight: float
    number: bool
    name: bool

    @property
    def counts(self) -> bool:
        """Whether it says something: neither grammar nor of no weight."""
        return self.weight > 0


@dataclass(frozen=True)
class Model:
    """The fitted weights: one a feature and the intercept, and how rare words are."""

    version: str
    weights: tuple[float, ...]
    intercept: float
    rarity: dict[str, float]
    rarest: float

    def weight_of(self, word: str, stem: str) -> float:
        """0 for grammar, up to 1 for a word that the table does not hold."""
        return 0.0 if word in STOPWORDS else self.rarity.get(stem, self.rarest) / self.rarest

    def support(self, features: Sequence[float]) -> float:
        """The probability that a claim with these features is borne out."""
        total = self.intercept + sum(w * f for w, f in zip(self.weights, features, strict=True))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))


@lru_cache(maxsize=1)
def fitted(path: Path = WEIGHTS) -> Model:
    """The weights that ship with the package."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return Model(
        version=data["version"],
        weights=tuple(data["weights"][name] for name in FEATURES),
        intercept=data["intercept"],
        rarity=data["rarity"],
        rarest=data["rarest"],
    )


@lru_cache(maxsize=65_536)
def stem_of(word: str) -> str:
    """A word without its ending, by rule: `founded`, `founder` and `founding` become one."""
    if word[0].isdigit():
        return word.replace(",", "").rstrip(".")
    if word in NUMBER_WORDS:
        return NUMBER_WORDS[word]
    stem = word.removesuffix("'s").replace("'", "")
    for suffix in _SUFFIXES:
        if stem.endswith(suffix) and len(stem) - len(suffix) >= 3:
            stem = stem[: -len(suffix)]
            break
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "lsz":
        stem = stem[:-1]
    return stem


def words_of(text: str, model: Model) -> list[Word]:
    """The words of a text, without citation marks, list numbers and markup."""
    text = _MARKER.sub(" ", text)
    found = []
    for number, match in enumerate(_WORD.finditer(text)):
        written = match[0].replace("’", "'")
        word = written.lower()
        stem = stem_of(word)
        found.append(
            Word(
                text=word,
                stem=stem,
                weight=model.weight_of(word, stem),
                number=stem[0].isdigit(),
                name=number > 0 and written[0].isupper() and word not in STOPWORDS,
            )
        )
    return found


class _Text:
    """The stems of a piece of text, as they are asked for."""

    def __init__(self, words: Sequence[Word]) -> None:
        self.stems = {word.stem for word in words}
        self.negated = any(word.text in NEGATIONS for word in words)
        self._words = words

    @cached_property
    def prefixes(self) -> set[str]:
        return {stem[:_PREFIX] for stem in self.stems if len(stem) >= _PREFIX}

    @cached_property
    def pairs(self) -> set[tuple[str, ...]]:
        return grams(self._words, 2)

    @cached_property
    def triples(self) -> set[tuple[str, ...]]:
        return grams(self._words, 3)

    def match(self, word: Word) -> float:
        """1 for the same stem, PREFIX_MATCH for a like one, else 0."""
        if word.stem in self.stems:
            return 1.0
        if word.number or len(word.stem) < _PREFIX or word.stem[:_PREFIX] not in self.prefixes:
            return 0.0
        return PREFIX_MATCH

    def covers(self, words: Sequence[Word]) -> float:
        """The weighted share of `words` that it holds."""
        total = sum(word.weight for word in words)
        return sum(word.weight * self.match(word) for word in words) / total if total else 1.0


def grams(words: Sequence[Word], size: int) -> set[tuple[str, ...]]:
    """The runs of `size` stems."""
    stems = [word.stem for word in words]
    return set(zip(*(stems[start:] for start in range(size)), strict=False))


class Evidence:
    """Passages made ready, so that many sentences can be held against them.

    Cost: about 0.3 ms a passage of 900 characters to make, then 0.1 ms a sentence.
    """

    def __init__(self, passages: Sequence[Passage], model: Model | None = None) -> None:
        self._model = model or fitted()
        self._passages = [(passage.number, self._read(passage)) for passage in passages]
        words = [word for _, (whole, _) in self._passages for word in whole._words]
        self._all = _Text(words)

    def _read(self, passage: Passage) -> tuple[_Text, list[_Text]]:
        parts = [
            words_of(passage.text[start:end], self._model) for start, end in sentences(passage.text)
        ]
        title = words_of(passage.title, self._model)
        whole = [word for words in (title, *parts) for word in words]
        return _Text(whole), [_Text(words) for words in parts]

    def support(self, sentence: str) -> tuple[float, int | None]:
        """The support in [0, 1] for a sentence, and the number of the passage that has most."""
        if not self._passages:
            return 0.0, None
        features, number = self.features(sentence)
        return self._model.support(features), number

    def features(self, sentence: str) -> tuple[tuple[float, ...], int]:
        """The measurements on a sentence, in the order of FEATURES, against its best passage."""
        words = words_of(sentence, self._model)
        content = [word for word in words if word.counts]
        pairs, triples = grams(words, 2), grams(words, 3)

        def fit(candidate: tuple[int, tuple[_Text, list[_Text]]]) -> float:
            return candidate[1][0].covers(content) + 0.5 * _share(pairs, candidate[1][0].pairs)

        number, (whole, parts) = max(self._passages, key=fit)
        near = max(parts, key=lambda part: part.covers(content), default=whole)
        missing = [word for word in content if not whole.match(word)]
        numbers = [word for word in content if word.number]
        names = [word for word in content if word.name]
        lost = sum(not whole.match(word) for word in numbers)
        return (
            1 - whole.covers(content),
            1 - self._all.covers(content),
            1 - _share(pairs, whole.pairs),
            1 - _share(triples, whole.triples),
            min(sum(word.weight for word in missing), MOST_MISSING) / MOST_MISSING,
            lost / max(len(numbers), 1),
            float(lost > 0),
            sum(not whole.match(word) for word in names) / max(len(names), 1),
            float(any(word.text in NEGATIONS for word in words) != near.negated),
        ), number


def _share(some: set[tuple[str, ...]], of: set[tuple[str, ...]]) -> float:
    return len(some & of) / len(some) if some else 1.0
