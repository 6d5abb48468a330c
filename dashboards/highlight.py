"""Which parts of a text were found by which labels, cut so that they can be shown side by side."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from msgspec import Struct


class Span(Struct, frozen=True):
    """A found part of a text: character offsets, `end` not included, and what it was found as."""

    start: int
    end: int
    label: str


class Run(Struct, frozen=True):
    """A stretch of text under one set of labels; none where nothing was found."""

    text: str
    labels: tuple[str, ...] = ()


def runs(text: str, spans: Iterable[Span]) -> list[Run]:
    """`text` cut at the borders of its spans; the runs' texts joined are `text` again.

    Limits: offsets beyond the text are brought back to it; a span of no length is left out.
    Cost:   sorting the borders, then one look at each border's labels.
    """
    inside = [
        Span(start, end, span.label)
        for span in spans
        if (start := max(0, span.start)) < (end := min(len(text), span.end))
    ]
    changes: dict[int, list[tuple[int, str]]] = {0: [], len(text): []}
    for span in inside:
        changes.setdefault(span.start, []).append((1, span.label))
        changes.setdefault(span.end, []).append((-1, span.label))
    borders = sorted(changes)
    open_counts: dict[str, int] = {}
    result: list[Run] = []
    for start, end in pairwise(borders):
        for step, label in changes[start]:
            open_counts[label] = open_counts.get(label, 0) + step
        labels = tuple(sorted(label for label, count in open_counts.items() if count > 0))
        if result and result[-1].labels == labels:
            result[-1] = Run(result[-1].text + text[start:end], labels)
        else:
            result.append(Run(text[start:end], labels))
    return result
