"""Any text classifier of `transformers`: a model directory or a hub's name becomes a detector.

    toxic-bert: {kind: transformer, model: /models/toxic-bert, labels: {toxic: toxicity}}

The labels and what the scores mean come from the model's own configuration. The card is
docs/models/transformer.md.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from guardrails.errors import ConfigError
from guardrails.inference.token_windows import token_windows

logger = logging.getLogger(__name__)

RUNS_IN = "worker"

_LONGEST_TOKENS = 512
_HASH_CHUNK_BYTES = 2**20
Activation = Literal["sigmoid", "softmax"]


def create(
    name: str,
    *,
    model: str,
    revision: str | None = None,
    labels: Mapping[str, str] | None = None,
    activation: Activation | None = None,
    window_tokens: int = _LONGEST_TOKENS,
    device: str | None = None,
    local_files_only: bool = False,
) -> TransformerScorer:
    """Load a classifier.

    `labels` maps the model's labels to ours and leaves out the others; None keeps them all.
    `activation` is what turns logits into probabilities, where the model's configuration is wrong.
    Errors: ConfigError where the model cannot be loaded or has no such label.
    """
    # transformers and torch take seconds to import: only a worker with such a detector pays.
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    torch.set_num_threads(1)
    disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            model, revision=revision, local_files_only=local_files_only
        )
        network = AutoModelForSequenceClassification.from_pretrained(
            model, revision=revision, local_files_only=local_files_only
        )
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{name}: the model {model!r} cannot be loaded: {error}") from error
    config = network.config
    classes = [str(config.id2label[number]) for number in range(config.num_labels)]
    if labels is not None and (unknown := sorted(set(labels) - set(classes))):
        raise ConfigError(
            f"{name}: {model!r} has no label {', '.join(unknown)}; it has {', '.join(classes)}."
        )
    kept = classes if labels is None else [label for label in classes if label in labels]
    return TransformerScorer(
        name,
        version=f"{Path(model).name}@{_weights_hash(network)}",
        network=network,
        tokenizer=tokenizer,
        labels=[label if labels is None else labels[label] for label in kept],
        columns=[classes.index(label) for label in kept],
        activation=activation or activation_of(config),
        window_tokens=window_tokens,
        device=device,
    )


def activation_of(config: Any) -> Activation:
    """What turns this model's logits into probabilities: softmax only where one class excludes
    the others.
    """
    if config.problem_type == "single_label_classification":
        return "softmax"
    if config.problem_type is None and config.num_labels > 1:
        return "softmax"
    return "sigmoid"


class TransformerScorer:
    """A sequence classifier and its tokenizer, on a GPU where there is one.

    Its methods may be called from several threads.
    """

    concurrent = True

    def __init__(
        self,
        name: str,
        *,
        version: str,
        network: Any,
        tokenizer: Any,
        labels: Sequence[str],
        columns: Sequence[int],
        activation: Activation,
        window_tokens: int = _LONGEST_TOKENS,
        device: str | None = None,
    ) -> None:
        import torch  # seconds to import: see create

        self.name = name
        self.version = version
        self.labels = tuple(labels)
        self.window_tokens = min(window_tokens, _most_tokens(network.config, tokenizer))
        self._columns = list(columns)
        self._activation = activation
        self._tokenizer = tokenizer
        # A fast tokenizer refuses a second thread while its truncation is being set.
        self._tokenizing = threading.Lock()
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self.device).eval()

    def windows(self, text: str) -> list[tuple[int, int]]:
        """Overlapping spans of `text` that each fit into `window_tokens`, by its own tokenizer."""
        with self._tokenizing:
            return token_windows(text, self._tokenizer, self.window_tokens)

    def detect(self, texts: Sequence[str]) -> np.ndarray:
        """Score every text for every label.

        Shape:  N texts → float32 array (N, len(labels)), rows in the texts' order.
        Units:  probabilities; with a sigmoid the labels of a row do not add up to 1.
        Limits: `window_tokens` a text; the worker sends the spans of `windows`, never more.
        """
        import torch  # seconds to import: see create

        with self._tokenizing:
            encoded = self._tokenizer(
                list(texts),
                return_tensors="pt",
                padding=True,
                truncation=True,
                max_length=self.window_tokens,
            )
        with torch.inference_mode():
            logits = self._network(**encoded.to(self.device)).logits.float()
            if self._activation == "softmax":
                scores = torch.softmax(logits, dim=-1)
            else:
                scores = torch.sigmoid(logits)
        return scores[:, self._columns].cpu().numpy()


def _most_tokens(config: Any, tokenizer: Any) -> int:
    limits = [_LONGEST_TOKENS, tokenizer.model_max_length]
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None:
        # RoBERTa and its kin begin to count positions after the padding's own.
        roberta = config.model_type in ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl")
        limits.append(positions - (config.pad_token_id + 1 if roberta else 0))
    return int(min(limits))


def _weights_hash(network: Any) -> str:
    """Twelve hex digits that change whenever a weight does."""
    digest = hashlib.sha256()
    for key, tensor in sorted(network.state_dict().items()):
        digest.update(key.encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(memoryview(flat.view(_bytes_type()).numpy()))
    return digest.hexdigest()[:12]


def _bytes_type() -> Any:
    import torch  # seconds to import: see create

    return torch.uint8
