"""What is a metric? A name, what it means, its samples, and how those of several workers add up.

Names follow Prometheus's conventions: base units, `_total` for what only grows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

SECONDS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""Upper bounds of the buckets of every histogram of times."""

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[tuple[str, str], ...]


class Sample(Struct, frozen=True):
    """One number; `suffix` is what its name adds to that of its family."""

    suffix: str
    labels: Labels
    value: float


class Family(Struct, frozen=True):
    """One metric with all of its samples. `worst`: of several workers' values the most counts."""

    name: str
    kind: Kind
    help: str
    samples: tuple[Sample, ...]
    worst: bool = False


class Histogram:
    """How often a time fell into each bucket. Cost: a third of a microsecond to observe."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one time."""
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.sum += seconds

    def samples(self, labels: Labels) -> Iterable[Sample]:
        """The cumulative buckets, the count and the sum."""
        total = 0
        for bound, count in zip((*SECONDS, float("inf")), self.counts, strict=True):
            total += count
            told = "+Inf" if bound == float("inf") else repr(bound)
            yield Sample("_bucket", (*labels, ("le", told)), float(total))
        yield Sample("_count", labels, float(total))
        yield Sample("_sum", labels, self.sum)


def counter(
    name: str, meaning: str, names: Sequence[str], values: Mapping[tuple[str, ...], float]
) -> Family:
    """A counter from its values by labels."""
    samples = [
        Sample("_total", tuple(zip(names, key, strict=True)), float(value))
        for key, value in sorted(values.items())
    ]
    return Family(name, "counter", meaning, tuple(samples))


def gauge(
    name: str,
    meaning: str,
    names: Sequence[str],
    values: Mapping[tuple[str, ...], float],
    *,
    worst: bool = False,
) -> Family:
    """A gauge from its values by labels."""
    samples = [
        Sample("", tuple(zip(names, key, strict=True)), float(value))
        for key, value in sorted(values.items())
    ]
    return Family(name, "gauge", meaning, tuple(samples), worst)


def histogram(
    name: str, meaning: str, names: Sequence[str], values: Mapping[tuple[str, ...], Histogram]
) -> Family:
    """A histogram from its times by labels."""
    samples = [
        sample
        for key, one in sorted(values.items())
        for sample in one.samples(tuple(zip(names, key, strict=True)))
    ]
    return Family(name, "histogram", meaning, tuple(samples))


def merged(parts: Iterable[Sequence[Family]]) -> list[Family]:
    """The families of several workers as one: sums, or the most where they do not add up."""
    first: dict[str, Family] = {}
    values: dict[str, dict[tuple[str, Labels], float]] = {}
    for families in parts:
        for family in families:
            first.setdefault(family.name, family)
            seen = values.setdefault(family.name, {})
            for one in family.samples:
                key, before = (one.suffix, one.labels), seen.get((one.suffix, one.labels))
                if before is None:
                    seen[key] = one.value
                else:
                    seen[key] = max(before, one.value) if family.worst else before + one.value
    return [
        Family(
            family.name,
            family.kind,
            family.help,
            tuple(Sample(*key, value) for key, value in values[family.name].items()),
            family.worst,
        )
        for family in first.values()
    ]
