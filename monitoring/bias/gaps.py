"""Which group's or language's rate lies apart from the others', beyond chance and by how much?

A group is held against the exchanges that name other groups and not against all: a text about
people is another thing than one about parcels. A language is held against all other languages.
A gap is no proof of bias: some groups are attacked more often, and to block that is right. It says
where a person should look.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from monitoring.bias.counts import RATES, Counted
from monitoring.comparisons import Difference, difference, holm
from monitoring.intervals import wilson
from monitoring.types import Figure, Status

MIN_N = 100
"""Fewer exchanges than this, on either side, say nothing."""
TOLERATED = 0.01
"""A gap that may be as small as one percentage point is not called."""
ALPHA = 0.05


class Gap(Struct, frozen=True):
    """One rate of one group or language, and how far it lies from the rest.

    `p` is corrected (Holm) for all gaps of the window. `status`: DRIFT where the gap is beyond
    chance and beyond TOLERATED, NO_DATA where it could not be judged.
    """

    kind: str
    name: str
    rate: str
    hits: int
    n: int
    rest_hits: int
    rest_n: int
    apart: Difference | None = None
    p: float | None = None
    status: Status = Status.NO_DATA

    @property
    def share(self) -> float | None:
        """The rate itself."""
        return self.hits / self.n if self.n else None


def gaps(counted: Sequence[Counted]) -> list[Gap]:
    """Every rate of every group and language, in the order given."""
    found: list[Gap] = []
    for one in counted:
        if one.kind == "any group":
            continue
        whole = _whole(counted, one.kind)
        for rate in RATES:
            hits, n = one.hits[rate], one.of[rate]
            rest_hits, rest_n = whole.hits[rate] - hits, whole.of[rate] - n
            enough = min(n, rest_n) >= MIN_N
            apart = difference(hits, n, rest_hits, rest_n) if enough else None
            found.append(Gap(one.kind, one.name, rate, hits, n, rest_hits, rest_n, apart))
    corrected = iter(holm([gap.apart.p for gap in found if gap.apart is not None]))
    return [gap if gap.apart is None else _judged(gap, gap.apart, next(corrected)) for gap in found]


def figures(found: Sequence[Gap]) -> tuple[Figure, ...]:
    """Two figures for each: the rate with its interval, and the gap with its own."""
    made: list[Figure] = []
    family = sum(gap.apart is not None for gap in found)
    for gap in found:
        name = f"{gap.rate} rate of {gap.kind} {gap.name}"
        low, high = wilson(gap.hits, gap.n) or (None, None)
        status = Status.OK if gap.n >= MIN_N else Status.NO_DATA
        value = gap.share if status is Status.OK else None
        made.append(Figure(name, value, "share", gap.n, status, low, high))
        if gap.apart is not None:
            note = (
                f"the rest: {gap.rest_hits:,} of {gap.rest_n:,}; p = {gap.p:.3g}"
                f" after Holm's correction for {family} gaps"
            )
            made.append(
                Figure(
                    f"{gap.rate} gap of {gap.kind} {gap.name}",
                    gap.apart.value,
                    "points",
                    gap.n,
                    gap.status,
                    gap.apart.low,
                    gap.apart.high,
                    TOLERATED if gap.apart.value >= 0 else -TOLERATED,
                    note,
                )
            )
    return tuple(made)


def _judged(gap: Gap, apart: Difference, p: float) -> Gap:
    far = apart.low > TOLERATED or apart.high < -TOLERATED
    status = Status.DRIFT if far and p < ALPHA else Status.OK
    return structs.replace(gap, p=p, status=status)


def _whole(counted: Sequence[Counted], kind: str) -> Counted:
    """All that a group or language is a part of."""
    if kind == "group":
        return next(one for one in counted if one.kind == "any group")
    of_kind = [one for one in counted if one.kind == kind]
    hits = {rate: sum(one.hits[rate] for one in of_kind) for rate in RATES}
    of = {rate: sum(one.of[rate] for one in of_kind) for rate in RATES}
    return Counted(kind, "all", sum(one.n for one in of_kind), hits, of)
