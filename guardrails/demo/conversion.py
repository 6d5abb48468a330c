"""In what form is the demo model kept?

The wheel holds it as quantised GGUF. Reading that takes half a minute of CPU, so it is written once
as safetensors, which load in a second.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

from guardrails.demo import model as demo_model


def convert(target: Path) -> None:
    """Write the model to `target` as safetensors.

    Cost: about 40 CPU seconds and 1.6 GB for a moment, 540 MB of disk for good.
    """
    weights = demo_model.source()
    tokenizer = AutoTokenizer.from_pretrained(weights, gguf_file=demo_model.GGUF)
    model: Any = AutoModelForCausalLM.from_pretrained(weights, gguf_file=demo_model.GGUF)
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
