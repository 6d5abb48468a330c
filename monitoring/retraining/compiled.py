"""Where does the Kubeflow pipeline run? In a process of its own, which alone loads kfp."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

IMAGE = "banister:0.1.0"
_MODULE = "monitoring.retraining.pipeline"


def write(target: Path, *, image: str) -> None:
    """Write the pipeline as YAML for Kubeflow Pipelines and Vertex AI."""
    _run("compile", str(target), "--image", image)


def run_here(run_id: str, workspace: Path) -> None:
    """Run the pipeline through `kfp.local`: each step is a process, and none needs Docker.

    Errors: subprocess.CalledProcessError where a step failed; its record says why.
    """
    _run("local", run_id, str(workspace))


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", _MODULE, *arguments], check=True)  # noqa: S603 (ours)
