"""Is the candidate better than the champion on the same prompts, and worse in nothing else?

It asks both models everything: the held-out rows, prompts that only sound harmful, prompts that
are, the same sentence about different people, and questions whose passage holds the answer. Only
numbers come out; `gates.py` judges them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml
from msgspec import Struct

from guardrails.grounding.support import Evidence
from guardrails.prompt.render import Template, render
from guardrails.text.sentences import sentences
from guardrails.types import Passage
from monitoring.retraining.duplicates import canonical
from monitoring.retraining.paired import paired
from monitoring.retraining.plan import Measure, Plan
from monitoring.retraining.refusals import declines
from monitoring.retraining.rows import Row

PROMPTS = Path(__file__).parent / "data" / "prompts.yaml"

Messages = Sequence[dict[str, str]]


class Said(Protocol):
    """An answer with what it cost."""

    text: str
    tokens: int
    seconds: float


class Asked(Protocol):
    """A model that can be asked."""

    def losses(self, rows: Sequence[Row], most_tokens: int) -> list[float | None]:
        """The mean loss on each answer."""
        ...

    def answers(self, prompts: Sequence[Messages], most_tokens: int) -> Iterator[Sequence[Any]]:
        """Answers, some at a time."""
        ...


class Harm(Struct, frozen=True):
    """What our detectors say of an answer: whether it is to be flagged, and how abusive it is."""

    flagged: bool
    abuse: float


Judge = Callable[[Sequence[str]], Sequence[Harm]]
Told = Callable[[str, int, int], None]


class Prompt(Struct, frozen=True):
    """One thing to ask. `group` ties together what differs only in whom it is about."""

    kind: str
    messages: Messages
    reference: str | None = None
    passages: tuple[Passage, ...] = ()
    group: str = ""


def prompts_of(plan: Plan, held_out: Sequence[Row], template: Template) -> list[Prompt]:
    """All prompts of an evaluation, at most `plan.prompts` of each kind."""
    data = yaml.safe_load(PROMPTS.read_text(encoding="utf-8"))
    most = plan.prompts
    found = [
        Prompt("held out", row.messages, row.answer, _passages(row.passages), row.conversation)
        for row in held_out[:most]
    ]
    for kind in ("safe", "harmful"):
        found += [
            Prompt(kind, render(template, [_user(text)]), group=text) for text in data[kind][:most]
        ]
    groups = data["bias"]["groups"]
    pairs = [pair for pair in zip(groups[::2], groups[1::2], strict=True)]
    for number in range(min(most, len(pairs) * len(data["bias"]["templates"]))):
        sentence = data["bias"]["templates"][number % len(data["bias"]["templates"])]
        for name in pairs[(number + number // 8) % len(pairs)]:
            messages = render(template, [_user(sentence.format(name))])
            found.append(Prompt("bias", messages, group=f"{number}: {sentence}"))
    for row in data["grounded"][:most]:
        passages = _passages([row])
        messages = render(template, [_user(row["question"])], passages)
        found.append(Prompt("grounded", messages, passages=passages, group=row["title"]))
    return found


def measure(
    plan: Plan,
    held_out: Sequence[Row],
    template: Template,
    candidate: Asked,
    champion: Asked,
    judge: Judge,
    told: Told,
) -> list[Measure]:
    """Everything that gates ask for, and perplexity besides.

    The models take turns, some prompts at a time, so that a busy minute slows both.
    """
    prompts = prompts_of(plan, held_out, template)
    sides = _both(plan, prompts, candidate, champion, told)
    harms = [list(judge([said.text for said in side])) for side in sides]
    losses = [model.losses(held_out, plan.tokens) for model in (candidate, champion)]
    known = [i for i, pair in enumerate(zip(*losses, strict=True)) if None not in pair]
    mean_losses = [[side[i] or 0.0 for i in known] for side in losses]
    conversations = [held_out[i].conversation for i in known]
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, prompt in enumerate(prompts):
        numbers[prompt.kind].append(number)
        if prompt.passages and prompt.kind != "grounded":
            numbers["grounded"].append(number)

    def compared(
        name: str, unit: str, better: str, kind: str, value: Callable[[int, int], float]
    ) -> Measure:
        rows = numbers[kind]
        each = [[value(side, row) for row in rows] for side in (0, 1)]
        return paired(
            name, unit, better, *each, clusters=[prompts[r].group for r in rows], seed=plan.seed
        )

    numbers["risky"] = [*numbers["held out"], *numbers["harmful"]]
    numbers["all"] = list(range(len(prompts)))
    speed = [sum(said.seconds for said in side) / sum(s.tokens for s in side) for side in sides]
    return [
        paired(
            "held-out loss", "nats a token", "lower", *mean_losses, clusters=conversations,
            seed=plan.seed,
        ),
        compared(
            "answer overlap", "F1", "higher", "held out",
            lambda side, row: overlap(sides[side][row].text, prompts[row].reference or ""),
        ),
        compared(
            "harmful answers", "share", "lower", "risky",
            lambda side, row: float(harms[side][row].flagged),
        ),
        compared(
            "groundedness", "share", "higher", "grounded",
            lambda side, row: grounded(sides[side][row].text, prompts[row].passages),
        ),
        _bias(plan, prompts, numbers["bias"], harms),
        compared(
            "safe prompts refused", "share", "lower", "safe",
            lambda side, row: float(declines(sides[side][row].text)),
        ),
        compared(
            "seconds a token", "of the champion's", "lower", "all",
            lambda side, row: sides[side][row].seconds / sides[side][row].tokens / speed[1],
        ),
    ]  # fmt: skip


def overlap(answer: str, reference: str) -> float:
    """The F1 of the words that both have, as often as both have them."""
    said, wanted = Counter(canonical(answer).split()), Counter(canonical(reference).split())
    common = (said & wanted).total()
    return 2 * common / (said.total() + wanted.total()) if common else 0.0


def grounded(answer: str, passages: Sequence[Passage]) -> float:
    """The mean support of an answer's sentences; an empty answer says nothing that is borne out."""
    evidence = Evidence(passages)
    found = [evidence.support(answer[start:end])[0] for start, end in sentences(answer)]
    return sum(found) / len(found) if found else 0.0


def _bias(
    plan: Plan, prompts: Sequence[Prompt], rows: Sequence[int], harms: Sequence[Sequence[Harm]]
) -> Measure:
    """How far apart the abuse scores of a pair are, for each of the two models."""
    pairs: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        pairs[prompts[row].group].append(row)
    gaps = [
        [abs(side[one].abuse - side[other].abuse) for one, other in pairs.values()]
        for side in harms
    ]
    return paired("bias gap", "score", "lower", *gaps, clusters=list(pairs), seed=plan.seed)


def _both(
    plan: Plan, prompts: Sequence[Prompt], candidate: Asked, champion: Asked, told: Told
) -> tuple[list[Said], list[Said]]:
    messages = [prompt.messages for prompt in prompts]
    sides: tuple[list[Said], list[Said]] = ([], [])
    turns = [model.answers(messages, plan.answer_tokens) for model in (candidate, champion)]
    for parts in zip(*turns, strict=True):
        for side, part in zip(sides, parts, strict=True):
            side += part
        told("answers", len(sides[1]), len(prompts))
    return sides


def _passages(rows: Sequence[dict[str, Any]]) -> tuple[Passage, ...]:
    return tuple(
        Passage(number, "", "", row["title"], "", row["text"], 1.0)
        for number, row in enumerate(rows, start=1)
    )


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}
