"""Prompt drift: whether people ask about something new, and which prompts show it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import numpy as np
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.embeddings import Prompt, Vector, is_shown, keep, known, vectors_of
from guardrails.exchange_log.tables import EMBEDDING_SIZE
from guardrails.inference.client import InferenceClient
from guardrails.launch.addresses import inference_socket
from guardrails.settings import Settings
from monitoring import drift_records
from monitoring.connected import connected
from monitoring.drift.alarm import alarm_of
from monitoring.drift.embeddings import LEAST, Vectors
from monitoring.drift.prompts import Seen, frozen, measure
from monitoring.drift.watch import Finding
from monitoring.drift_frames import Drawn, drawn
from monitoring.drift_records import Arrays, Reference
from monitoring.intervals import wilson
from monitoring.references import number_of, phase_of, reference_for, start_of
from monitoring.types import Figure, Outcome, Status, Window

EVERY = timedelta(days=1)
NAME = "prompt_drift"
A_DAY = 1_000
KEPT = 5_000
SHOWN = 3
_SECONDS = 60.0


async def run(
    window: Window, engine: AsyncEngine, *, inference: InferenceClient | None = None
) -> Outcome:
    """Embed a sample of the day's prompts, and hold them against the reference's.

    Errors: GuardUnavailable where no inference worker runs: the run is FAILED, and is tried again.
    Cost:   about 40 s of the worker's CPU a day of 1,000 prompts; once, 5,000 for the reference;
            nothing for those that have a vector already, for the job `embeddings` draws alike.
    """
    # The schedule hands a job its window and the database; where the worker listens is a setting.
    client = inference or InferenceClient(inference_socket(Settings().data_dir))
    try:
        return await _run(window, engine, client)
    finally:
        if inference is None:
            await client.close()


async def _run(window: Window, engine: AsyncEngine, client: InferenceClient) -> Outcome:
    async def take(span: Window) -> tuple[int, Arrays] | None:
        count = (span.end - span.start) // EVERY
        sample: list[Drawn] = []
        days: list[int] = []
        for number in range(count):
            start = span.start + number * EVERY
            one_day = await _prompts(engine, Window(start, start + EVERY), KEPT // count)
            sample += one_day
            days += [number] * len(one_day)
        phase = phase_of(number_of(span.start, EVERY), EVERY)
        vectors = await _embedded(engine, client, sample)
        return await asyncio.to_thread(frozen, sample, vectors, np.array(days), phase)

    reference = await reference_for(engine, NAME, window, take)
    sample = await _prompts(engine, window, A_DAY)
    if reference is None:
        return Outcome(
            Status.NO_DATA,
            len(sample),
            "no reference yet: it takes 14 days under one set of versions",
        )
    before = await drift_records.state_before(engine, reference, window.start)
    vectors = await _embedded(engine, client, sample)
    number = number_of(window.start, EVERY)
    state, findings, seen = await asyncio.to_thread(
        measure,
        reference.arrays,
        sample,
        vectors,
        before,
        window=number,
        phase=phase_of(number, EVERY),
    )
    await drift_records.keep_state(engine, reference, window.end, state)
    return judge(reference, findings, seen)


def judge(reference: Reference, findings: Sequence[Finding], seen: Seen) -> Outcome:
    """DRIFT where a test says so; the clusters are shown in any case, they alarm nobody."""
    alarmed = [finding for finding in findings if finding.alarmed]
    by_metric = {f.stream.metric: f for f in findings if f.stream.slice == "all"}
    few = seen.n < LEAST
    figures = [_novelty(seen, by_metric["novelty"], few)]
    told = seen.two_sample
    figures.append(
        _figure(
            "area under the curve",
            None if told is None else told.auc,
            by_metric["classifier"],
            seen.n,
        )
    )
    crowds = by_metric["crowds"]
    figures.append(
        _figure("crowded places", None if few else len(seen.clusters), crowds, seen.n, "places")
    )
    for place, cluster in enumerate(seen.clusters[:SHOWN], start=1):
        note = f"seen from {cluster.since:%Y-%m-%d %H:%M} UTC; " + ", ".join(cluster.examples)
        status = Status.DRIFT if crowds.alarmed else Status.OK
        figures.append(
            Figure(f"cluster {place}", cluster.size, "prompts", seen.n, status, note=note)
        )
    for finding in alarmed:
        if finding.stream.slice != "all":
            figures.append(_figure(f"novelty on {finding.stream.slice}", None, finding, seen.n))
    message = [f"{len(findings)} tests, {len(alarmed)} in alarm"]
    message += [
        f"{f.stream.metric} on {f.stream.slice} since {start_of(f.since, EVERY):%Y-%m-%d}"
        for f in alarmed
        if f.explained_by is None
    ]
    span = reference.window
    message.append(f"against {span.start:%Y-%m-%d} to {span.end:%Y-%m-%d}")
    status = Status.DRIFT if alarmed else Status.NO_DATA if few else Status.OK
    return Outcome(status, seen.n, "; ".join(message), tuple(figures))


def _novelty(seen: Seen, finding: Finding, few: bool) -> Figure:
    hits = round((seen.novelty or 0.0) * seen.n)
    low, high = wilson(hits, seen.n) or (None, None)
    figure = _figure("novelty rate", seen.novelty, finding, seen.n, "share")
    return Figure(
        figure.name,
        figure.value,
        figure.unit,
        figure.n,
        Status.NO_DATA if few and not finding.alarmed else figure.status,
        low=low,
        high=high,
        threshold=seen.edges[1],
        note=figure.note,
        alarm=figure.alarm,
    )


def _figure(
    name: str, value: float | None, finding: Finding, n: int, unit: str = "share"
) -> Figure:
    note = f"strength {finding.strength:+.1f}"
    if finding.alarmed:
        note = f"since {start_of(finding.since, EVERY):%Y-%m-%d}; {note}"
        alarm = alarm_of(finding, EVERY)
        return Figure(name, value, unit, n, Status.DRIFT, note=note, alarm=alarm)
    return Figure(name, value, unit, n, Status.NO_DATA if value is None else Status.OK, note=note)


async def _prompts(engine: AsyncEngine, window: Window, most: int) -> list[Drawn]:
    return [one for one in await drawn(engine, window, most=most) if one.prompt.strip()]


async def _embedded(
    engine: AsyncEngine, client: InferenceClient, sample: Sequence[Drawn]
) -> Vectors:
    """One vector a prompt, in order. What the log has is taken; what it has not, it gets."""

    async def embed(texts: Sequence[str]) -> Sequence[Vector]:
        return await client.embed(texts, timeout_seconds=_SECONDS)

    moments = {UUID(one.id): one.started_at for one in sample}
    async with connected(engine) as connection:
        vectors: dict[UUID, Vector] = dict(await known(connection, moments))
    missing = [
        Prompt(UUID(one.id), one.started_at, one.prompt)
        for one in sample
        if UUID(one.id) not in vectors
    ]
    made = await vectors_of(embed, [prompt.text for prompt in missing])
    shown = [number for number, prompt in enumerate(missing) if is_shown(prompt.text)]
    async with connected(engine) as connection:
        await keep(connection, [missing[n] for n in shown], [made[n] for n in shown])
    vectors.update(zip((prompt.id for prompt in missing), made, strict=True))
    # As the log keeps them, so that a vector is the same whoever made it.
    return (
        np.array([vectors[UUID(one.id)] for one in sample], dtype=np.float16)
        .astype(np.float32)
        .reshape(len(sample), EMBEDDING_SIZE)
    )
