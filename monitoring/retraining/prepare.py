"""How do candidates become a dataset: redacted, without doubles, balanced, split, rendered, hashed?

Nothing here is left to chance or to the clock: the same candidates and plan give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from guardrails.detectors import Finder
from guardrails.errors import ConfigError
from guardrails.exchange_log.private_body import NOT_RECORDED, NOT_SCANNED
from guardrails.prompt.render import Template, render
from monitoring.retraining.candidates import Candidate
from monitoring.retraining.card import Card, write_card
from monitoring.retraining.duplicates import canonical, groups, near_pairs
from monitoring.retraining.plan import Plan, Prepared
from monitoring.retraining.rows import HELD_OUT, TRAIN, Row, encoded

PERSONAL = ("personal_data", "secret")
"""The labels of the patterns detector whose spans never reach a row."""

_MASK = re.compile(r"\[([\w .-]+)\]·+|·{3,}")

Redact = Callable[[str], str]


def redactor(finder: Finder) -> Redact:
    """Puts `[label]` in the place of personal data and secrets, and of masks that stand already."""

    def redact(text: str) -> str:
        spans = sorted(
            (hit.start, hit.end, hit.evidence or hit.label)
            for hit in finder.find(text)
            if hit.label in PERSONAL and hit.start is not None and hit.end is not None
        )
        pieces: list[str] = []
        position = 0
        for start, end, name in spans:
            if end > position:
                pieces += text[position : max(start, position)], f"[{name}]"
                position = end
        return _MASK.sub(lambda m: f"[{m[1] or 'removed'}]", "".join(pieces) + text[position:])

    return redact


def prepare(
    plan: Plan,
    candidates: Sequence[Candidate],
    template: Template,
    redact: Redact,
    into: Path,
    *,
    left_out: Mapping[str, int] = {},
) -> Prepared:
    """Write the dataset of a plan and its card.

    Errors: ConfigError where fewer than `least_rows` are left, or nothing to hold out.
    """
    dropped: dict[str, int] = defaultdict(int, left_out)
    chosen = []
    for candidate in candidates:
        target, fault = target_of(candidate, plan.refusal)
        if target is None:
            dropped[fault] += 1
        else:
            chosen.append((redacted(candidate, redact), redact(target), fault))
    rows = [
        Row(
            id=candidate.id,
            conversation=candidate.conversation,
            kind=kind,
            source=candidate.source,
            messages=render(template, candidate.messages, candidate.passages),
            answer=answer,
            passages=[{"title": p.title, "text": p.text} for p in candidate.passages],
        )
        for candidate, answer, kind in chosen
    ]
    questions = [candidate.messages[-1]["content"] for candidate, _, _ in chosen]
    kept = without_doubles(rows, questions, plan.near, dropped)
    rows, questions = [rows[i] for i in kept], [questions[i] for i in kept]
    together = conversations(rows, questions, plan.near)
    balanced = balance(rows, plan, dropped)
    held = held_out(balanced, together, plan.held_out_share)
    train = [row for row in balanced if row.id not in held]
    kept_out = [row for row in balanced if row.id in held]
    if len(balanced) < plan.least_rows or not kept_out or not train:
        said = ", ".join(f"{count} {why}" for why, count in sorted(dropped.items())) or "none"
        raise ConfigError(
            f"{len(train)} rows to train on and {len(kept_out)} held out; a run needs "
            f"{plan.least_rows}, and some of both. Left out: {said}. Label more exchanges."
        )
    into.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    for name, part in ((TRAIN, train), (HELD_OUT, kept_out)):
        written = encoded(part)
        (into / name).write_bytes(written)
        digest.update(name.encode() + hashlib.sha256(written).digest())
    prepared = Prepared(str(into), digest.hexdigest(), len(train), len(kept_out), template.hash)
    write_card(into, Card.of(plan, prepared, template.label, train, kept_out, dropped))
    return prepared


def target_of(candidate: Candidate, refusal: str) -> tuple[str | None, str]:
    """What the model should have said and the kind of row, or None and why there is no row."""
    texts = [message["content"] for message in candidate.messages] + [candidate.answer]
    if any(NOT_RECORDED in text or NOT_SCANNED in text for text in texts):
        return None, "not recorded"
    if candidate.input_harmful:
        return refusal, "refusal"
    if candidate.output_harmful:
        return None, "harmful answer"
    if candidate.input_harmful is None and candidate.output_harmful is None:
        return None, "reviewers disagree"
    if candidate.blocked and candidate.output_harmful is None:
        return None, "blocked answer that nobody judged"
    if not candidate.answer.strip():
        return None, "no answer"
    return candidate.answer, "answer"


def redacted(candidate: Candidate, redact: Redact) -> Candidate:
    """The candidate without personal data."""
    return msgspec.structs.replace(
        candidate,
        messages=[{**m, "content": redact(m["content"])} for m in candidate.messages],
        passages=tuple(msgspec.structs.replace(p, text=redact(p.text)) for p in candidate.passages),
    )


def without_doubles(
    rows: Sequence[Row], questions: Sequence[str], near: float, dropped: dict[str, int]
) -> list[int]:
    """The numbers of the rows to keep: the first of each that say the same, or nearly."""
    texts = [f"{question}\n{row.answer}" for row, question in zip(rows, questions, strict=True)]
    first: dict[str, int] = {}
    for number, text in enumerate(texts):
        first.setdefault(canonical(text), number)
    unlike = sorted(first.values())
    dropped["said before"] += len(texts) - len(unlike)
    roots = groups(len(unlike), near_pairs([texts[i] for i in unlike], near))
    kept = [number for place, number in enumerate(unlike) if roots[place] == place]
    dropped["nearly said before"] += len(unlike) - len(kept)
    return kept


def conversations(rows: Sequence[Row], questions: Sequence[str], near: float) -> dict[str, str]:
    """For each row's id the group that must stay on one side: its conversation, and like questions.

    A group is named by the least of its conversations, which does not hang on what else is there.
    """
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        numbers[row.conversation].append(number)
    same = ((members[0], other) for members in numbers.values() for other in members[1:])
    pairs = [*same, *near_pairs(questions, near)]
    roots = groups(len(rows), iter(pairs))
    names: dict[int, str] = {}
    for number, row in enumerate(rows):
        root = roots[number]
        names[root] = min(names.get(root, row.conversation), row.conversation)
    return {row.id: names[roots[number]] for number, row in enumerate(rows)}


def balance(rows: Sequence[Row], plan: Plan, dropped: dict[str, int]) -> list[Row]:
    """At most `most_rows`, drawn in turn from each source and kind; refusals at most their share.

    The rows keep their order; which of a kind are taken is decided by their hashes.
    """
    refusals = _shuffled([row for row in rows if row.kind == "refusal"], plan.seed)
    answers = [row for row in rows if row.kind != "refusal"]
    share = plan.refusal_share
    most = int(len(answers) * share / (1 - share)) if answers else len(refusals)
    most = min(most, int(plan.most_rows * share)) if answers else most
    dropped["more refusals than their share"] += max(0, len(refusals) - most)
    queues: dict[str, list[Row]] = defaultdict(list)
    for row in _shuffled(answers, plan.seed):
        queues[row.source].append(row)
    room = plan.most_rows - len(refusals[:most])
    taken: list[Row] = []
    while len(taken) < room and any(queues.values()):
        for source in sorted(queues):
            if queues[source] and len(taken) < room:
                taken.append(queues[source].pop(0))
    dropped["over the budget of rows"] += len(answers) - len(taken)
    ids = {row.id for row in (*taken, *refusals[:most])}
    return [row for row in rows if row.id in ids]


def held_out(rows: Sequence[Row], together: Mapping[str, str], share: float) -> set[str]:
    """The ids of the rows to hold out: whole groups by their hash, until the share is reached.

    A group with a low hash is held out in every run that sees it, so that no later model is
    measured on what an earlier one has learned.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        members[together[row.id]].append(row.id)
    held: set[str] = set()
    for group in sorted(members, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if len(held) >= share * len(rows):
            break
        held.update(members[group])
    return held


def _shuffled(rows: Sequence[Row], seed: int) -> list[Row]:
    return sorted(
        rows, key=lambda row: hashlib.sha256(json.dumps([seed, row.id]).encode()).digest()
    )
