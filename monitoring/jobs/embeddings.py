"""Embeddings: prompts of the log get vectors within a budget, so that similar ones are found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.errors import GuardUnavailable
from guardrails.exchange_log.embeddings import Embedded, Vector, catch_up
from guardrails.exchange_log.similar import coverage
from guardrails.inference.client import InferenceClient
from guardrails.launch.addresses import inference_socket
from guardrails.settings import Settings
from monitoring.connected import connected
from monitoring.types import Figure, Outcome, Status, Window

EVERY = timedelta(minutes=1)
COVERED = timedelta(days=1)
_SECONDS = 30.0


async def run(
    window: Window,
    engine: AsyncEngine,
    *,
    inference: InferenceClient | None = None,
    settings: Settings | None = None,
) -> Outcome:
    """Embed what is wanted of the rows that came since, at most `embed_per_minute`.

    NO_DATA where it is turned off, or where no inference worker runs: the rows wait for one.
    Cost: 30 to 40 ms of the worker's CPU a prompt.
    """
    settings = settings or Settings()
    if settings.embed_per_minute == 0:
        return Outcome(Status.NO_DATA, 0, "turned off: BANISTER_EMBED_PER_MINUTE is 0")
    client = inference or InferenceClient(inference_socket(settings.data_dir))
    try:
        done = await _run(engine, client, settings)
    except GuardUnavailable as error:
        return Outcome(Status.NO_DATA, 0, f"nothing embedded: {error.message}")
    finally:
        if inference is None:
            await client.close()
    async with engine.connect() as connection:
        covered = await coverage(connection, window.end - COVERED, window.end)
    told = (
        f"{done.made:,} prompts embedded{', all that the minute allows' if done.spent else ''}; "
        f"{covered.embedded:,} of the last day's {covered.exchanges:,} exchanges have a vector"
    )
    share = covered.embedded / covered.exchanges if covered.exchanges else None
    figures = (
        Figure("embedded", done.made, "exchanges", done.made),
        Figure("with a vector", share, "share", covered.exchanges),
    )
    return Outcome(Status.OK, done.made, told, figures)


async def _run(engine: AsyncEngine, client: InferenceClient, settings: Settings) -> Embedded:
    async def embed(texts: Sequence[str]) -> Sequence[Vector]:
        return await client.embed(texts, timeout_seconds=_SECONDS)

    async with connected(engine) as connection:
        return await catch_up(
            connection, embed, budget=settings.embed_per_minute, share=settings.embed_share
        )
