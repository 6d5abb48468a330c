"""How are the weights of the groundedness score made?

From pairs of a passage and a claim that we make ourselves: sentences of ordinary answers
that are kept, cut, joined and reworded (borne out), or whose numbers and names are swapped, that
are denied, brought in from elsewhere or mixed with opinion (not borne out); and generated facts
about people, places, works and companies, told in one way in the passage and in another in the
claim. No evaluation set has a part in it.

    python -m guardrails.training.groundedness TRAIN.jsonl.gz guardrails/models/groundedness.json
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from guardrails.grounding.support import FEATURES, Evidence, Model, words_of
from guardrails.training.dataset import read_rows
from guardrails.training.made_up_claims import Pair, prose, rewritten
from guardrails.training.made_up_facts import generated
from guardrails.types import Passage

VERSION = "overlap-1"
SEED = 7
KEPT_STEMS = 6_000


def rarity(texts: Sequence[str]) -> tuple[dict[str, float], float]:
    """How rare each of the most common stems is, as log(N / n); and of one never seen."""
    seen: Counter[str] = Counter()
    plain = Model("", (), 0.0, {}, 1.0)
    for text in texts:
        seen.update({word.stem for word in words_of(text, plain)})
    rarest = math.log(len(texts) / 2)
    common = [(stem, n) for stem, n in seen.most_common(KEPT_STEMS) if n > 3]
    return {stem: round(math.log(len(texts) / n), 2) for stem, n in common}, round(rarest, 2)


def measured(pairs: Sequence[Pair], model: Model) -> np.ndarray:
    """The features of every pair. Shape: (len(pairs), len(FEATURES))."""
    return np.array([features(pair.passages, pair.claim, model) for pair in pairs])


def features(passages: Sequence[str], claim: str, model: Model) -> tuple[float, ...]:
    """The features of one claim against passages that are plain texts."""
    made = [
        Passage(number, str(number), "", "", "", text, 0.0)
        for number, text in enumerate(passages, 1)
    ]
    return Evidence(made, model).features(claim)[0]


def fit(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Logistic weights and intercept, each class with half the say.

    No weight may be above 0: what is missing never speaks for a claim, whatever the made-up pairs
    say.
    """
    share = np.where(y, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    signs = np.where(y, 1.0, -1.0)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        margins = signs * (x @ parameters[:-1] + parameters[-1])
        slopes = -signs * share * expit(-margins) / len(y)
        penalty = 1e-4 * parameters[:-1]
        gradient = np.append(x.T @ slopes + 2 * penalty, slopes.sum())
        return float(
            (share * np.logaddexp(0, -margins)).mean() + penalty @ parameters[:-1]
        ), gradient

    bounds = [(None, 0)] * len(FEATURES) + [(None, None)]
    found = minimize(loss, np.zeros(len(bounds)), jac=True, bounds=bounds, method="L-BFGS-B")
    return found.x[:-1], float(found.x[-1])


def train(path: Path) -> dict[str, object]:
    """The model's weights as they are stored, from the file of training texts."""
    rng = random.Random(SEED)  # noqa: S311
    rows = read_rows(path)
    texts = [row.text for row in rows if row.source in ("halueval", "jigsaw_wikipedia")]
    documents = prose([row.text for row in rows if row.source == "halueval"])
    table, rarest = rarity(texts)
    blank = Model("", (), 0.0, table, rarest)
    pairs = [*rewritten(rng, documents), *generated(rng, 4_000)]
    rng.shuffle(pairs)
    x, y = measured(pairs, blank), np.array([pair.supported for pair in pairs])
    held_out = len(pairs) // 5
    weights, intercept = fit(x[held_out:], y[held_out:])
    found = x[:held_out] @ weights + intercept >= 0
    kinds: dict[str, list[bool]] = {}
    for pair, right in zip(pairs[:held_out], found == y[:held_out], strict=True):
        kinds.setdefault(f"{pair.supported} {pair.kind}", []).append(bool(right))
    for kind, right in sorted(kinds.items()):
        print(f"{kind:24} {np.mean(right):.3f} of {len(right)}", file=sys.stderr)
    return {
        "version": VERSION,
        "weights": dict(zip(FEATURES, (round(float(w), 4) for w in weights), strict=True)),
        "intercept": round(intercept, 4),
        "rarest": rarest,
        "rarity": dict(sorted(table.items())),
    }


def main() -> None:
    """Train from the file named first and write the weights to the one named second."""
    source, target = map(Path, sys.argv[1:3])
    text = json.dumps(train(source), ensure_ascii=False, indent=0, separators=(",", ":"))
    target.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
