"""Which claims do the passages bear out, and which not? Made from ordinary prose, by corruption."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guardrails.grounding.support import STOPWORDS
from guardrails.text.sentences import sentences

_PROSE = re.compile(r"^[A-Z].*[.!?]$", re.DOTALL)
_NUMBER = re.compile(r"\d[\d,.]*")


@dataclass(frozen=True, slots=True)
class Pair:
    """A claim against its passages; `supported` is whether they bear it out."""

    passages: tuple[str, ...]
    claim: str
    supported: bool
    kind: str


def prose(texts: Sequence[str]) -> list[list[str]]:
    """The sentences of each text that has at least three that read as prose."""
    found = []
    for text in texts:
        spans = sentences(text)
        kept = [text[a:b].strip() for a, b in spans]
        kept = [s for s in kept if _PROSE.match(s) and 30 <= len(s) <= 320 and "\n" not in s]
        if len(kept) >= 3:
            found.append(kept)
    return found


def rewritten(rng: random.Random, documents: Sequence[list[str]]) -> Iterator[Pair]:
    """Pairs from ordinary prose: eight a document, half of them borne out."""
    names = Counter(name for document in documents for s in document for name in _names(s))
    pool = list(names)
    for number, document in enumerate(documents):
        size = min(len(document), rng.randint(1, 4))
        start = rng.randrange(len(document) - size + 1)
        passage = document[start : start + size]
        outside = document[:start] + document[start + size :]
        others = [" ".join(rng.choice(documents)[:3]) for _ in range(rng.randint(0, 3))]
        passages = (" ".join(passage), *others)
        source = rng.choice(passage)
        for kind in rng.sample(("copy", "cut", "lead", "reword", "join", "thin"), 4):
            claim = _kept(rng, kind, source, passage)
            yield Pair(passages, casual(rng, claim), True, kind)
        stranger = rng.choice(documents[number - 1])
        made = {
            "number": _swap_number(rng, source),
            "name": _swap_name(rng, source, pool),
            "word": _swap_words(rng, source, stranger),
            "denied": _denied(source),
            "same topic": rng.choice(outside) if outside else None,
            "foreign": stranger,
            "opinion": _opinion(rng, source),
            "grafted": _grafted(rng, source, stranger),
            "exchanged": _exchanged(rng, source),
            "recombined": _recombined(rng, source, rng.choice(passage)),
        }
        possible = [(kind, claim) for kind, claim in made.items() if claim]
        for kind, claim in rng.sample(possible, min(4, len(possible))):
            yield Pair(passages, casual(rng, claim), False, kind)


def _names(sentence: str) -> list[str]:
    return [w for w in re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,}", sentence)]


def _kept(rng: random.Random, kind: str, source: str, passage: Sequence[str]) -> str:
    words = source.split()
    if kind == "cut" and len(words) > 8:
        return " ".join(words[: rng.randint(6, len(words) - 1)]).rstrip(",;:") + "."
    if kind == "lead" and ", " in source:
        _, tail = source.split(", ", 1)
        return tail[0].upper() + tail[1:] if len(tail) > 25 else source
    if kind == "reword":
        return _reworded(rng, source)
    if kind == "join" and len(passage) > 1:
        first, second = rng.sample(list(passage), 2)
        return f"{' '.join(first.split()[:12]).rstrip('.,')} and {second[0].lower()}{second[1:]}"
    if kind == "thin":
        return " ".join(w for w in words if not w.endswith("ly") and rng.random() > 0.12)
    return source


_SYNONYMS = {
    "use": "employ", "used": "employed", "help": "assist", "helps": "assists", "many": "numerous",
    "important": "significant", "such as": "like", "also": "additionally", "because": "since",
    "people": "persons", "often": "frequently", "large": "big", "begin": "start", "show": "reveal",
    "however": "but", "various": "different", "include": "contain", "provide": "give", "can": "may",
    "create": "make", "ensure": "guarantee", "individuals": "people", "improve": "better",
    "increase": "raise", "reduce": "lower", "several": "a number of", "require": "need",
    "located": "situated", "typically": "usually", "known as": "called", "main": "principal",
}  # fmt: skip


def _reworded(rng: random.Random, source: str) -> str:
    for word, other in _SYNONYMS.items():
        if rng.random() < 0.8:
            source = re.sub(rf"\b{word}\b", other, source)
    for word, other in (("It ", "This "), ("The ", "A "), ("They ", "These ")):
        if source.startswith(word) and rng.random() < 0.5:
            source = other + source[len(word) :]
    return source


_OPENERS = (
    *("Yes, ", "Well, ", "Sure, ", "Indeed, ", "In short, ", "Did you know that ", "So "),
    *("I know that ", "I think ", "I read that ", "I heard that ", "I believe ", "Oh cool, "),
    *("Actually, ", "Yeah, ", "That's right, ", "As far as I know, ", "From what I know, "),
)


def casual(rng: random.Random, claim: str) -> str:
    """As an assistant or a person would say it: an opener, all lower case, no full stop."""
    if rng.random() < 0.35:
        claim = rng.choice(_OPENERS) + claim[0].lower() + claim[1:]
    if rng.random() < 0.25:
        claim = claim.lower()
    return claim.rstrip(".") if rng.random() < 0.3 else claim


def _swap_number(rng: random.Random, source: str) -> str | None:
    found = list(_NUMBER.finditer(source))
    if not found:
        return None
    match = rng.choice(found)
    digits = re.sub(r"\D", "", match[0]) or "1"
    other = str(max(1, int(digits) + rng.choice((-12, -7, -3, -2, -1, 1, 2, 3, 5, 10, 20))))
    return None if other == digits else source[: match.start()] + other + source[match.end() :]


def _swap_name(rng: random.Random, source: str, pool: Sequence[str]) -> str | None:
    names = _names(source)
    return re.sub(rf"\b{rng.choice(names)}\b", rng.choice(pool), source) if names else None


def _swap_words(rng: random.Random, source: str, stranger: str) -> str | None:
    """Some of its content words replaced by content words of another sentence."""
    words = source.split()
    places = [i for i, w in enumerate(words) if len(w) > 4 and w.lower() not in STOPWORDS]
    others = [w for w in stranger.split() if len(w) > 4 and w.lower() not in STOPWORDS]
    if len(places) < 3 or not others:
        return None
    for place in rng.sample(places, rng.randint(1, max(1, len(places) // 3))):
        words[place] = rng.choice(others)
    return " ".join(words)


def _denied(source: str) -> str | None:
    denied, count = re.subn(
        r"\b(is|are|was|were|can|will|should|may)\b", r"\1 not", source, count=1
    )
    return denied if count and " not not " not in denied else None


_OPINIONS = (
    "I love {}, it is my favourite.", "My brother is really into {} and so am I.",
    "I have never tried {} but I would like to.", "I think {} is great, what a wonderful thing!",
    "I grew up with {}, we had it at home all the time.", "Everyone talks about {} nowadays.",
    "That is so cool, I wish I knew more about {}.", "I am a big fan of {} and I enjoy it a lot.",
    "It must be hard, but {} is the best thing ever.", "I heard {} is getting expensive lately.",
)  # fmt: skip


def _opinion(rng: random.Random, source: str) -> str:
    words = [w.strip(".,;:()") for w in source.split()]
    start = rng.randrange(max(1, len(words) - 4))
    topic = " ".join(words[start : start + rng.randint(1, 5)])
    return rng.choice(_OPINIONS).format(topic)


def _grafted(rng: random.Random, source: str, stranger: str) -> str:
    """The first half of one sentence with the second half of another, or with an opinion."""
    half = source.split()[: max(4, len(source.split()) // 2)]
    tail = stranger.split()[len(stranger.split()) // 2 :]
    if rng.random() < 0.5:
        tail = ["and", *_opinion(rng, stranger).split()]
    return " ".join([*half, *tail])


def _exchanged(rng: random.Random, source: str) -> str | None:
    """Two of its content words in each other's place, or its halves: the same words, other news."""
    words = source.rstrip(".!?").split()
    places = [i for i, w in enumerate(words) if len(w) > 3 and w.lower() not in STOPWORDS]
    if len(places) < 4:
        return None
    for one, other in _couples(rng.sample(places, 4)):
        words[one], words[other] = words[other], words[one]
    return " ".join(words)


def _couples(places: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(places[::2], places[1::2], strict=True))


_TALK = (
    "I like {0} because {1} reminds me of {2}.", "{0} and {1} are the best part of {2} for me.",
    "People with {0} get {1} too and I bet {2} is fun.", "My friend does {0} with {1} and {2}.",
    "There is so much {0} in {1} that {2} gets boring.", "{0} used to be about {1}, not {2}.",
    "People who know {0} say {1} comes from {2}.", "{2} needs {0} more than {1}, they say.",
)  # fmt: skip


def _recombined(rng: random.Random, source: str, other: str) -> str | None:
    """Talk about the passage's topic in the passage's words, which says something else."""
    words = [w.strip('.,;:()"') for w in f"{source} {other}".split()]
    words = [w for w in words if len(w) > 3 and w.lower() not in STOPWORDS]
    return rng.choice(_TALK).format(*rng.sample(words, 3)) if len(words) > 4 else None
