from __future__ import annotations

import os
import subprocess
import sys

import pytest

from guardrails.demo import model as demo_model


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_model_is_written_whole_and_without_its_quantisation(tmp_path):
    target = demo_model.directory(tmp_path)
    command = (sys.executable, "-m", "guardrails.demo.conversion", str(target))
    subprocess.run(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=True)
    assert demo_model.is_converted(target)
    assert "quantization_config" not in (target / "config.json").read_text()
    assert (target / "model.safetensors").stat().st_size > 500_000_000
    assert [path.name for path in target.parent.iterdir()] == [demo_model.NAME]
