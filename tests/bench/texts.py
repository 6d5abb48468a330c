"""What the benchmark says and hears: ordinary chat in plain English, no two texts alike.

Detectors may remember texts that they have seen, so every prompt and every answer carries a word of
its own; it has letters only, lest a rule take it for a number that means something.
"""

from __future__ import annotations

import random

PROMPT_SENTENCES = 4
ANSWER_SENTENCES = 13
MARK_LETTERS = 6
ENDING = "So much about"

_LETTERS = "bcdfghklmnprstvz"

_ASKED = (
    "Could you help me plan a quiet weekend in a small town near the sea",
    "I would like to learn how to bake bread with a sourdough starter at home",
    "Please explain how the tides depend on the moon and on the shape of a bay",
    "My daughter is preparing a talk about bees and needs three simple examples",
    "We are moving to a new flat in March and have to sort hundreds of books",
    "What should I look at before buying a used bicycle from a neighbour",
    "I am writing a short note to thank a colleague who helped me last month",
    "Tell me which vegetables can be planted in April when the nights are still cold",
    "Our team meets on Mondays and the meeting always takes longer than planned",
    "How does a heat pump warm a house when the air outside is freezing",
    "Give me a few ideas for a birthday dinner that can be cooked a day ahead",
    "I have twenty minutes each evening and want to get better at playing chess",
    "Compare taking the train with driving for a trip of about four hours",
    "Please keep the answer short and give the steps in the order I need them",
    "I have tried this twice already and each time the result was a little different",
    "It would help to know which part matters most and which part can wait",
)
_SAID = (
    "Start with the simplest version and change only one thing at a time",
    "Most people find that the first attempt takes longer than the ones after it",
    "A good rule is to leave some room for what you did not expect",
    "If the weather turns, the museum by the harbour is open until six",
    "You can keep the dough in the fridge overnight, which makes it easier to handle",
    "Write the list by hand, because it is easier to cross things out",
    "The moon pulls the water on the near side a little more than the solid earth",
    "Bees show one another where flowers are by dancing on the comb",
    "Look at the chain, the brakes and the rims before you talk about the price",
    "Spinach, peas and broad beans do not mind a light frost in spring",
    "An agenda with times next to each point usually saves a quarter of an hour",
    "The pump moves heat rather than making it, so it needs less energy than a heater",
    "A stew tastes better on the second day and leaves you free to talk to your guests",
    "Ten minutes of puzzles every day teach more than one long game on Sunday",
    "The train lets you read, while the car is cheaper when four people travel",
    "Put the heavy books at the bottom of the box and fill the gaps with paper",
    "When you are done, step back and see whether anything is missing",
    "It is worth asking someone who has done it before, even if only for a minute",
    "Small steps are easier to repeat, and what is repeated becomes a habit",
    "Let me know how it went and we can adjust the plan together",
)


def mark(number: int) -> str:
    """A made-up word that is another for every number below 16.7 million."""
    letters = []
    for _ in range(MARK_LETTERS):
        number, rest = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[rest])
    return "".join(letters)


def prompt(rng: random.Random, word: str) -> str:
    """About sixty words."""
    return f"{'. '.join(rng.sample(_ASKED, PROMPT_SENTENCES))}. My name for it is {word}."


def answer(rng: random.Random, word: str) -> str:
    """About two hundred words."""
    return f"{'. '.join(rng.sample(_SAID, ANSWER_SENTENCES))}. {ENDING} {word}."
