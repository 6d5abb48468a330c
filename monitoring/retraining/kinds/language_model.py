"""How is a language model retrained? With a low-rank adapter, on reviewed exchanges."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

from guardrails.detectors import finders_of
from guardrails.errors import ConfigError
from guardrails.exchange_log.cipher import make_cipher
from guardrails.keys import key_secret
from guardrails.prompt.render import Template, load_templates
from monitoring.retraining import lora
from monitoring.retraining.answers import Speaker
from monitoring.retraining.candidates import gather
from monitoring.retraining.curve import loss_curve
from monitoring.retraining.evaluate import measure
from monitoring.retraining.gates import LANGUAGE_MODEL, judge
from monitoring.retraining.harm import judge_of
from monitoring.retraining.plan import Evaluated, Prepared, Tuned
from monitoring.retraining.prepare import prepare as prepare_rows
from monitoring.retraining.prepare import redactor
from monitoring.retraining.rows import HELD_OUT, TRAIN, read_rows
from monitoring.retraining.work import Work

CURVE = "loss.svg"


async def prepare(work: Work) -> Prepared:
    """The reviewed exchanges as rows, rendered as production renders them."""
    cipher = make_cipher(work.settings.log_keys, key_secret(work.settings))
    found = await gather(work.engine, work.plan, cipher)
    redact = redactor(finders_of(work.settings.detectors)["patterns"])
    return await asyncio.to_thread(
        prepare_rows,
        work.plan,
        found.candidates,
        _template(work),
        redact,
        work.into,
        left_out=found.left_out,
    )


async def tune(work: Work) -> Tuned:
    """An adapter, and the curve of its loss."""
    rows = read_rows(work.given["prepare"] / TRAIN)
    prepared = work.before("prepare", Prepared)
    done, losses = await asyncio.to_thread(
        lora.tune,
        work.plan,
        rows,
        work.into,
        template_hash=prepared.template_hash,
        told=lambda step, of, loss: work.told(f"tune, loss {loss:.3f}", step, of),
        seconds=work.seconds,
    )
    (work.into / CURVE).write_text(loss_curve(losses), encoding="utf-8")
    return done


async def evaluate(work: Work) -> Evaluated:
    """Candidate and champion on the same prompts."""
    began = work.now()
    tuned = work.before("tune", Tuned)
    rows = read_rows(work.given["prepare"] / HELD_OUT)

    def both() -> list[Any]:
        base, adapter = Path(work.plan.base), Path(tuned.weights)
        candidate = Speaker(base, _here(adapter, work), merged=work.plan.merge)
        judge_answers = judge_of(finders_of(work.settings.detectors)["patterns"])
        return measure(
            work.plan, rows, _template(work), candidate, Speaker(base), judge_answers, work.told
        )

    measures = await asyncio.to_thread(both)
    gates = judge(measures, LANGUAGE_MODEL, work.plan.gates)
    seconds = (work.now() - began).total_seconds()
    return Evaluated(tuple(measures), gates, all(gate.passed for gate in gates), seconds)


async def weights(work: Work) -> Path:
    """The merged weights, or the adapter alone where the plan says so.

    An adapter of what is itself base and adapter is always merged: no server stacks the two.
    """
    tuned = work.before("tune", Tuned)
    adapter, target = _here(Path(tuned.weights), work), work.into / "model"
    if work.plan.merge or lora.is_adapter(Path(work.plan.base)):
        await asyncio.to_thread(lora.merge, Path(work.plan.base), adapter, target)
    else:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(adapter, target)
    return target


def packages() -> tuple[str, ...]:
    """What else decides how the weights came out."""
    return ("torch", "transformers", "peft")


def _here(adapter: Path, work: Work) -> Path:
    # In a cluster the step before wrote it under another path than this one reads it from.
    return work.given["tune"] / os.path.basename(adapter)


def _template(work: Work) -> Template:
    if work.plan.template is None:
        raise ConfigError("A language model is trained with the prompt template that it serves.")
    return load_templates(work.settings.templates)[work.plan.template]
