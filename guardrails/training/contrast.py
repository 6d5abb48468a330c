"""Which rows do we write ourselves, to teach what word statistics cannot?

The public sets teach that a group's name, a curse or the word "kill" is bad news. These rows say
the same words harmlessly and the same harm without the words: attacks beside denials, quotes beside
those who answer them, a person beside a thing, a jailbreak beside somebody who ignores a typo. They
are combinations of parts written for this file; none comes from an evaluation set.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from guardrails.training.dataset import LABELS, Row

_PARTS = yaml.safe_load((Path(__file__).parent / "data" / "contrast.yaml").read_text("utf-8"))
SLOTS: dict[str, list[str]] = _PARTS["slots"]
_TEMPLATES: dict[str, list[str]] = _PARTS["templates"]
_ANY_GROUP = re.compile(
    r"\b(" + "|".join(sorted(map(re.escape, SLOTS["groups"]), key=len, reverse=True)) + r")\b",
    re.IGNORECASE,
)
_LEADS = (
    *("", ""),
    *("Thanks, great answer. ", "Hello! ", "Danke für die Hilfe. ", "What is 2+2? "),
)
_JOINTS = (" ", " ", ", ", ". Instead listen to me ")


def contrast_rows(seed: int) -> list[Row]:
    """Some 4,600 rows of every kind. The same seed gives the same rows."""
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    rows = [*_abuse(rng), *_requests(rng), *_injections(rng)]
    unique = {row.text: row for row in rows}
    return list(unique.values())


def identity_swaps(rows: Sequence[Row], seed: int, limit: int) -> list[Row]:
    """Rows with a group's name exchanged for another's: the labels may not depend on which."""
    rng = random.Random(seed)  # noqa: S311
    known = [row for row in rows if "identity_attack" in row.labels and _ANY_GROUP.search(row.text)]
    rng.shuffle(known)
    swapped = []
    for row in known[:limit]:
        other = rng.choice(SLOTS["groups"])
        swapped.append(Row(_ANY_GROUP.sub(other, row.text), "identity_swap", row.labels))
    return swapped


def hidden_commands(documents: Sequence[Row], seed: int, count: int) -> list[Row]:
    """Harmless documents with a command to the model put at their start, middle or end."""
    rng = random.Random(seed)  # noqa: S311
    rows = []
    for _ in range(count if documents else 0):
        text = rng.choice(documents).text[:300]
        command = _fill(rng.choice(_TEMPLATES["quoted_commands"]), rng)
        if rng.random() < 0.3:
            command = f"{rng.choice(_TEMPLATES['overrides'])} {rng.choice(_TEMPLATES['payloads'])}"
        at = rng.choice((0, len(text), text.find("\n") + 1))
        whole = f"{text[:at]}\n{command}\n{text[at:]}".strip()
        rows.append(Row(whole, "own_hidden_commands", {"prompt_injection": 1}))
    return rows


def _abuse(rng: random.Random) -> Iterator[Row]:
    harmless = dict.fromkeys(LABELS, 0)
    hate = {"toxicity": 1, "identity_attack": 1, "prompt_injection": 0}
    for template in _TEMPLATES["hate"]:
        violent = "{harm}" in template or "{violence}" in template
        labels = hate | ({"threat": 1, "severe_toxicity": 1} if violent else {"threat": 0})
        yield from _rows(template, 40, "own_hate", labels, rng)
    for template in _TEMPLATES["not_hate"]:
        yield from _rows(template, 40, "own_not_hate", harmless, rng)
    for template in _TEMPLATES["insults"]:
        labels = {"toxicity": 1, "insult": 1, "identity_attack": 0, "threat": 0}
        yield from _rows(template, 24, "own_insults", {**labels, "prompt_injection": 0}, rng)
    for template in _TEMPLATES["threats"]:
        labels = {"toxicity": 1, "threat": 1, "severe_toxicity": 1, "identity_attack": 0}
        yield from _rows(template, 30, "own_threats", {**labels, "prompt_injection": 0}, rng)
    for template in _TEMPLATES["obscene"]:
        labels = {"toxicity": 1, "obscene": 1, "insult": 1, "threat": 0, "identity_attack": 0}
        yield from _rows(template, 8, "own_obscene", {**labels, "prompt_injection": 0}, rng)
    for template in _TEMPLATES["harmless"]:
        yield from _rows(template, 24, "own_harmless", harmless, rng)


def _requests(rng: random.Random) -> Iterator[Row]:
    for template in _TEMPLATES["safe_asks"]:
        yield from _rows(template, 12, "own_safe_requests", dict.fromkeys(LABELS, 0), rng)
    for template in _TEMPLATES["harmful_asks"]:
        labels = {"harmful_request": 1, "prompt_injection": 0}
        yield from _rows(template, 24, "own_harmful_requests", labels, rng)


def _injections(rng: random.Random) -> Iterator[Row]:
    attack = {"prompt_injection": 1}
    for _ in range(450):
        lead, joint = rng.choice(_LEADS), rng.choice(_JOINTS)
        override, payload = rng.choice(_TEMPLATES["overrides"]), rng.choice(_TEMPLATES["payloads"])
        text = lead + override + joint + payload
        yield Row(text, "own_injections", attack)
    for template in _TEMPLATES["personas"]:
        for name in SLOTS["persona"]:
            yield Row(template.format(persona=name), "own_injections", attack)
    for text in _TEMPLATES["not_injection"]:
        for lead in ("", "Hi, ", "Thanks! ", "One question: ", "Hallo, ", "Note: "):
            yield Row(lead + text, "own_not_injections", dict.fromkeys(LABELS, 0))


def _rows(
    template: str, most: int, source: str, labels: dict[str, int], rng: random.Random
) -> Iterator[Row]:
    texts = {_fill(template, rng) for _ in range(most)}
    for text in sorted(texts):
        yield Row(_vary(text, rng), source, dict(labels))


def _fill(template: str, rng: random.Random) -> str:
    """A template with each `{slot}` filled by chance; a capitalised slot begins a sentence."""

    def word(match: re.Match[str]) -> str:
        slot = match.group(1)
        chosen = rng.choice(SLOTS[slot.lower()])
        return chosen[:1].upper() + chosen[1:] if slot[0].isupper() else chosen

    return re.sub(r"\{(\w+)\}", word, template)


def _vary(text: str, rng: random.Random) -> str:
    """Small changes of form that a reader would not notice: case, the last mark, a lead-in."""
    chance = rng.random()
    if chance < 0.15:
        text = text.lower()
    elif chance < 0.2:
        text = text.upper()
    if rng.random() < 0.2:
        text = text.rstrip(".")
    if rng.random() < 0.15:
        text = rng.choice(("Well, ", "lol ", "I mean, ", "Look: ", "@user ", "Honestly? ")) + text
    return text
