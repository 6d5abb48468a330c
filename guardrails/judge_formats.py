"""How is each kind of judge asked, and what does its answer mean?

A format makes the bodies of requests and reads the answers; it sends nothing. The texts to be
judged are data: their control tokens and the marks of the prompt around them are neutralised.

Source: docs/models/judge.md, which names where each format is specified.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from guardrails.asking import Unusable
from guardrails.prompt.control_tokens import neutralise
from guardrails.prompt.render import Template, render
from guardrails.types import Stage

Api = Literal["chat", "completions"]
Question = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """A judge's answer: its text, and for each of its tokens the log-probabilities of the best.

    `tokens` is empty where the server gave none.
    """

    text: str
    tokens: Sequence[tuple[str, Mapping[str, float]]] = ()


class Format(Protocol):
    """How a judge is asked about one text: one request, or several."""

    labels: tuple[str, ...]
    identity: str
    """All that the scores depend on besides the model."""

    def questions(self, text: str, side: Stage, before: str = "") -> list[Question]:
        """The bodies of the requests, without the model; an answer stands after what was asked."""
        ...

    def scores(self, said: Sequence[Said]) -> list[float]:
        """One score a label, from the answers to the questions. Errors: Unusable."""
        ...


class LlamaGuard:
    """Llama Guard 3: `safe`, or `unsafe` and the categories.

    `unsafe` is scored with the probability of that word, where the server gives it, else 1 or 0; a
    category with the same where it was named, else 0.
    Over `chat` the server's own chat template writes the prompt; over `completions` we write it.
    """

    CATEGORIES: Mapping[str, str] = {
        "S1": "Violent Crimes",
        "S2": "Non-Violent Crimes",
        "S3": "Sex Crimes",
        "S4": "Child Exploitation",
        "S5": "Defamation",
        "S6": "Specialized Advice",
        "S7": "Privacy",
        "S8": "Intellectual Property",
        "S9": "Indiscriminate Weapons",
        "S10": "Hate",
        "S11": "Self-Harm",
        "S12": "Sexual Content",
        "S13": "Elections",
        "S14": "Code Interpreter Abuse",
    }
    MOST_TOKENS = 64

    def __init__(self, api: Api) -> None:
        self._api = api
        self.labels = ("unsafe", *self.CATEGORIES)
        self.identity = f"llama_guard {api}"

    def questions(self, text: str, side: Stage, before: str = "") -> list[Question]:
        """One request. An answer is judged as the agent's, all else as the user's."""
        said, asked = (neutralise(one, ("begin", "end")) for one in (text, before))
        agent = side is Stage.OUTPUT
        if self._api == "completions":
            prompt = self._prompt(said, agent, asked.strip())
            return [{"prompt": prompt, "max_tokens": self.MOST_TOKENS}]
        turns = [{"role": "user", "content": asked if agent else said}]
        if agent:
            # The template takes the last turn's role from the number of turns.
            turns.append({"role": "assistant", "content": said})
        return [{"messages": turns, "max_tokens": self.MOST_TOKENS}]

    def scores(self, said: Sequence[Said]) -> list[float]:
        """The scores of `unsafe` and of each category."""
        (one,) = said
        lines = [line.strip() for line in one.text.strip().splitlines() if line.strip()]
        verdict = lines[0].lower() if lines else ""
        if verdict == "safe" and len(lines) == 1:
            named: set[str] = set()
        elif verdict == "unsafe" and len(lines) == 2:
            named = {category.strip().upper() for category in lines[1].split(",")}
            if not named <= self.CATEGORIES.keys():
                raise Unusable("named a category that there is not")
        else:
            raise Unusable("answered neither `safe` nor `unsafe` with its categories")
        unsafe = _share(one, "unsafe", "safe", verdict == "unsafe")
        return [unsafe, *(unsafe if name in named else 0.0 for name in self.CATEGORIES)]

    def _prompt(self, said: str, agent: bool, asked: str) -> str:
        # No <|begin_of_text|>: servers put it before a prompt themselves.
        role = "Agent" if agent else "User"
        before = f"User: {asked}\n\n" if agent and asked else ""
        categories = "".join(f"{key}: {name}.\n" for key, name in self.CATEGORIES.items())
        return (
            "<|start_header_id|>user<|end_header_id|>\n\n"
            f"Task: Check if there is unsafe content in '{role}' messages in conversations "
            "according our safety policy with the below categories.\n\n"
            f"<BEGIN UNSAFE CONTENT CATEGORIES>\n{categories}<END UNSAFE CONTENT CATEGORIES>\n\n"
            f"<BEGIN CONVERSATION>\n\n{before}{role}: {said.strip()}\n\n<END CONVERSATION>\n\n"
            f"Provide your safety assessment for ONLY THE LAST {role} message in the above "
            "conversation:\n"
            " - First line must read 'safe' or 'unsafe'.\n"
            " - If unsafe, a second line must include a comma-separated list of violated "
            "categories.<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        )


class ShieldGemma:
    """ShieldGemma: is this guideline violated, Yes or No? One request for each label.

    The score is P(Yes) / (P(Yes) + P(No)) of the first word where the server gives it, else 1 or 0.
    Over `chat` the server's own template writes the prompt, and must take `guideline` from
    `chat_template_kwargs` as vLLM's does; over `completions` we write it.
    """

    GUIDELINES: Mapping[str, str] = {
        "dangerous_content": '"No Dangerous Content": {} content that harming oneself and/or '
        "others (e.g., accessing or building firearms and explosive devices, promotion of "
        "terrorism, instructions for suicide).",
        "harassment": '"No Harassment": {} content that is malicious, intimidating, bullying, or '
        "abusive content targeting another individual (e.g., physical threats, denial of tragic "
        "events, disparaging victims of violence).",
        "hate_speech": '"No Hate Speech": {} content that targeting identity and/or protected '
        "attributes (e.g., racial slurs, promotion of discrimination, calls to violence against "
        "protected groups) or dehumanizing/belittling/vilifying on the bases of race, ethnicity, "
        "religion, disability, age, nationality, veteran status, sexual orientation, gender, "
        "gender identity, caste, or any other protected status. We do allow content that includes "
        "a reference to a protected individual or group in a positive manner.",
        "sexually_explicit": '"No Sexually Explicit Information": {} content that contains '
        "references to sexual acts or other lewd content (e.g., sexually graphic descriptions, "
        "content aimed at causing arousal). Medical or scientific terms related to human anatomy "
        "or sex education are permitted.",
    }
    MOST_TOKENS = 4
    _ASKED = "The prompt shall not contain or seek generation of"
    _ANSWERED = "The chatbot shall not generate"

    def __init__(self, api: Api, guidelines: Mapping[str, str] | None = None) -> None:
        """`guidelines` are one's own, by label; `{}` in one stands for who shall not do what."""
        self._api = api
        self._guidelines = dict(guidelines or self.GUIDELINES)
        self.labels = tuple(self._guidelines)
        self.identity = f"shieldgemma {api} {json.dumps(self._guidelines)}"

    def questions(self, text: str, side: Stage, before: str = "") -> list[Question]:
        """One request for each label."""
        said, asked = neutralise(text).strip(), neutralise(before).strip()
        agent = side is Stage.OUTPUT
        rules = [
            guideline.replace("{}", self._ANSWERED if agent else self._ASKED)
            for guideline in self._guidelines.values()
        ]
        shared = {"max_tokens": self.MOST_TOKENS}
        if self._api == "completions":
            return [{"prompt": self._prompt(said, agent, rule, asked), **shared} for rule in rules]
        turns = [{"role": "user", "content": asked if agent else said}]
        if agent:
            turns.append({"role": "assistant", "content": said})
        return [
            {"messages": turns, "chat_template_kwargs": {"guideline": rule}, **shared}
            for rule in rules
        ]

    def scores(self, said: Sequence[Said]) -> list[float]:
        """One score a label."""
        return [yes_share(one) for one in said]

    def _prompt(self, said: str, agent: bool, rule: str, asked: str) -> str:
        what = "an AI response to prompt" if agent else "a user prompt"
        turn = "Chatbot Response" if agent else "Human Question"
        whose = "Chatbot Response" if agent else "human question"
        question = f"<start_of_turn>\nHuman Question: {asked}\n<end_of_turn>\n\n"
        before = question if agent else ""
        return (
            f"You are a policy expert trying to help determine whether {what} is in violation of "
            "the defined safety policies.\n\n"
            f"{before}<start_of_turn>\n{turn}: {said}\n<end_of_turn>\n\n"
            f"Our safety principle is defined in the below:\n\n* {rule}\n\n===\n\n"
            f"Does the {whose} violate the above principle? Your answer must start with 'Yes' or "
            "'No'. And then walk through step by step to be sure we answer correctly.\n\n"
        )


class OwnPrompt:
    """A prompt of one's own, answered with JSON (a score for every label) or with yes or no.

    The template has the blocks `system` and `user` and the variable `question`, and may do what
    guardrails/prompt/render.py allows.
    """

    def __init__(
        self,
        template: Template,
        labels: Sequence[str],
        *,
        answer: Literal["json", "yes_no"],
        most_tokens: int,
    ) -> None:
        self.labels = tuple(labels)
        self.identity = f"{answer} {template.hash} {json.dumps(self.labels)}"
        self._template = template
        self._answer = answer
        self._most_tokens = most_tokens

    def questions(self, text: str, side: Stage, before: str = "") -> list[Question]:
        """One request. Errors: BadRequest for a text that makes too long a prompt.

        It reads the text alone: a template that wants the question too has no place for it.
        """
        messages = render(self._template, [{"role": "user", "content": text}])
        return [{"messages": messages, "max_tokens": self._most_tokens}]

    def scores(self, said: Sequence[Said]) -> list[float]:
        """One score a label."""
        (one,) = said
        if self._answer == "yes_no":
            return [yes_share(one)]
        try:
            found = json.loads(_unfenced(one.text))
        except (ValueError, RecursionError):
            raise Unusable("did not answer with JSON") from None
        if not isinstance(found, dict):
            raise Unusable("did not answer with a JSON object")
        return [_score(found.get(label), label) for label in self.labels]


def yes_share(said: Said) -> float:
    """The probability of yes against no. Errors: Unusable where the first word is neither."""
    words = re.findall(r"[^\W_]+", said.text)
    word = words[0].lower() if words else ""
    if word not in ("yes", "no"):
        raise Unusable("answered neither yes nor no")
    return _share(said, "yes", "no", word == "yes")


def _share(said: Said, this: str, other: str, fallback: bool) -> float:
    """The probability of the word `this` against `other` where the first word begins.

    A word may be several tokens, so each token that begins the word counts; where the server gave
    no probabilities, 1 or 0.
    """
    for token, best in said.tokens:
        if not token.strip():
            continue
        shares = {this: 0.0, other: 0.0}
        for candidate, logprob in best.items():
            start = candidate.strip().lower()
            for word in shares:
                if start and word.startswith(start):
                    shares[word] += math.exp(min(logprob, 0.0))
        whole = sum(shares.values())
        return shares[this] / whole if whole else float(fallback)
    return float(fallback)


def _unfenced(text: str) -> str:
    match = re.fullmatch(r"\s*```(?:json)?\s*(.*?)\s*```\s*", text, re.DOTALL)
    return match[1] if match else text


def _score(value: object, label: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise Unusable(f"answered without a score between 0 and 1 for {label}")
    return float(value)
