"""The steps as a Kubeflow pipeline: runs here by `kfp.local`, on Kubeflow Pipelines and Vertex AI.

Each component calls `banister retrain step …`, as Airflow does, and as a person may by hand. Where
`workspace` names a directory that all of them reach (a volume, or a bucket that is mounted), a step
that was killed goes on in it; without one, what a step made travels as its artifact.
"""

# kfp reads the annotations of these functions as types: no `from __future__ import annotations`.
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from kfp import compiler, local
from kfp.dsl import Dataset, Input, Metrics, Model, Output, component, pipeline

NAME = "banister-retraining"


def opened(run: str, reason: str, config: str, approval_hours: float) -> str:
    """Open a run, or take the one given; wait for a person where the settings want one."""
    import os
    import subprocess
    import sys

    environment = {**os.environ, **({"BANISTER_CONFIG": config} if config else {})}
    command = [sys.executable, "-m", "guardrails.cli", "retrain", "open", "--run", run]
    command += ["--reason", reason, "--wait-hours", str(approval_hours)]
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def prepare(run: str, workspace: str, config: str, dataset: Output[Dataset]) -> None:
    """Reviewed exchanges as rows of training data, with their card."""
    import os
    import subprocess
    import sys

    if workspace and run:
        dataset.uri = os.path.join(workspace, run, "prepare")
    environment = {**os.environ, **({"BANISTER_CONFIG": config} if config else {})}
    command = [sys.executable, "-m", "guardrails.cli", "retrain", "step", "prepare", "--run", run]
    subprocess.run([*command, "--into", dataset.path], check=True, env=environment)  # noqa: S603


def tune(
    run: str, workspace: str, config: str, dataset: Input[Dataset], candidate: Output[Model]
) -> None:
    """The candidate."""
    import os
    import subprocess
    import sys

    if workspace and run:
        candidate.uri = os.path.join(workspace, run, "tune")
    environment = {**os.environ, **({"BANISTER_CONFIG": config} if config else {})}
    command = [sys.executable, "-m", "guardrails.cli", "retrain", "step", "tune", "--run", run]
    command += ["--given", f"prepare={dataset.path}", "--into", candidate.path]
    subprocess.run(command, check=True, env=environment)  # noqa: S603


def evaluate(
    run: str,
    workspace: str,
    config: str,
    dataset: Input[Dataset],
    candidate: Input[Model],
    evaluation: Output[Metrics],
) -> None:
    """Candidate and champion on the same prompts, and the gates."""
    import json
    import os
    import subprocess
    import sys

    if workspace and run:
        evaluation.uri = os.path.join(workspace, run, "evaluate")
    environment = {**os.environ, **({"BANISTER_CONFIG": config} if config else {})}
    command = [sys.executable, "-m", "guardrails.cli", "retrain", "step", "evaluate", "--run", run]
    command += ["--given", f"prepare={dataset.path}", "--given", f"tune={candidate.path}"]
    command += ["--into", evaluation.path]
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)  # noqa: S603
    print(done.stdout)
    lines = done.stdout.strip().splitlines()
    if run and lines:
        for gate in json.loads(lines[-1]).get("gates", []):
            if gate["value"] is not None:
                evaluation.log_metric(gate["name"], gate["value"])


def register(
    run: str,
    workspace: str,
    config: str,
    dataset: Input[Dataset],
    candidate: Input[Model],
    evaluation: Input[Metrics],
    model: Output[Model],
) -> None:
    """The version in the registry, with its weights."""
    import os
    import subprocess
    import sys

    if workspace and run:
        model.uri = os.path.join(workspace, run, "register")
    environment = {**os.environ, **({"BANISTER_CONFIG": config} if config else {})}
    command = [sys.executable, "-m", "guardrails.cli", "retrain", "step", "register", "--run", run]
    command += ["--given", f"prepare={dataset.path}", "--given", f"tune={candidate.path}"]
    command += ["--given", f"evaluate={evaluation.path}", "--into", model.path]
    subprocess.run(command, check=True, env=environment)  # noqa: S603


def promote(
    run: str,
    workspace: str,
    config: str,
    dataset: Input[Dataset],
    candidate: Input[Model],
    evaluation: Input[Metrics],
    model: Input[Model],
    promotion: Output[Metrics],
) -> None:
    """The start of the version's rollout, where its gates let it through."""
    import os
    import subprocess
    import sys

    if workspace and run:
        promotion.uri = os.path.join(workspace, run, "promote")
    environment = {**os.environ, **({"BANISTER_CONFIG": config} if config else {})}
    command = [sys.executable, "-m", "guardrails.cli", "retrain", "step", "promote", "--run", run]
    command += ["--given", f"prepare={dataset.path}", "--given", f"tune={candidate.path}"]
    command += ["--given", f"evaluate={evaluation.path}", "--given", f"register={model.path}"]
    subprocess.run([*command, "--into", promotion.path], check=True, env=environment)  # noqa: S603


def build(image: str) -> Any:
    """The pipeline, whose steps run in `image`: ours, or one that has Banister in it."""

    def made(function: Callable[..., Any]) -> Any:
        return component(base_image=image, install_kfp_package=False)(function)

    steps = [made(f) for f in (opened, prepare, tune, evaluate, register, promote)]
    open_run, prepared, tuned, evaluated, registered, promoted = steps

    @pipeline(name=NAME, description="From reviewed exchanges to a gated, registered version")
    def retraining(
        run: str = "",
        reason: str = "by the calendar",
        workspace: str = "",
        config: str = "",
        approval_hours: float = 24.0,
    ) -> None:
        first = open_run(run=run, reason=reason, config=config, approval_hours=approval_hours)
        # What was made for one run says nothing of another, and the log goes on.
        first.set_caching_options(False)
        shared = {"run": first.output, "workspace": workspace, "config": config}
        rows = prepared(**shared)
        trained = tuned(**shared, dataset=rows.outputs["dataset"])
        trained.set_retry(num_retries=2)
        given = {
            "dataset": rows.outputs["dataset"],
            "candidate": trained.outputs["candidate"],
        }
        judged = evaluated(**shared, **given)
        given["evaluation"] = judged.outputs["evaluation"]
        kept = registered(**shared, **given)
        last = promoted(**shared, **given, model=kept.outputs["model"])
        for task in (rows, trained, judged, kept, last):
            task.set_caching_options(False)

    return retraining


@click.group()
def main() -> None:
    """Compile the pipeline, or run it here."""


@main.command("compile")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--image", required=True)
def compile_(target: Path, image: str) -> None:
    """Write the YAML."""
    compiler.Compiler().compile(build(image), str(target))


@main.command("local")
@click.argument("run")
@click.argument("workspace", type=click.Path(path_type=Path))
def local_(run: str, workspace: Path) -> None:
    """Run it through kfp.local, without Docker and in this environment."""
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(workspace / "kfp"),
        raise_on_error=True,
    )
    # The runner wants an image's name that says python; nothing is pulled.
    build("python:3.11")(run=run, workspace=str(workspace), approval_hours=0.0)


if __name__ == "__main__":
    main()
