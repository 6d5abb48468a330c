"""How does a file of labelled rows become a model directory that `compact` loads?"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import torch

from guardrails.inference.compact import (
    WINDOW_TOKENS,
    Calibration,
    Encoder,
    Manifest,
    read_manifest,
)
from guardrails.inference.ngrams import LinearModel, Weights
from guardrails.training.calibrate import BLOCKED, CLEARED_LOSS, FLAGGED, PRIOR, calibrate
from guardrails.training.dataset import LABELS, Row, read_rows, sha256_of, targets
from guardrails.training.encoder import BASE, Schedule, fine_tune
from guardrails.training.export import export
from guardrails.training.hard import hard_rows
from guardrails.training.linear import fit_linear
from guardrails.training.mixture import HELD_OUT_SHARE, mixture, own_rows, split
from guardrails.training.restore import restore

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many steps are done, and of how many."""

_FILES = ("linear.npz", "encoder.onnx", "tokenizer.json")
_PACKAGES = ("torch", "transformers", "tokenizers", "onnxruntime", "scikit-learn", "numpy")


def build(
    data: Path,
    directory: Path,
    schedule: Schedule,
    progress: Progress,
    *,
    start_from: Path | None = None,
    keep: Path | None = None,
) -> Manifest:
    """Train both stages on `data`, export, calibrate on held-out rows, and write the manifest.

    `start_from` is the `encoder.pt` of an earlier run, or the `encoder.onnx` of a finished one. A
    run that was broken off goes on from the checkpoint in `directory`. `keep` is a model directory
    whose encoder stays: only the first stage is trained, in minutes.
    Cost: about 10 ms a row and epoch, nearly all for the encoder.
    """
    directory.mkdir(parents=True, exist_ok=True)
    fit, held = split(read_rows(data), schedule.seed)
    held += hard_rows(schedule.seed, held=True)
    linear = train_linear(fit, schedule.seed, progress)
    linear.save(directory / "linear.npz")
    training: dict[str, object] = {
        "data_sha256": sha256_of(data),
        "rows_fit": len(fit),
        "rows_own": len(own_rows(fit, schedule.seed)),
    }
    if keep is None:
        training |= _train_encoder(fit, directory, schedule, progress, start_from)
    else:
        for name in _FILES[1:]:
            shutil.copyfile(keep / name, directory / name)
        kept = read_manifest(keep).training
        training |= {"encoder": kept.get("encoder", kept)}
    return finish(directory, held, training, progress)


def _train_encoder(
    fit: Sequence[Row],
    directory: Path,
    schedule: Schedule,
    progress: Progress,
    start_from: Path | None,
) -> dict[str, object]:
    """Train and export; what the manifest should say of it."""
    mixed = [
        row
        for epoch in range(schedule.epochs)
        for row in mixture(fit, schedule.seed + epoch, schedule.public_share)
    ]
    model = fine_tune(
        [row.text for row in mixed],
        *targets(mixed),
        schedule,
        lambda step, steps, loss: progress(f"encoder, loss {loss:.3f}", step, steps),
        start_from=_state(start_from) if start_from else None,
        checkpoint=directory / "checkpoint.pt",
    )
    torch.save(model.state_dict(), directory / "encoder.pt")
    (directory / "checkpoint.pt").unlink(missing_ok=True)
    export(model, directory / "encoder.onnx")
    shutil.copyfile(BASE / "tokenizer.json", directory / "tokenizer.json")
    return {
        "rows_an_epoch": len(mixed) // schedule.epochs,
        "schedule": msgspec.to_builtins(schedule),
        "started_from": sha256_of(start_from) if start_from else None,
    }


def _state(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".onnx":
        return restore(path)
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    return state


def train_linear(fit: Sequence[Row], seed: int, progress: Progress) -> Weights:
    """The first stage, on all rows to fit and our own."""
    rows = [*fit, *own_rows(fit, seed)]
    return fit_linear(
        [row.text for row in rows],
        *targets(rows),
        LABELS,
        lambda done, labels: progress("first stage", done, labels),
        seed=seed,
    )


def finish(
    directory: Path, held: Sequence[Row], training: dict[str, object], progress: Progress
) -> Manifest:
    """Calibrate the weights that stand in `directory` on held-out rows; write the manifest."""
    texts = [row.text for row in held]
    linear, peaks = LinearModel(Weights.load(directory / "linear.npz")).scan(texts)
    encoded = _encoded(Encoder(directory), texts, progress)
    manifest = Manifest(
        name="compact",
        labels=LABELS,
        window_tokens=WINDOW_TOKENS,
        files={name: sha256_of(directory / name) for name in _FILES},
        calibration=calibrate(linear, peaks, encoded, *targets(held), LABELS, held),
        training={
            **training,
            "rows_held_out": len(held),
            "held_out_share": HELD_OUT_SHARE,
            "prior": PRIOR,
            "harmless_flagged": FLAGGED,
            "harmless_blocked": BLOCKED,
            "cleared_loss": CLEARED_LOSS,
            "python": platform.python_version(),
            "packages": {name: version(name) for name in _PACKAGES},
        },
    )
    write_manifest(directory, manifest)
    return manifest


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, readable in a diff."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (directory / "manifest.json").write_bytes(text + b"\n")


def _encoded(encoder: Encoder, texts: Sequence[str], progress: Progress) -> np.ndarray:
    """The encoder's logits, in blocks so that the progress moves."""
    block = 256
    parts = []
    for start in range(0, len(texts), block):
        parts.append(encoder.logits(texts[start : start + block]))
        progress("calibration", min(start + block, len(texts)), len(texts))
    return np.concatenate(parts)


__all__ = ["Calibration", "build", "finish", "train_linear", "write_manifest"]
