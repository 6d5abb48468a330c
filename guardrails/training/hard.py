"""Which rows do we write for what a first model gets wrong?

Frightening words used harmlessly, quotes beside hate, injections in many styles and languages, and
the same documents with a command to the model or with one to a person. A part of the templates is
held out, so that a new model can be compared with an old one on forms that neither has seen.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from guardrails.text.normalise import normalise
from guardrails.training.contrast import SLOTS
from guardrails.training.dataset import ABUSE, LABELS, Row, held_out

HELD_OUT_TEMPLATES = 0.2
_PARTS = yaml.safe_load((Path(__file__).parent / "data" / "hard.yaml").read_text("utf-8"))
_TEMPLATES: dict[str, list[str]] = _PARTS["templates"]
_SLOT = re.compile(r"\{(\w+)\}")
_HARMLESS = dict.fromkeys(LABELS, 0)
_INJECTION = dict.fromkeys(ABUSE, 0) | {"prompt_injection": 1}
_THREAT = {
    "toxicity": 1,
    "severe_toxicity": 1,
    "threat": 1,
    "identity_attack": 0,
    "prompt_injection": 0,
}
_INSULT = {"toxicity": 1, "insult": 1, "threat": 0, "identity_attack": 0, "prompt_injection": 0}
_KINDS: dict[str, tuple[dict[str, int], int]] = {
    "injection_direct": (_INJECTION, 30),
    "injection_foreign": (_INJECTION, 9),
    "jailbreak": ({"prompt_injection": 1}, 16),
    "benign_asks": (_HARMLESS, 10),
    "benign_fear": (_HARMLESS, 14),
    "benign_foreign": (_HARMLESS, 6),
    "harmful_varied": ({"harmful_request": 1, "prompt_injection": 0}, 36),
    "counter_speech": (_HARMLESS, 40),
    "hate_varied": ({"toxicity": 1, "identity_attack": 1, "prompt_injection": 0}, 36),
    "threats_varied": (_THREAT, 20),
    "not_threats": (_HARMLESS, 12),
    "insults_varied": (_INSULT, 16),
}
"""Per kind of template its labels, and how many rows each template is worth."""

_BESIDE = (
    *("", "", "", "", "", ""),
    *("Hello! ", "Thanks a lot. ", "Quick question: ", "ok so ", "Hi there, ", "Hallo, "),
)


def hard_rows(seed: int, *, held: bool = False) -> list[Row]:
    """Rows of the templates to fit, or of those held out. The same seed gives the same rows."""
    rng = random.Random(f"{seed} {held}")  # noqa: S311 - reproducible, not secret
    rows = []
    for kind, (labels, count) in _KINDS.items():
        for template in _chosen(kind, held):
            texts = {_varied(_fill(template, rng), rng) for _ in range(count)}
            rows += [
                Row(text, f"own_{kind}", _labels(labels, template), template)
                for text in sorted(texts)
            ]
    rows += _documents(rng, held)
    return list({row.text: row for row in rows}.values())


def twins(rows: Sequence[Row], seed: int, count: int) -> list[Row]:
    """Rows as somebody types who is in a hurry or hides something, read by the normaliser."""
    rng = random.Random(seed)  # noqa: S311
    drawn = rng.sample(list(rows), min(count, len(rows)))
    return [Row(normalise(_garbled(row.text, rng)).text, "own_twins", row.labels) for row in drawn]


def _chosen(kind: str, held: bool) -> list[str]:
    return [t for t in _TEMPLATES[kind] if held_out(t, HELD_OUT_TEMPLATES) == held]


def _labels(labels: dict[str, int], template: str) -> dict[str, int]:
    if labels.get("identity_attack"):
        violent = "{violence}" in template or "{harm}" in template
        return labels | ({"threat": 1, "severe_toxicity": 1} if violent else {"threat": 0})
    return dict(labels)


def _documents(rng: random.Random, held: bool) -> Iterator[Row]:
    """Each document as often with a command to the model as with one to a person, or with none."""
    commands, orders = _chosen("indirect_commands", held), _chosen("human_commands", held)
    for template in _chosen("documents", held):
        for _ in range(40):
            inside = _fill(rng.choice(commands), rng)
            whole = _fill(template, rng).replace("%s", inside)
            yield Row(whole, "own_indirect", dict(_INJECTION), f"command in {template}")
            said = _fill(rng.choice(orders), rng) if rng.random() < 0.8 else ""
            whole = _fill(template, rng).replace("%s", said)
            yield Row(whole, "own_documents", dict(_HARMLESS), template)


def _fill(template: str, rng: random.Random) -> str:
    """A template with its slots filled; a capitalised slot begins a sentence, a slot may hold one.

    Doubled braces stand for themselves.
    """

    def word(match: re.Match[str]) -> str:
        slot = match.group(1)
        chosen = rng.choice(_PARTS["slots"].get(slot.lower()) or SLOTS[slot.lower()])
        return chosen[:1].upper() + chosen[1:] if slot[0].isupper() else chosen

    marked = template.replace("{{", "\0").replace("}}", "\1")
    return _SLOT.sub(word, marked).replace("\0", "{").replace("\1", "}")


def _varied(text: str, rng: random.Random) -> str:
    chance = rng.random()
    if chance < 0.15:
        text = text.lower()
    elif chance < 0.18:
        text = text.upper()
    if rng.random() < 0.15:
        text = text.rstrip(".?")
    return rng.choice(_BESIDE) + text


_SIGNS = {"a": "@4", "e": "3", "i": "1!", "o": "0", "s": "$5", "t": "7"}


def _garbled(text: str, rng: random.Random) -> str:
    """Doubled, dropped and exchanged letters in a few words, or signs for letters throughout."""
    if rng.random() < 0.3:
        return "".join(
            rng.choice(_SIGNS[c.lower()]) if c.lower() in _SIGNS and rng.random() < 0.4 else c
            for c in text
        )
    return " ".join(
        _mistyped(word, rng) if len(word) > 3 and rng.random() < 0.25 else word
        for word in text.split(" ")
    )


def _mistyped(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word) - 1)
    return rng.choice(
        (
            word[:at] + word[at] * 3 + word[at + 1 :],
            word[:at] + word[at + 1 :],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + "*" + word[at + 1 :],
        )
    )
