"""What became of a family of streams in one window: what has been won, what is in alarm?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from monitoring.drift import evidence, family
from monitoring.drift.evidence import Evidence, Floats
from monitoring.drift.family import Stream

Arrays = Mapping[str, NDArray[Any]]


class Part(Struct, frozen=True):
    """Streams that are tested alike: what each alternative won in this window, its weight."""

    streams: tuple[Stream, ...]
    log_gains: Floats
    log_weights: Floats


class Finding(Struct, frozen=True):
    """Where one stream stands. `since` is the number of the window in which the change began.

    `strength` is what has been won against what one stream alone needs, in logarithms: at 0 and
    above it is in alarm. `explained_by` names the alarm that inhibits this one.
    """

    stream: Stream
    alarmed: bool
    strength: float
    since: int
    explained_by: Stream | None


def advance(
    parts: Sequence[Part], before: Arrays | None, *, window: int, opens: bool
) -> tuple[Arrays, list[Finding]]:
    """Take one more window; the new state to keep, and each stream's finding.

    `before` is the state after the window before, or None at the start. A pure function: the same
    window on the same state gives the same, so a run that is repeated counts nothing twice.
    """
    state: dict[str, NDArray[Any]] = {}
    streams: tuple[Stream, ...] = ()
    totals, began = [], []
    for number, part in enumerate(parts):
        old = (
            evidence.nothing(part.log_gains.shape, window)
            if before is None
            else Evidence(*(before[f"{name}{number}"] for name in Evidence.__struct_fields__))
        )
        new = evidence.add(old, part.log_gains, window=window, opens=opens, log_cap=family.LOG_CAP)
        state |= {f"{name}{number}": getattr(new, name) for name in Evidence.__struct_fields__}
        totals.append(evidence.log_total(new, part.log_weights))
        began.append(evidence.onset(new, part.log_weights))
        streams += part.streams
    weights = family.log_weights(streams)
    total = np.concatenate(totals)
    was = None if before is None else np.asarray(before["alarmed"], dtype=bool)
    alarmed = family.alarms(total, weights, before=was)
    state["alarmed"] = alarmed
    explained = family.inhibited(streams, alarmed)
    strength = total - family.log_thresholds(weights)
    since = np.concatenate(began)
    findings = [
        Finding(*row)
        for row in zip(
            streams, alarmed.tolist(), strength.tolist(), since.tolist(), explained, strict=True
        )
    ]
    return state, findings
