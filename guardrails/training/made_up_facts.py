"""Which questions on made-up facts are answered rightly, and which wrongly?

Every word of the lists is ordinary; the persons and firms do not exist.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from guardrails.training.made_up_claims import Pair, casual


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
        passages: tuple[str, ...] = (rng.choice(told).format(**fact), second)
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
            claim = casual(rng, claim)
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
