"""Tiny BERT models, written as the real ones are: the configuration, tokenizer and weights."""

from __future__ import annotations

import random
import string
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

WORDS = [*"you are very bad nice the a weather is fine today and people stupid".split()]  # noqa: SIM905
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [*string.ascii_lowercase, *("##" + letter for letter in string.ascii_lowercase), *".,!?"]


def tokenizer(directory: Path) -> BertTokenizerFast:
    vocabulary = directory / "vocab.txt"
    vocabulary.write_text("\n".join([*SPECIAL, *PIECES, *WORDS]))
    return BertTokenizerFast(str(vocabulary), model_max_length=64)


def network(labels: list[str], *, problem_type: str | None = None) -> BertForSequenceClassification:
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(PIECES) + len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        problem_type=problem_type,
    )
    model = BertForSequenceClassification(config)
    with torch.no_grad():  # so that different texts have clearly different scores
        for parameter in model.parameters():
            parameter.mul_(6)
    return model.eval()


def save(directory: Path, labels: list[str], *, problem_type: str | None = None) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    network(labels, problem_type=problem_type).save_pretrained(directory)
    tokenizer(directory).save_pretrained(directory)
    return directory


def save_detoxify(path: Path, classes: list[str], model_type: str, **more: object) -> Path:
    """A checkpoint as Detoxify's training writes it."""
    architecture = {
        "num_classes": len(classes),
        "model_type": model_type,
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
    }
    checkpoint = {
        "config": {"arch": {"args": architecture}, "dataset": {"args": {"classes": classes}}},
        "state_dict": network(classes).state_dict(),
        **more,
    }
    torch.save(checkpoint, path)
    return path


def sentences(count: int) -> list[str]:
    chosen = random.Random(3)
    return [" ".join(chosen.choices(WORDS, k=chosen.randint(1, 20))) for _ in range(count)]
