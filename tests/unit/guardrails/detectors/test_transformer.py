from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification, BertTokenizerFast

from guardrails import detectors
from guardrails.detectors.transformer import activation_of, create
from guardrails.errors import ConfigError
from tests.unit.guardrails.detectors import tiny_bert

LABELS = ["ok", "toxic", "rude"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert.save(
        tmp_path_factory.mktemp("m") / "tiny", LABELS, problem_type="multi_label_classification"
    )


def logits(directory: Path, text: str) -> torch.Tensor:
    tokenizer = BertTokenizerFast.from_pretrained(directory)
    network = BertForSequenceClassification.from_pretrained(directory).eval()
    with torch.inference_mode():
        return network(**tokenizer(text, return_tensors="pt")).logits[0]


def test_scores_are_the_models_own_for_every_text_in_order(directory: Path) -> None:
    scorer = detectors.create("harm", {"kind": "transformer", "model": str(directory)})
    texts = ["You are very bad!", "the weather is fine today, and people are nice", "a"]
    scores = scorer.detect(texts)
    assert (scores.dtype, scores.shape) == (np.float32, (3, 3))
    assert scorer.labels == ("ok", "toxic", "rude")
    for text, row in zip(texts, scores, strict=True):
        expected = torch.sigmoid(logits(directory, text)).numpy()
        np.testing.assert_allclose(row, expected, atol=1e-5)
    assert np.ptp(scores[:, 1]) > 1e-3, "different texts have different scores"


def test_the_label_map_renames_and_leaves_out(directory: Path) -> None:
    every = create("all", model=str(directory))
    some = create("some", model=str(directory), labels={"rude": "insult", "toxic": "toxicity"})
    assert some.labels == ("toxicity", "insult")
    texts = tiny_bert.sentences(5)
    np.testing.assert_allclose(some.detect(texts), every.detect(texts)[:, [1, 2]], atol=1e-6)


def test_an_unknown_label_or_model_is_a_config_error(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no label angry; it has ok, toxic, rude"):
        create("x", model=str(directory), labels={"angry": "anger"})
    with pytest.raises(ConfigError, match="cannot be loaded"):
        create("x", model=str(tmp_path / "none"), local_files_only=True)


@pytest.mark.parametrize(
    ("problem_type", "labels", "activation"),
    [
        ("multi_label_classification", LABELS, "sigmoid"),
        ("single_label_classification", LABELS, "softmax"),
        (None, LABELS, "softmax"),
        (None, ["toxic"], "sigmoid"),
        ("regression", ["toxic"], "sigmoid"),
    ],
)
def test_what_turns_logits_into_probabilities_follows_the_configuration(
    problem_type: str | None, labels: list[str], activation: str
) -> None:
    config = tiny_bert.network(labels, problem_type=problem_type).config
    assert activation_of(config) == activation


def test_a_softmax_adds_up_to_one_and_may_be_asked_for(directory: Path) -> None:
    scorer = create("x", model=str(directory), activation="softmax")
    np.testing.assert_allclose(scorer.detect(tiny_bert.sentences(4)).sum(axis=1), 1, atol=1e-5)


def test_the_version_changes_with_the_weights(directory: Path, tmp_path: Path) -> None:
    first = create("x", model=str(directory))
    assert first.version == create("x", model=str(directory)).version
    assert first.version.startswith("tiny@")
    network = BertForSequenceClassification.from_pretrained(directory)
    with torch.no_grad():
        network.classifier.bias += 1
    network.save_pretrained(tmp_path / "tiny")
    BertTokenizerFast.from_pretrained(directory).save_pretrained(tmp_path / "tiny")
    assert create("x", model=str(tmp_path / "tiny")).version != first.version


@pytest.mark.parametrize(
    "text",
    ["", "a", "the weather is fine today. " * 60, "x" * 3_000, "é" * 500, "!?." * 400, " " * 900],
)
def test_windows_cover_the_whole_text_and_each_fits(directory: Path, text: str) -> None:
    scorer = create("x", model=str(directory))
    assert scorer.window_tokens == 64
    spans = scorer.windows(text)
    covered = 0
    for start, end in spans:
        assert start <= covered <= end, "no gap"
        covered = max(covered, end)
        assert len(scorer._tokenizer(text[start:end])["input_ids"]) <= 64
    assert (spans[0][0], covered) == (0, len(text))


def test_several_threads_may_score_at_once(directory: Path) -> None:
    scorer = create("x", model=str(directory))
    texts = tiny_bert.sentences(40)
    expected = scorer.detect(texts)
    wrong: list[object] = []

    def score(first: int) -> None:
        try:
            for number in range(first, 40, 4):
                long = " ".join(texts) * 3
                assert len(scorer.windows(long)) > 1
                row = scorer.detect([texts[number]])[0]
                np.testing.assert_allclose(row, expected[number], atol=1e-5)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=score, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
