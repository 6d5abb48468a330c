"""How is a model directory written so that MLflow loads it?

`MLmodel` beside `model/` and `components/tokenizer/`: the flavor `transformers`, and with it
`python_function`. Source: MLflow's documentation of the model format and of that flavor.
"""

from __future__ import annotations

import json
import platform
import shutil
import uuid
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

FORMAT_OF = "3.1.0"
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def write_mlmodel(
    directory: Path, *, name: str, run_id: str, metadata: Mapping[str, Any], made_at: datetime
) -> None:
    """Describe `directory/model`, the weights of a language model, to MLflow.

    Limits: whole weights only; an adapter alone has nothing that MLflow would load.
    """
    config = json.loads((directory / "model" / "config.json").read_text())
    tokenizer = directory / "components" / "tokenizer"
    tokenizer.mkdir(parents=True, exist_ok=True)
    for file in _TOKENIZER:
        if (directory / "model" / file).exists():
            shutil.copyfile(directory / "model" / file, tokenizer / file)
    needs = [
        f"{package}=={version(package).partition('+')[0]}" for package in ("torch", "transformers")
    ]
    described = {
        "artifact_path": name,
        "flavors": {
            "transformers": {
                "transformers_version": version("transformers"),
                "code": None,
                "task": "text-generation",
                "instance_type": "TextGenerationPipeline",
                "framework": "pt",
                "source_model_name": name,
                "pipeline_model_type": config["architectures"][0],
                "model_binary": "model",
                "components": ["tokenizer"],
                "tokenizer_type": "PreTrainedTokenizerFast",
                "torch_dtype": f"torch.{config.get('dtype') or 'float32'}",
            },
            "python_function": {
                "loader_module": "mlflow.transformers",
                "python_version": platform.python_version(),
                "model_binary": "model",
                "env": {"virtualenv": "python_env.yaml"},
            },
        },
        "metadata": dict(metadata),
        "mlflow_version": FORMAT_OF,
        "model_uuid": uuid.uuid5(uuid.NAMESPACE_OID, f"{name}/{run_id}").hex,
        "run_id": None,
        "utc_time_created": f"{made_at:%Y-%m-%d %H:%M:%S.%f}",
    }
    (directory / "MLmodel").write_text(yaml.safe_dump(described, sort_keys=False))
    (directory / "requirements.txt").write_text("\n".join(needs) + "\n")
    environment = {
        "python": platform.python_version(),
        "dependencies": ["-r requirements.txt"],
    }
    (directory / "python_env.yaml").write_text(yaml.safe_dump(environment))
