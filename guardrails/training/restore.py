"""How is an exported encoder trained further, when only its int8 file is at hand?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from guardrails.training.dataset import LABELS
from guardrails.training.encoder import TwoBranches

_QUANTISED, _SCALE = "_quantized", "_scale"


def restore(path: Path, labels: int = len(LABELS)) -> dict[str, Tensor]:
    """The state of a `TwoBranches` from what `export` wrote, as near as int8 kept it.

    The parts that are not trained are the published ones. Errors: ValueError where the graph is not
    one that `export` wrote.
    """
    graph = onnx.load(path).graph
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    products = {
        node.name.removesuffix("_quant"): node.input[1]
        for node in graph.node
        if node.op_type == "MatMulInteger"
    }
    state = TwoBranches(labels).state_dict()
    for name, value in state.items():
        if not name.startswith(("scorer.", "head.")):
            continue
        if name in stored:
            weight = stored[name]
        else:
            # A linear layer is a product by the transposed weight, named for where it stands.
            layer = name.removesuffix(".weight")
            at = next((at for at in _places(layer) if at in products), None)
            if at is None:
                raise ValueError(f"{path} has no weights of {layer}: export wrote another graph")
            base = products[at].removesuffix(_QUANTISED)
            weight = (stored[products[at]].astype(np.float32) * stored[base + _SCALE]).T
        state[name] = torch.from_numpy(np.array(weight, np.float32)).reshape(value.shape)
    return state


def _places(layer: str) -> tuple[str, ...]:
    """The names that the exporter gives to the product of a layer, `scorer.0.output.dense`."""
    kind, number, *rest = layer.split(".")
    inside = "/".join((f"{kind}.{number}", *rest))
    return (f"/{inside}/MatMul", f"/{kind}/{inside}/Gemm_MatMul", f"/{inside}/Gemm_MatMul")
