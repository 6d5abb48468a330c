"""How are the weights of the groundedness score made?

From pairs of a passage and a claim that this module makes itself: sentences of ordinary answers
that are kept, cut, joined and reworded (borne out), or whose numbers and names are swapped, that
are denied, brought in from elsewhere or mixed with opinion (not borne out); and generated facts
about people, places, works and companies, told in one way in the passage and in another in the
claim. No evaluation set has a part in it.

    python -m guardrails.training.groundedness TRAIN.jsonl.gz guardrails/models/groundedness.json
"""

from __future__ import annotations

import json
import math
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from guardrails.grounding.support import (
    FEATURES,
    STOPWORDS,
    Evidence,
    Model,
    words_of,
)
from guardrails.text.sentences import sentences
from guardrails.training.dataset import read_rows
from guardrails.types import Passage

VERSION = "overlap-1"
SEED = 7
KEPT_STEMS = 6_000
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
            yield Pair(passages, _casual(rng, claim), True, kind)
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
            yield Pair(passages, _casual(rng, claim), False, kind)


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


def _casual(rng: random.Random, claim: str) -> str:
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
        tail = ("and", *_opinion(rng, stranger).split())
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


# Generated facts. Every word of the lists is ordinary; the persons and firms are made up.
def _list(words: str) -> tuple[str, ...]:
    return tuple(words.split(","))


_FIRST = _list(
    "Anna,Boris,Clara,David,Elena,Frank,Greta,Hugo,Irene,Jonas,Karin,Lukas,Marta,Nikolai,"
    "Olga,Peter,Rosa,Stefan,Teresa,Viktor"
)
_LAST = _list(
    "Almeida,Berger,Castellan,Dvorak,Eriksen,Fontaine,Grabowski,Halvorsen,Ivanov,Jansen,"
    "Kowalski,Lindqvist,Moreau,Novak,Ortega,Petrov,Quintero,Rossi,Schneider,Tanaka"
)
_CITY = _list(
    "Ghent,Porto,Leipzig,Turin,Bergen,Krakow,Seville,Dundee,Utrecht,Malmo,Gdansk,Basel,"
    "Nantes,Cork,Bilbao,Tampere,Zagreb,Winnipeg,Adelaide,Nagoya"
)
_COUNTRY = _list(
    "Belgium,Portugal,Germany,Italy,Norway,Poland,Spain,Scotland,Sweden,Switzerland,France,"
    "Ireland,Finland,Croatia,Canada,Australia,Japan,Chile,Kenya,India"
)
_TRADE = _list(
    "painter,composer,architect,chemist,novelist,footballer,film director,politician,poet,"
    "botanist,journalist,violinist"
)
_GOODS = _list(
    "bicycles,watches,pianos,tractors,cameras,furniture,chocolate,software,aircraft engines,"
    "textiles"
)
_GENRE = _list("comedy,drama,thriller,documentary,musical,western,horror,romance")
_NOUN = _list(
    "River,Harvest,Mirror,Garden,Winter,Shadow,Letter,Island,Lantern,Bridge,Orchard,Horizon,"
    "Silence,Crown,Tower,Voyage"
)
_MONTH = _list("January,March,April,June,August,September,October,December")

Fact = dict[str, str]
_SHAPES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "person": (
        (
            "{person} (born {day} {month} {year} in {city}) is a {country} {trade}. {He} studied in"
            " {city2} and moved to {country2} in {year2}. {He} is best known for the work"
            ' "{work}", which won {number} awards.',
            "Born in {city} in {year}, {person} worked as a {trade}, and settled in {country2} in"
            ' {year2} after studies in {city2}. {Her} best-known work is "{work}".',
        ),
        (
            "Where was {person} born?|{person} was born in {city}.|{city}",
            "When was {person} born?|{person} was born in {year}.|{year}",
            "What does {person} do?|{person} works as a {trade}.|{trade}",
            "In which city did {person} study?|{person} studied in {city2}.|{city2}",
            "Where did {person} move in {year2}?|{He} moved to {country2}.|{country2}",
            "Which work made {person} famous?|{person} is known for {work}.|{work}",
        ),
    ),
    "company": (
        (
            "{firm} is a {country} company that makes {goods}. It was founded in {year} by {person}"
            " and has its headquarters in {city}. In {year2} it had {number} employees.",
            "Founded by {person} in {year}, {firm} of {city}, {country}, is a maker of {goods}. The"
            " company employed {number} people in {year2}.",
        ),
        (
            "Who founded {firm}?|{firm} was founded by {person}.|{person}",
            "What does {firm} make?|The company {firm} produces {goods}.|{goods}",
            "Where is {firm} based?|{firm} is based in {city}.|{city}",
            "When was it founded?|The founding year of {firm} was {year}.|{year}",
            "How many people work there?|It had {number} employees in {year2}.|{number}",
            "Which country is {firm} from?|The firm comes from {country}.|{country}",
        ),
    ),
    "film": (
        (
            '"{work}" is a {year} {country} {genre} film directed by {person} and starring'
            " {person2}. It was shot in {city} and ran for {number} weeks.",
            "{person} directed the {genre} {work} in {year}, with {person2} in the leading role."
            " The {country} film was made in {city}; it played for {number} weeks.",
        ),
        (
            "Who directed {work}?|{work} was directed by {person}.|{person}",
            "Who is the star of {work}?|The star of the film is {person2}.|{person2}",
            "What kind of film is it?|{work} is a {genre} film.|{genre}",
            "When did {work} come out?|It came out in {year}.|{year}",
            "Where was {work} shot?|The film was shot in {city}.|{city}",
            "How long did it run?|{work} was shown for {number} weeks.|{number} weeks",
        ),
    ),
    "place": (
        (
            "{city} is a city in {country} with {number} inhabitants. Its university opened in"
            " {year}. The mayor has been {person} since {year2}, and the city is known for its"
            " {goods}.",
            "The {country} city of {city} has a population of {number}. It has had a university"
            " since {year} and makes {goods}; {person} became mayor in {year2}.",
        ),
        (
            "How many people live in {city}?|{city} has {number} inhabitants.|{number}",
            "Who is the mayor?|The mayor of {city} is {person}.|{person}",
            "When did the university open?|Its university opened in {year}.|In {year}",
            "In which country is {city}?|{city} is in {country}.|{country}",
            "What is {city} known for?|The city is known for {goods}.|{goods}",
        ),
    ),
}


def generated(rng: random.Random, count: int) -> Iterator[Pair]:
    """Question and answer pairs on made-up facts, half of them with a wrong answer.

    Half of the wrong answers come from the passages themselves, where words alone cannot tell.
    """
    for number in range(count):
        shape = rng.choice(list(_SHAPES))
        told, asked = _SHAPES[shape]
        fact, other = _fact(rng), _fact(rng)
        second = rng.choice(_SHAPES[rng.choice(list(_SHAPES))][0]).format(**other)
        passages = (rng.choice(told).format(**fact), second)
        if rng.random() < 0.4:
            passages = (" ".join(passages),)
        _, long, short = rng.choice(asked).split("|")
        supported = number % 2 == 0
        answer = rng.choice((long, long, short))
        slots = re.findall(r"\{(\w+)\}", short)
        wrong = other if rng.random() < 0.3 else _fact(rng)
        values = fact if supported else fact | {slot: wrong[slot] for slot in slots}
        if not supported and any(values[slot] == fact[slot] for slot in slots):
            continue
        claim = answer.format(**values)
        if rng.random() < 0.2:
            claim = _casual(rng, claim)
        yield Pair(passages, claim, supported, f"fact: {shape}")


def _fact(rng: random.Random) -> Fact:
    def person() -> str:
        return f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"

    he, her = rng.choice((("He", "His"), ("She", "Her")))
    city, city2 = rng.sample(_CITY, 2)
    country, country2 = rng.sample(_COUNTRY, 2)
    year = rng.randint(1820, 1980)
    return {
        "person": person(), "person2": person(), "He": he, "Her": her, "city": city,
        "city2": city2, "country": country, "country2": country2, "trade": rng.choice(_TRADE),
        "goods": rng.choice(_GOODS), "genre": rng.choice(_GENRE), "month": rng.choice(_MONTH),
        "work": f"The {rng.choice(_NOUN)} of {rng.choice(_NOUN)}", "day": str(rng.randint(1, 28)),
        "firm": f"{rng.choice(_LAST)} & {rng.choice(_LAST)}", "year": str(year),
        "year2": str(year + rng.randint(18, 40)), "number": str(rng.randint(3, 900)),
    }  # fmt: skip


def rarity(texts: Sequence[str]) -> tuple[dict[str, float], float]:
    """How rare each of the most common stems is, as log(N / n); and of one never seen."""
    seen: Counter[str] = Counter()
    plain = Model("", (), 0.0, {}, 1.0)
    for text in texts:
        seen.update({word.stem for word in words_of(text, plain)})
    rarest = math.log(len(texts) / 2)
    common = [(stem, n) for stem, n in seen.most_common(KEPT_STEMS) if n > 3]
    return {stem: round(math.log(len(texts) / n), 2) for stem, n in common}, round(rarest, 2)


def measured(pairs: Sequence[Pair], model: Model) -> np.ndarray:
    """The features of every pair. Shape: (len(pairs), len(FEATURES))."""
    return np.array([features(pair.passages, pair.claim, model) for pair in pairs])


def features(passages: Sequence[str], claim: str, model: Model) -> tuple[float, ...]:
    """The features of one claim against passages that are plain texts."""
    made = [
        Passage(number, str(number), "", "", "", text, 0.0)
        for number, text in enumerate(passages, 1)
    ]
    return Evidence(made, model).features(claim)[0]


def fit(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Logistic weights and intercept, each class with half the say.

    No weight may be above 0: what is missing never speaks for a claim, whatever the made-up pairs
    say.
    """
    share = np.where(y, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    signs = np.where(y, 1.0, -1.0)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        margins = signs * (x @ parameters[:-1] + parameters[-1])
        slopes = -signs * share * expit(-margins) / len(y)
        penalty = 1e-4 * parameters[:-1]
        gradient = np.append(x.T @ slopes + 2 * penalty, slopes.sum())
        return float(
            (share * np.logaddexp(0, -margins)).mean() + penalty @ parameters[:-1]
        ), gradient

    bounds = [(None, 0)] * len(FEATURES) + [(None, None)]
    found = minimize(loss, np.zeros(len(bounds)), jac=True, bounds=bounds, method="L-BFGS-B")
    return found.x[:-1], float(found.x[-1])


def train(path: Path) -> dict[str, object]:
    """The model's weights as they are stored, from the file of training texts."""
    rng = random.Random(SEED)  # noqa: S311
    rows = read_rows(path)
    texts = [row.text for row in rows if row.source in ("halueval", "jigsaw_wikipedia")]
    documents = prose([row.text for row in rows if row.source == "halueval"])
    table, rarest = rarity(texts)
    blank = Model("", (), 0.0, table, rarest)
    pairs = [*rewritten(rng, documents), *generated(rng, 4_000)]
    rng.shuffle(pairs)
    x, y = measured(pairs, blank), np.array([pair.supported for pair in pairs])
    held_out = len(pairs) // 5
    weights, intercept = fit(x[held_out:], y[held_out:])
    found = x[:held_out] @ weights + intercept >= 0
    kinds: dict[str, list[bool]] = {}
    for pair, right in zip(pairs[:held_out], found == y[:held_out], strict=True):
        kinds.setdefault(f"{pair.supported} {pair.kind}", []).append(bool(right))
    for kind, right in sorted(kinds.items()):
        print(f"{kind:24} {np.mean(right):.3f} of {len(right)}", file=sys.stderr)
    return {
        "version": VERSION,
        "weights": dict(zip(FEATURES, (round(float(w), 4) for w in weights), strict=True)),
        "intercept": round(intercept, 4),
        "rarest": rarest,
        "rarity": dict(sorted(table.items())),
    }


def main() -> None:
    """Train from the file named first and write the weights to the one named second."""
    source, target = map(Path, sys.argv[1:3])
    text = json.dumps(train(source), ensure_ascii=False, indent=0, separators=(",", ":"))
    target.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
