"""What does a day of prompts look like against the frozen reference of prompts?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from monitoring.drift import embeddings, rates
from monitoring.drift.baseline import baseline
from monitoring.drift.embeddings import Bank, Cluster, TwoSample, Usual, Vectors
from monitoring.drift.family import Stream
from monitoring.drift.watch import Arrays, Finding, Part, advance
from monitoring.drift_frames import Drawn, slices_of

MIN_PROMPTS = 500
MOST_SLICES = 20
_SEED = 384


class Seen(Struct, frozen=True):
    """One day: the share of prompts that are far from the reference, what the classifier says, and
    the crowds, largest first.
    """

    n: int
    novelty: float | None
    edges: tuple[float, float]
    two_sample: TwoSample | None
    clusters: list[Cluster]


def frozen(
    sample: Sequence[Drawn], vectors: Vectors, days: NDArray[np.int64], first_phase: int
) -> tuple[int, Arrays] | None:
    """What is normal, from the reference's prompts; `days` numbers the day of each from 0.

    None below MIN_PROMPTS, or where all are of one day.
    """
    if len(sample) < MIN_PROMPTS or len(np.unique(days)) < 2:
        return None
    bank = embeddings.bank(vectors, days)
    usual = embeddings.usual(bank, np.random.default_rng(_SEED))
    sizes = Counter(name for one in sample for name in one.slices)
    slices = slices_of(sizes.items(), least=MIN_PROMPTS, most=MOST_SLICES)
    inside = _inside(sample, slices)
    count = int(days.max()) + 1
    hits = np.array([np.bincount(days[has & bank.far], minlength=count) for has in inside])
    n = np.array([np.bincount(days[has], minlength=count) for has in inside])
    number = np.arange(count)
    normal = baseline(hits * 1.0, n * 1.0, (number + first_phase) % 7, number)
    low, high = rates.edges(normal)
    return len(sample), {
        "slices": np.array(slices),
        "vectors": vectors.astype(np.float16),
        "days": days,
        "radius": np.array(bank.radius),
        "apart": np.array(bank.apart),
        "far": bank.far,
        "usual": np.array([usual.auc, usual.spread]),
        "low": low,
        "high": high,
        "dispersion": normal.dispersion,
    }


def measure(
    arrays: Arrays,
    sample: Sequence[Drawn],
    vectors: Vectors,
    before: Arrays | None,
    *,
    window: int,
    phase: int,
) -> tuple[Arrays, list[Finding], Seen]:
    """The state to keep, each stream's finding, and what there is to show.

    Shape: `vectors` are the sample's, in the order they came. Chance is seeded by the window, so
    that the same window always gives the same.
    """
    bank = Bank(
        arrays["vectors"].astype(np.float32),
        arrays["days"],
        float(arrays["radius"]),
        tuple(arrays["apart"].tolist()),
        arrays["far"].astype(bool),
    )
    slices = arrays["slices"].tolist()
    low, high = arrays["low"][:, phase], arrays["high"][:, phase]
    inside = _inside(sample, slices)
    far = embeddings.distances(bank.vectors, vectors) > bank.radius
    hits = np.array([(has & far).sum() for has in inside], dtype=np.float64)
    n = np.array([has.sum() for has in inside], dtype=np.float64)
    rng = np.random.default_rng(window)
    some = rng.permutation(len(bank.vectors))[: max(2 * len(vectors), embeddings.LEAST)]
    told = embeddings.two_sample(bank.vectors[some], vectors, rng, Usual(*arrays["usual"].tolist()))
    crowded, places = embeddings.crowds(bank, vectors)
    others = np.array([[0.0 if told is None else told.log_e], [crowded]])
    state, findings = advance(
        [
            Part(
                tuple(Stream(3, "novelty", name) for name in slices),
                rates.log_gains(hits, n, low, high, arrays["dispersion"]),
                rates.LOG_WEIGHTS,
            ),
            Part((Stream(3, "classifier"), Stream(3, "crowds")), others, np.zeros(1)),
        ],
        before,
        window=window,
        opens=True,
    )
    clusters = embeddings.clusters(
        vectors, [one.id for one in sample], [one.started_at for one in sample], places
    )
    share = float(hits[0] / n[0]) if n[0] else None
    return (
        state,
        findings,
        Seen(len(sample), share, (float(low[0]), float(high[0])), told, clusters),
    )


def _inside(sample: Sequence[Drawn], slices: Sequence[str]) -> NDArray[np.bool_]:
    """Shape (slices, sample): which prompt lies in which slice."""
    rows = [[name in one.slices for one in sample] for name in slices]
    return np.array(rows, dtype=bool).reshape(len(slices), len(sample))
