"""How is the compact detector retrained? On the rows that it knows, and on what reviewers said.

The training itself is guardrails/training's. Rows are held out by their hash, as it does; sets that
the detector is published on (`eval_*`) have no part in this, neither to fit nor to choose.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from guardrails.detectors import finders_of
from guardrails.errors import ConfigError
from guardrails.exchange_log.cipher import make_cipher
from guardrails.inference.compact import load_compact
from guardrails.keys import key_secret
from guardrails.training.build import build
from guardrails.training.dataset import LABELS, Row, held_out, read_rows
from guardrails.training.encoder import Schedule
from guardrails.training.mixture import HELD_OUT_SHARE, split
from monitoring.retraining.candidates import Candidate, gather
from monitoring.retraining.detector_measures import compared
from monitoring.retraining.gates import DETECTOR, judge
from monitoring.retraining.plan import Evaluated, Plan, Prepared, Tuned
from monitoring.retraining.prepare import Redact, redactor
from monitoring.retraining.work import Work

ROWS, REVIEWED = "rows.jsonl.gz", "reviews"
MODEL, ENCODER = "model", "encoder.onnx"
_MOST_KNOWN = 2_000


async def prepare(work: Work) -> Prepared:
    """Reviewed texts with their labels, beside the rows that the detector was trained on."""
    plan = work.plan
    if plan.data is None:
        raise ConfigError(
            "On its reviews alone the detector would forget the rest: name the rows that it was "
            "trained on (BANISTER_RETRAINING__DETECTOR_ROWS or --data)."
        )
    cipher = make_cipher(work.settings.log_keys, key_secret(work.settings))
    found = await gather(work.engine, plan, cipher)
    redact = redactor(finders_of(work.settings.detectors)["patterns"])
    return await asyncio.to_thread(
        write_rows, plan, Path(plan.data), rows_of(found.candidates, redact), work.into
    )


async def tune(work: Work) -> Tuned:
    """Both stages from where the champion stands, or the first alone; then calibrated anew.

    A killed run goes on from its checkpoint.
    """
    losses: list[float] = []

    def told(what: str, done: int, of: int) -> None:
        if ", loss " in what:
            losses.append(float(what.rpartition(" ")[2]))
        work.told(what, done, of)

    began = work.now()
    schedule = Schedule(epochs=1, batch=32, seed=work.plan.seed)
    data = work.given["prepare"] / ROWS
    champion = Path(work.plan.base)
    how = {"keep": champion} if work.plan.first_stage_only else {"start_from": champion / ENCODER}
    await asyncio.to_thread(build, data, work.into / MODEL, schedule, told, **how)
    return Tuned(
        weights=str(work.into / MODEL),
        steps=len(losses),
        first_loss=losses[0] if losses else 0.0,
        last_loss=losses[-1] if losses else 0.0,
        seconds=(work.now() - began).total_seconds(),
        device="cpu",
    )


async def evaluate(work: Work) -> Evaluated:
    """Candidate and champion on the held-out part of the reviews, and of what was known."""
    began = work.now()
    tuned = work.before("tune", Tuned)
    _, held = split(read_rows(work.given["prepare"] / ROWS), work.plan.seed)
    reviewed = [row for row in held if row.source == REVIEWED]
    known = [row for row in held if row.source != REVIEWED][:_MOST_KNOWN]

    def both() -> list[Any]:
        models = (load_compact(_here(tuned, work)), load_compact(Path(work.plan.base)))
        scored = [
            [np.asarray(model.score([row.text for row in rows])) for model in models]
            for rows in (reviewed, known)
            if rows
        ]
        return compared(models, reviewed, known, scored, seed=work.plan.seed)

    measures = await asyncio.to_thread(both)
    gates = judge(measures, DETECTOR, work.plan.gates)
    seconds = (work.now() - began).total_seconds()
    return Evaluated(tuple(measures), gates, all(gate.passed for gate in gates), seconds)


async def weights(work: Work) -> Path:
    """What `compact` loads: the option `directory` of the detector names it."""
    target = work.into / MODEL
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(
        _here(work.before("tune", Tuned), work), target, ignore=shutil.ignore_patterns("*.pt")
    )
    return target


def packages() -> tuple[str, ...]:
    """What else decides how the weights came out."""
    return ("torch", "transformers", "onnxruntime", "scikit-learn")


def rows_of(candidates: Sequence[Candidate], redact: Redact) -> list[Row]:
    """One row a judged side. A harm that reviewers named is known, and so is "harmless" of all.

    Of a harmful text the labels that nobody named stay unknown, for reviewers name what they saw.
    """
    found: dict[str, Row] = {}
    for candidate in candidates:
        for text, harmful in (
            (candidate.messages[-1]["content"], candidate.input_harmful),
            (candidate.answer, candidate.output_harmful),
        ):
            if harmful is None or not text.strip():
                continue
            named = {label: 1 for label in candidate.harms if label in LABELS}
            labels = named if harmful else dict.fromkeys(LABELS, 0)
            if labels:
                row = Row(redact(text), REVIEWED, labels)
                found.setdefault(" ".join(row.text.lower().split()), row)
    return list(found.values())


def write_rows(plan: Plan, known: Path, reviewed: Sequence[Row], into: Path) -> Prepared:
    """Write all rows as the training reads them. Errors: ConfigError for too few reviews."""
    parts = [held_out(row.text, HELD_OUT_SHARE) for row in reviewed]
    if len(reviewed) < plan.least_rows or all(parts) or not any(parts):
        raise ConfigError(
            f"{len(reviewed)} reviewed texts, {sum(parts)} of them held out; a run needs "
            f"{plan.least_rows}, and some of both. Label more exchanges."
        )
    rows = [*read_rows(known), *reviewed[: plan.most_rows]]
    into.mkdir(parents=True, exist_ok=True)
    lines = "".join(
        json.dumps({"text": r.text, "source": r.source, "labels": r.labels}, sort_keys=True) + "\n"
        for r in rows
    )
    with (into / ROWS).open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(lines.encode())
    counts: dict[str, int] = defaultdict(int)
    for row in reviewed:
        for label, value in row.labels.items():
            counts[f"{label}={value}"] += 1
    card = {"reviewed": len(reviewed), "known": len(rows) - len(reviewed), "labels": counts}
    (into / "card.json").write_bytes(msgspec.json.encode(card, order="deterministic"))
    return Prepared(
        str(into),
        hashlib.sha256(lines.encode()).hexdigest(),
        len(reviewed) - sum(parts),
        sum(parts),
    )


def _here(tuned: Tuned, work: Work) -> Path:
    return work.given["tune"] / os.path.basename(tuned.weights)
