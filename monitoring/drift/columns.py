"""How does a sample of exchanges become columns, and columns become counts by slice?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from monitoring.drift import rates, scores
from monitoring.drift.baseline import baseline
from monitoring.drift.descriptors import code_share
from monitoring.drift.evidence import Floats
from monitoring.drift.family import Stream
from monitoring.drift.scores import BINS
from monitoring.drift.watch import Arrays, Part
from monitoring.drift_frames import Drawn, slices_of

DESCRIPTORS = ("length in", "length out", "code in", "code out")
LANGUAGE = "language="
LANGUAGES = 4
MOST_COLUMNS = 40
MOST_SLICES = 20
MIN_ROWS = 500
KEPT_VALUES = 2_000
"""Values of a column that are kept of the reference, to say how far the new ones are from them."""


class Tabulated(Struct, frozen=True):
    """A window's counts. Shape: `bins` (columns, slices, BINS); `languages` (languages, slices)
    among `n` (slices).
    """

    bins: Floats
    languages: Floats
    n: Floats


def values_of(one: Drawn) -> dict[str, float]:
    """Every column that one exchange has a value in."""
    values = dict(one.scores)
    values["length in"] = float(len(one.prompt))
    values["code in"] = code_share(one.prompt)
    if one.answer:
        values["length out"] = float(len(one.answer))
        values["code out"] = code_share(one.answer)
    return values


def columns_of(sample: Sequence[Drawn], names: Sequence[str]) -> dict[str, list[float]]:
    """Some columns of a sample."""
    table = [values_of(one) for one in sample]
    return {name: [values[name] for values in table if name in values] for name in names}


def tabulate(
    sample: Sequence[Drawn],
    names: Sequence[str],
    slices: Sequence[str],
    languages: Sequence[str],
    cuts: Floats,
) -> Tabulated:
    """Count a sample into the reference's bins."""
    inside = np.array([[name in one.slices for name in slices] for one in sample], dtype=bool)
    inside = inside.reshape(len(sample), len(slices))
    table = [values_of(one) for one in sample]
    bins = np.zeros((len(names), len(slices), BINS))
    for at, name in enumerate(names):
        has = np.array([name in values for values in table], dtype=bool)
        column = np.array([values[name] for values in table if name in values])
        which = scores.binned(column, cuts[at])
        for part in range(len(slices)):
            bins[at, part] = np.bincount(which[inside[has, part]], minlength=BINS)
    spoken = np.array([one.slices[-1] for one in sample])
    told = [inside[spoken == name].sum(axis=0) for name in languages]
    shape = (len(languages), len(slices))
    return Tabulated(bins, np.array(told, dtype=float).reshape(shape), inside.sum(axis=0) * 1.0)


def frozen(days: Sequence[Sequence[Drawn]], first_phase: int) -> tuple[int, Arrays] | None:
    """What is normal in every column, from the reference's days; None below MIN_ROWS exchanges."""
    whole = [one for day in days for one in day]
    if len(whole) < MIN_ROWS:
        return None
    sizes = Counter(name for one in whole for name in one.slices)
    slices = slices_of(sizes.items(), least=MIN_ROWS, most=MOST_SLICES)
    spoken = [(name, n) for name, n in sizes.most_common() if name.startswith(LANGUAGE)]
    languages = [name for name, _ in spoken[:LANGUAGES]]
    having = Counter(name for one in whole for name in values_of(one))
    names = sorted(name for name, n in having.most_common(MOST_COLUMNS) if n >= MIN_ROWS)
    columns = list(columns_of(whole, names).values())
    cuts = np.array([scores.cuts(values) for values in columns])
    by_day = [tabulate(day, names, slices, languages, cuts) for day in days]
    bins = np.stack([day.bins for day in by_day], axis=2).reshape(-1, len(days), BINS)
    rank, variance = scores.ranks(bins.sum(1)), scores.rank_variance(bins.sum(1))
    number = np.arange(len(days))
    phases = (number + first_phase) % 7
    totals = (bins * rank[:, None, :]).sum(-1)
    normal = baseline(totals, bins.sum(-1), phases, number, variance)
    low, high = scores.edges(normal, variance)
    told = np.stack([day.languages for day in by_day], axis=2).reshape(-1, len(days))
    of = np.tile(np.stack([day.n for day in by_day], axis=1), (len(languages), 1))
    hits, n = np.concatenate([scores.tail(bins), told]), np.concatenate([bins.sum(-1), of])
    shares = baseline(hits, n, phases, number)
    share_low, share_high = rates.edges(shares)
    return len(whole), {
        "columns": np.array(names),
        "slices": np.array(slices),
        "languages": np.array(languages),
        "cuts": cuts,
        "rank": rank,
        "variance": variance,
        "low": low,
        "high": high,
        "dispersion": normal.dispersion,
        "n": normal.n,
        "share_low": share_low,
        "share_high": share_high,
        "share_dispersion": shares.dispersion,
        "share_n": shares.n,
        "values": np.array([_kept(values) for values in columns], dtype=np.float32),
    }


def parts(arrays: Arrays, tabulated: Tabulated, phase: int) -> list[Part]:
    """What every stream's alternatives win in a window."""
    names, slices = arrays["columns"].tolist(), arrays["slices"].tolist()
    bins = tabulated.bins.reshape(-1, BINS)
    enough, share_enough = arrays["n"] >= MIN_ROWS, arrays["share_n"] >= MIN_ROWS
    ranked = scores.log_gains(
        bins,
        arrays["rank"],
        arrays["variance"],
        arrays["low"][:, phase],
        arrays["high"][:, phase],
        arrays["dispersion"],
    )
    languages = tabulated.languages
    of = np.broadcast_to(tabulated.n, languages.shape)
    shared = rates.log_gains(
        np.concatenate([scores.tail(bins), languages.ravel()]),
        np.concatenate([bins.sum(-1), of.ravel()]),
        arrays["share_low"][:, phase],
        arrays["share_high"][:, phase],
        arrays["share_dispersion"],
    )
    tails = tuple(Stream(layer_of(x), f"{x}: tail", part) for x in names for part in slices)
    told = tuple(Stream(4, x, part) for x in arrays["languages"].tolist() for part in slices)
    by_rank = tuple(Stream(layer_of(x), f"{x}: rank", part) for x in names for part in slices)
    return [
        Part(by_rank, ranked * enough[:, None], scores.LOG_WEIGHTS),
        Part(tails + told, shared * share_enough[:, None], rates.LOG_WEIGHTS),
    ]


def layer_of(name: str) -> int:
    """Scores are layer 2, what is said of texts is layer 4."""
    return 4 if name in DESCRIPTORS or name.startswith(LANGUAGE) else 2


def _kept(values: Sequence[float]) -> NDArray[np.float32]:
    """Evenly drawn, as many for every column; short columns are filled with NaN."""
    step = max(1, len(values) // KEPT_VALUES)
    some = np.asarray(values[::step][:KEPT_VALUES], dtype=np.float32)
    return np.pad(some, (0, KEPT_VALUES - len(some)), constant_values=np.nan)
