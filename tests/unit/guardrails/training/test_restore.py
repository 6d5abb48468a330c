from pathlib import Path

import onnx
import pytest
import torch

from guardrails.training.encoder import TwoBranches
from guardrails.training.export import export
from guardrails.training.restore import restore


def test_an_exported_encoder_comes_back_nearly_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = TwoBranches(labels=3).eval()
    with torch.no_grad():
        for weight in [*model.scorer.parameters(), *model.head.parameters()]:
            weight.add_(torch.randn_like(weight) * 0.02)
    export(model, tmp_path / "encoder.onnx")
    again = TwoBranches(labels=3).eval()
    again.load_state_dict(restore(tmp_path / "encoder.onnx", labels=3))
    ids = torch.randint(1000, 2000, (4, 20))
    with torch.no_grad():
        before, after = (m.logits(ids, torch.ones_like(ids)) for m in (model, again))
    assert (before - after).abs().max() < 0.1 * before.std() + 0.05


def test_another_graph_is_refused(tmp_path: Path) -> None:
    graph = onnx.helper.make_graph([], "empty", [], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "empty.onnx")
    with pytest.raises(ValueError, match="another graph"):
        restore(tmp_path / "empty.onnx")
