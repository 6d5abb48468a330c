from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import yaml

from monitoring.retraining.mlmodel import write_mlmodel


def test_the_directory_is_laid_out_as_mlflow_documents_it(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (model / "tokenizer.json").write_text("{}")
    write_mlmodel(
        tmp_path,
        name="m@2",
        run_id="r",
        metadata={"a": 1},
        made_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    described = yaml.safe_load((tmp_path / "MLmodel").read_text())
    flavor = described["flavors"]["transformers"]
    assert flavor["pipeline_model_type"] == "LlamaForCausalLM"
    assert flavor["task"] == "text-generation"
    for component in flavor["components"]:
        assert (tmp_path / "components" / component / "tokenizer.json").exists()
    assert (tmp_path / flavor["model_binary"] / "config.json").exists()
    python = described["flavors"]["python_function"]
    assert python["loader_module"] == "mlflow.transformers"
    assert (tmp_path / python["env"]["virtualenv"]).exists()
    assert "transformers==" in (tmp_path / "requirements.txt").read_text()
    assert described["metadata"] == {"a": 1}
