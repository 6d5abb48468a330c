"""The made-up pairs and the fit; docs/models/groundedness.md has the shipped weights' measures."""

import gzip
import json
from pathlib import Path

import numpy as np

from guardrails.grounding.support import FEATURES, fitted, stem_of
from guardrails.training.groundedness import features, fit, rarity, train

TEXT = (
    "The city of Ghent has many old bridges, and people use them often. In 1901 the painter Karl"
    " Berger opened a school for drawing there. The school is located near the Harbour and has 320"
    " pupils. It can be visited on Sundays during the summer."
)
OTHER = (
    "A balanced diet includes vegetables and whole grains every day. Many doctors recommend walking"
    " for thirty minutes. Sleep is important because the body repairs itself at night."
)


def test_rare_words_weigh_more_than_common_ones() -> None:
    table, rarest = rarity(["the river ends", "a river begins", "rivers flow", "my river"] * 5)
    assert table[stem_of("river")] == 0
    assert rarest > 0


def test_fit_finds_what_separates_and_gives_nothing_a_positive_weight() -> None:
    generator = np.random.default_rng(3)
    x = generator.random((400, len(FEATURES)))
    y = x[:, 0] < 0.5
    weights, intercept = fit(x, y)
    assert (((x @ weights + intercept) >= 0) == y).mean() > 0.95
    assert (weights <= 0).all()


def test_training_makes_weights_that_can_be_loaded(tmp_path: Path) -> None:
    rows = [{"text": text, "source": "halueval", "labels": {}} for text in (TEXT, OTHER)] * 15
    data, weights = tmp_path / "rows.jsonl.gz", tmp_path / "weights.json"
    data.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    weights.write_text(json.dumps(train(data)))
    model = fitted(weights)
    assert set(json.loads(weights.read_text())["weights"]) == set(FEATURES)
    copied = model.support(features([TEXT], "Ghent has many old bridges.", model))
    foreign = model.support(features([TEXT], "Sleep repairs the body at night.", model))
    assert copied > 0.5 > foreign
