"""Toxicity: how likely a reader is to leave the conversation, by kind of harm (Detoxify).

    toxicity: {model: unbiased}                                     # fetched by its name
    toxicity: {checkpoint: /models/toxic.ckpt, sha256: 3f5a…,       # from disk, no network
               huggingface_config_path: /models/bert-base-uncased}

The card, with weights, licence and known bias, is docs/models/detoxify.md.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from guardrails.detectors.transformer import TransformerScorer
from guardrails.errors import ConfigError

RUNS_IN = "worker"

_MODELS = ("original", "unbiased", "multilingual", "original-small", "unbiased-small")
# The Jigsaw challenges called the same things by other names; Detoxify renames them so.
_RENAMED = {
    "toxic": "toxicity",
    "identity_hate": "identity_attack",
    "severe_toxic": "severe_toxicity",
}


def create(
    name: str,
    *,
    model: str = "original",
    checkpoint: str | None = None,
    huggingface_config_path: str | None = None,
    sha256: str | None = None,
    window_tokens: int = 512,
    device: str | None = None,
) -> TransformerScorer:
    """Load Detoxify by its model's name, or from a checkpoint on this machine.

    `huggingface_config_path` is a directory with the encoder's configuration and tokenizer; without
    it the checkpoint itself must name one that can be reached. A checkpoint is a pickle: with its
    `sha256` it is checked, then trusted; without, only plain weights are read from it, never code.
    Errors: ConfigError where a file is missing, its hash differs, or the weights cannot be had.
    """
    # detoxify brings torch and transformers, seconds to import: only a worker that uses it pays.
    import torch
    from detoxify import Detoxify
    from transformers.utils.logging import disable_progress_bar

    torch.set_num_threads(1)
    disable_progress_bar()
    if checkpoint is None and model not in _MODELS:
        raise ConfigError(f"{name}: no Detoxify model {model!r}; there are {', '.join(_MODELS)}.")
    if checkpoint is None and (sha256 or huggingface_config_path):
        raise ConfigError(f"{name}: sha256 and huggingface_config_path belong to a checkpoint.")
    try:
        if checkpoint is None:
            loaded = Detoxify(model)
            network, tokenizer, labels = loaded.model, loaded.tokenizer, loaded.class_names
            version = f"detoxify-{model}"
        else:
            network, tokenizer, labels, digest = _read(checkpoint, huggingface_config_path, sha256)
            version = f"{Path(checkpoint).stem}@{digest[:12]}"
    except ConfigError:
        raise
    except Exception as error:
        # Its parts raise whatever they like: URL errors, pickle's, missing keys, wrong shapes.
        raise ConfigError(
            f"{name}: Detoxify cannot be loaded ({type(error).__name__}: {error})."
            " Without a network, give a checkpoint and its huggingface_config_path."
        ) from error
    return TransformerScorer(
        name,
        version=version,
        network=network,
        tokenizer=tokenizer,
        labels=labels,
        columns=range(len(labels)),
        activation="sigmoid",
        window_tokens=window_tokens,
        device=device,
    )


def _read(
    checkpoint: str, config_path: str | None, sha256: str | None
) -> tuple[Any, Any, list[str], str]:
    """The network, the tokenizer, the labels and the file's hash."""
    import torch  # seconds to import: see create
    from detoxify.detoxify import get_model_and_tokenizer

    with Path(checkpoint).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 is not None and digest != sha256.lower():
            raise ConfigError(f"{checkpoint} has SHA-256 {digest}, not {sha256}.")
        file.seek(0)
        loaded = torch.load(file, map_location="cpu", weights_only=sha256 is None)
    architecture = dict(loaded["config"]["arch"]["args"])
    if config_path is not None:
        # Its own loader would read the configuration from where the checkpoint says, else lose
        # the number of labels.
        architecture["model_type"] = config_path
    network, tokenizer = get_model_and_tokenizer(**architecture, state_dict=loaded["state_dict"])
    classes = loaded["config"]["dataset"]["args"]["classes"]
    return network, tokenizer, [_RENAMED.get(one, one) for one in classes], digest
