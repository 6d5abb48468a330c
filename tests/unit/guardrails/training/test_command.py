import gzip
import json
import warnings
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from guardrails.inference.compact import load_compact, load_embedder, read_manifest
from guardrails.training.command import train_detector
from guardrails.training.dataset import LABELS, sha256_of


def test_train_detector_leaves_a_model_that_loads(tmp_path: Path, monkeypatch) -> None:
    # The real command on a few rows: our own rows would add minutes.
    monkeypatch.setattr("guardrails.training.mixture.own_rows", lambda fit, seed: [])
    monkeypatch.setattr("guardrails.training.build.own_rows", lambda fit, seed: [])
    monkeypatch.setattr("guardrails.training.build.hard_rows", lambda seed, held: [])
    data = tmp_path / "train.jsonl.gz"
    with gzip.open(data, "wt") as file:
        for n in range(80):
            bad = n % 2
            text = f"you are {'awful scum' if bad else 'a dear friend'}, number {n}"
            row = {"text": text, "source": "own", "labels": dict.fromkeys(LABELS, bad)}
            file.write(json.dumps(row) + "\n")
    out = tmp_path / "model"
    with warnings.catch_warnings():
        # torch's and onnx's own deprecations while exporting are not ours to keep.
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(train_detector, ["--data", str(data), "--out", str(out)])
    assert result.exit_code == 0, result.output
    manifest = read_manifest(out)
    assert manifest.training["data_sha256"] == sha256_of(data)
    assert manifest.training["schedule"]["seed"] == 17
    scores = load_compact(out).score(["you are awful scum", "you are a dear friend"])
    assert scores[0, 0] > scores[1, 0]
    # The other branch is the published embedding, whatever was trained.
    texts = ["A cat sits on the mat.", "Shares fell on Tuesday."]
    ours, shipped = load_embedder(out).embed(texts), load_embedder().embed(texts)
    np.testing.assert_allclose((ours * shipped).sum(axis=1), 1, atol=0.02)
    again = tmp_path / "again"
    kept = ["--data", str(data), "--out", str(again), "--keep", str(out)]
    result = CliRunner().invoke(train_detector, kept)
    assert result.exit_code == 0, result.output
    assert sha256_of(again / "encoder.onnx") == sha256_of(out / "encoder.onnx")
    assert read_manifest(again).training["encoder"]["schedule"] == manifest.training["schedule"]
    assert read_manifest(again).calibration == manifest.calibration
