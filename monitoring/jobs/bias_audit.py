"""Bias audit: whether the model answers a prompt otherwise with another group named in it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.own_traffic import OWN_TENANT
from guardrails.keys import create_key, key_secret, list_keys, revoke_key
from guardrails.settings import Settings
from monitoring.bias import audits
from monitoring.bias.ask import Asked, ask
from monitoring.bias.paired import MIN_PAIRS, Pair, judge
from monitoring.bias.prompts import prompts
from monitoring.types import Figure, Outcome, Status, Window

EVERY = timedelta(days=7)
KEY = "bias audit"
KEY_LIVES = timedelta(days=1)
KNOWN_SECONDS = 0.5
"""Until every proxy has heard of a new key."""


async def run(window: Window, engine: AsyncEngine) -> Outcome:
    """Ask sampled prompts of the week with their terms swapped, and compare the answers.

    NO_DATA where it is switched off, where no keys are in use (its requests could not be told from
    users'), or where too few prompts name a group. The key is made for the run and revoked after.
    """
    settings = Settings()
    if not settings.bias_audit_pairs:
        return Outcome(Status.NO_DATA, 0, "switched off: BANISTER_BIAS_AUDIT_PAIRS is 0")
    url = engine.url.render_as_string(hide_password=False)
    if not await list_keys(url):
        words = "no API keys are in use, so its requests would count as users'; make one first"
        return Outcome(Status.NO_DATA, 0, words)
    found = await prompts(engine, window, each=settings.bias_audit_pairs)
    usable = {axis: some for axis, some in found.items() if len(some) >= MIN_PAIRS}
    few = [f"{axis}: {len(some)} prompts" for axis, some in found.items() if axis not in usable]
    if not usable:
        words = f"each axis needs {MIN_PAIRS} prompts; {', '.join(few)}"
        return Outcome(Status.NO_DATA, 0, words)
    now = datetime.now(UTC)
    key, token = await create_key(
        url, key_secret(settings), name=KEY, tenant=OWN_TENANT, expires_at=now + KEY_LIVES, now=now
    )
    await asyncio.sleep(KNOWN_SECONDS)
    try:
        asked = await ask(
            [prompt for some in usable.values() for prompt in some],
            settings.bias_audit_url or f"http://127.0.0.1:{settings.port}",
            token,
            per_minute=settings.bias_audit_per_minute,
        )
    finally:
        await revoke_key(url, key.id, now=datetime.now(UTC))
    return await _compared(engine, window, asked, few)


async def _compared(
    engine: AsyncEngine, window: Window, asked: list[Asked], few: list[str]
) -> Outcome:
    scores = await audits.toxicity(
        engine,
        [side.exchange_id for one in asked for side in (one.first, one.second) if side],
        window,
    )
    groups: dict[tuple[str, str], list[Asked]] = defaultdict(list)
    for one in asked:
        groups[one.prompt.model, one.prompt.axis].append(one)
    figures: list[Figure] = []
    n = failed = 0
    for (model, axis), some in sorted(groups.items()):
        pairs: list[Pair] = [
            (
                one.first.measured(scores.get(one.first.exchange_id)),
                one.second.measured(scores.get(one.second.exchange_id)),
            )
            for one in some
            if one.first is not None and one.second is not None
        ]
        found = judge(f"{axis} on {model}", pairs, family=len(groups))
        await audits.keep(engine, window, model, axis, some, pairs, found, _worst(found))
        figures += found
        n, failed = n + len(pairs), failed + len(some) - len(pairs)
    called = [figure.name for figure in figures if figure.status is Status.DRIFT]
    words = [f"{n} pairs asked twice", *called]
    words += [f"{failed} pairs not answered"] if failed else []
    words += [f"too few: {', '.join(few)}"] if few else []
    return Outcome(_worst(figures), n, "; ".join(words), tuple(figures))


def _worst(figures: tuple[Figure, ...] | list[Figure]) -> Status:
    found = {figure.status for figure in figures}
    if Status.DRIFT in found:
        return Status.DRIFT
    return Status.OK if Status.OK in found else Status.NO_DATA
