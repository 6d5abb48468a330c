"""Which rows does the encoder see in one epoch, and how many of each kind?"""

from __future__ import annotations

import random
from collections.abc import Sequence

from guardrails.training.buried import buried
from guardrails.training.contrast import contrast_rows, hidden_commands, identity_swaps
from guardrails.training.dataset import Row, clean, crop, held_out
from guardrails.training.hard import hard_rows, twins

HELD_OUT_SHARE = 0.12
BURIED = 2_400
_MOST = {"davidson": 6_000, "halueval": 3_600, "identity_templates": 900}
_TWICE = frozenset({"toxigen", "wildguard", "harmbench", "real_toxicity_prompts"})


def split(rows: Sequence[Row], seed: int) -> tuple[list[Row], list[Row]]:
    """The rows to fit and those held out, both cleaned and cropped. None stands in both.

    A text's side follows from its whole text, so that it is the same for every seed.
    """
    whole = list(clean(rows))
    fit: list[Row] = []
    held: list[Row] = []
    for row, cropped in zip(whole, crop(whole, seed), strict=True):
        (held if held_out(row.text, HELD_OUT_SHARE) else fit).append(cropped)
    return fit, held


def own_rows(fit: Sequence[Row], seed: int) -> list[Row]:
    """What we add to the rows to fit: contrast and hard rows, swapped identities, hidden commands,
    abuse inside calm texts.

    A part of all of these and of the rows to fit comes a second time, mistyped.
    """
    documents = [
        row for row in fit if row.source in {"halueval", "bipia"} and not any(row.labels.values())
    ]
    own = [
        *contrast_rows(seed),
        *hard_rows(seed),
        *identity_swaps(fit, seed, 1_000),
        *hidden_commands(documents, seed, 900),
    ]
    own += buried([*own, *fit], documents, seed, BURIED)
    return [*own, *twins(own, seed, 800), *twins(fit, seed, 800)]


def mixture(fit: Sequence[Row], seed: int, public_share: float = 1.0) -> list[Row]:
    """One epoch: large easy sources thinned, small hard ones doubled, our own rows added.

    Another seed chooses other rows and fills our templates anew.
    Davidson keeps all its harmless rows: its tweets are mostly abusive, so these are the hard ones.
    `public_share` thins all public sources alike, for weights that have seen them before.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    by_source: dict[str, list[Row]] = {}
    for row in fit:
        by_source.setdefault(row.source, []).append(row)
    chosen: list[Row] = []
    for source, rows in sorted(by_source.items()):
        rng.shuffle(rows)
        if source == "davidson":
            rows.sort(key=lambda row: row.labels["toxicity"])
        rows = rows[: _MOST.get(source, len(rows))] * (2 if source in _TWICE else 1)
        chosen += rng.sample(rows, round(len(rows) * public_share)) if public_share < 1 else rows
    chosen += own_rows(fit, seed)
    rng.shuffle(chosen)
    return chosen
