"""How does a candidate enter the registry: weights, hashes, evaluation, and where it came from?"""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from monitoring.retraining import registry
from monitoring.retraining.mlmodel import write_mlmodel
from monitoring.retraining.plan import Evaluated, Prepared, Registered, Tuned
from monitoring.retraining.registry import NewVersion
from monitoring.retraining.runs import RetrainingRun
from monitoring.retraining.work import Work


async def register(work: Work, weights: Path, packages: tuple[str, ...]) -> Registered:
    """Write the version, `refused` where a gate failed: what was tried is on record all the same.

    The weights that served until now are registered first, as the champion, where nothing is.
    """
    prepared = work.before("prepare", Prepared)
    tuned = work.before("tune", Tuned)
    evaluated = work.before("evaluate", Evaluated)
    plan, run = work.plan, work.run
    parent = await _parent(work)
    digest = weights_sha256(weights)
    lineage = {
        "run_id": str(run.id),
        "alert_id": None if run.alert_id is None else str(run.alert_id),
        "reason": run.reason,
        "base": plan.base,
        "base_version": plan.base_version,
        "plan": msgspec.to_builtins(plan),
        "tuned": msgspec.to_builtins(tuned),
        "packages": {name: version_of(name) for name in packages},
        "python": platform.python_version(),
    }
    stands = await registry.register(
        work.engine,
        NewVersion(
            model=plan.model,
            version=version_name(run),
            kind=plan.kind,
            stage="registered" if evaluated.passed else "refused",
            weights_uri=uri_of(weights),
            weights_sha256=digest,
            template_hash=prepared.template_hash,
            dataset_sha256=prepared.dataset_sha256,
            parent=parent,
            evaluation=msgspec.to_builtins(evaluated),
            lineage=lineage,
        ),
        now=work.now(),
    )
    if (weights / "config.json").exists():
        write_mlmodel(
            weights.parent,
            name=stands.name,
            run_id=str(run.id),
            made_at=stands.registered_at,
            metadata={
                "template_hash": prepared.template_hash,
                "dataset_sha256": prepared.dataset_sha256,
                "weights_sha256": digest,
                "passed": evaluated.passed,
            },
        )
    (work.into / "evaluation.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(evaluated), indent=2) + b"\n"
    )
    return Registered(
        version_id=stands.id,
        name=stands.name,
        stage=stands.stage,
        weights_uri=stands.weights_uri,
        weights_sha256=stands.weights_sha256,
        directory=str(weights.parent),
    )


def version_name(run: RetrainingRun) -> str:
    """A run makes one version, named by its day and its id."""
    return f"{run.created_at:%Y%m%d}-{run.id.hex[:8]}"


def weights_sha256(directory: Path) -> str:
    """One hash over the names and contents of all files of a directory."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(json.dumps([str(path.relative_to(directory)), content]).encode())
    return digest.hexdigest()


def uri_of(directory: Path) -> str:
    """Where the weights are, as a URI."""
    return directory.absolute().as_uri()


async def _parent(work: Work) -> UUID | None:
    plan = work.plan
    found = await registry.find(work.engine, plan.model, plan.base_version)
    if found is not None:
        return found.id
    if await registry.champion(work.engine, plan.model) is not None:
        return None
    base = Path(plan.base)
    nothing: dict[str, Any] = {}
    stands = await registry.register(
        work.engine,
        NewVersion(
            model=plan.model,
            version=plan.base_version,
            kind=plan.kind,
            stage="champion",
            weights_uri=uri_of(base),
            weights_sha256=weights_sha256(base),
            evaluation=nothing,
            lineage={"registered_as": "what served before the first run"},
        ),
        now=work.now(),
    )
    return stands.id
