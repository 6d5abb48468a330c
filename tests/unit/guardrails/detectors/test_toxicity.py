"""Detoxify's real loading, on a checkpoint of its format that is small enough to be made here."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from detoxify import Detoxify

from guardrails import detectors
from guardrails.detectors.toxicity import create
from guardrails.errors import ConfigError
from tests.unit.guardrails.detectors import tiny_bert

CLASSES = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
LABELS = ("toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert.save(tmp_path_factory.mktemp("d") / "bert", ["a", "b"])


def write(path: Path, model_type: str, **more: object) -> Path:
    return tiny_bert.save_detoxify(path, CLASSES, model_type, **more)


@pytest.fixture(scope="module")
def checkpoint(encoder: Path) -> Path:
    return write(encoder.parent / "tiny.ckpt", str(encoder))


def test_scores_and_labels_are_those_that_detoxify_itself_gives(checkpoint: Path) -> None:
    scorer = detectors.create("toxicity", {"checkpoint": str(checkpoint)})
    assert scorer.labels == LABELS
    texts = ["You are very bad and stupid!", "the weather is fine today", "a"]
    expected = Detoxify(checkpoint=str(checkpoint)).predict(texts)
    scores = scorer.detect(texts)
    assert (scores.dtype, scores.shape) == (np.float32, (3, 6))
    for label, column in zip(LABELS, scores.T, strict=True):
        np.testing.assert_allclose(column, expected[label], atol=1e-5)


def test_the_encoders_directory_may_be_another_than_the_checkpoint_names(encoder: Path) -> None:
    path = write(encoder.parent / "moved.ckpt", "somewhere-else/bert-base-uncased")
    scorer = create("toxicity", checkpoint=str(path), huggingface_config_path=str(encoder))
    assert scorer.labels == LABELS
    assert scorer.detect(["you are nice"]).shape == (1, 6)


def test_a_checkpoint_with_another_hash_is_refused_before_it_is_read(
    checkpoint: Path, tmp_path: Path
) -> None:
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    scorer = create("toxicity", checkpoint=str(checkpoint), sha256=digest.upper())
    assert scorer.version == f"tiny@{digest[:12]}"
    with pytest.raises(ConfigError, match=f"has SHA-256 {digest}, not 00"):
        create("toxicity", checkpoint=str(checkpoint), sha256="00" * 32)


class Mischief:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


def test_a_checkpoint_without_a_hash_cannot_run_code(encoder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "evil.ckpt", str(encoder), extra=Mischief(str(tmp_path / "ran")))
    with pytest.raises(ConfigError, match="UnpicklingError"):
        create("toxicity", checkpoint=str(path))
    assert not (tmp_path / "ran").exists()


def test_what_cannot_be_loaded_is_a_config_error_that_says_what_to_do(tmp_path: Path) -> None:
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(b"not a checkpoint")
    with pytest.raises(ConfigError, match="give a checkpoint"):
        create("toxicity", checkpoint=str(broken))
    with pytest.raises(ConfigError, match="FileNotFoundError"):
        create("toxicity", checkpoint=str(tmp_path / "none.ckpt"))
    with pytest.raises(ConfigError, match="there are original, unbiased, multilingual"):
        create("toxicity", model="gentle")
    with pytest.raises(ConfigError, match="belong to a checkpoint"):
        create("toxicity", model="original", sha256="00")


def test_long_texts_are_cut_and_not_truncated(checkpoint: Path) -> None:
    scorer = create("toxicity", checkpoint=str(checkpoint))
    text = "the weather is fine today. " * 50 + "you are very bad"
    spans = scorer.windows(text)
    assert len(spans) > 3 and spans[-1][1] == len(text)
