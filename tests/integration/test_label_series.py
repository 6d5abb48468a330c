"""Labels over time, and answers held against passages, over a real log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.grounded import grounded
from guardrails.exchange_log.label_series import Fired, label_series
from guardrails.exchange_log.own_traffic import OWN_TENANT
from guardrails.exchange_log.part_counts import HOUR, Part
from guardrails.types import Action, Caller, Citation, Exchange, Verdict
from monitoring.jobs import load
from monitoring.types import Window
from tests.browser.traffic import write
from tests.factories import make_blocked, make_exchange, make_reason

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PAST = NOON - 3 * HOUR


def fired(at: datetime, **changes: object) -> Exchange:
    reasons = (make_reason(), make_reason(rule="twice"), make_reason(label="threat", shadow=True))
    return make_blocked(started_at=at, verdict=Verdict(Action.BLOCK, reasons), **changes)


@pytest.mark.parametrize("counted", [False, True])
async def test_a_label_counts_once_an_exchange_before_and_after_the_rollup(
    engine: AsyncEngine, postgres_url: str, counted: bool
):
    own = Caller(None, OWN_TENANT)
    rows = [fired(PAST), fired(PAST + HOUR), fired(PAST + HOUR), fired(PAST, caller=own)]
    await write(postgres_url, [*rows, make_exchange(started_at=PAST)])
    if counted:
        await load("rollups").run(Window(PAST, NOON), engine)
    async with engine.connect() as connection:
        whole = await label_series(connection, PAST, NOON, HOUR, Part())
        of_all = await label_series(connection, PAST, NOON, HOUR, Part(tenants=("acme",)))
        for found in (whole, of_all):
            assert found.exchanges == {PAST: 2, PAST + HOUR: 2}
            assert [(one.start, one.label, one.shadow, one.exchanges) for one in found.labels] == [
                (PAST, "insult", False, 1),
                (PAST, "threat", True, 1),
                (PAST + HOUR, "insult", False, 2),
                (PAST + HOUR, "threat", True, 2),
            ]
        minutes = timedelta(minutes=90)
        fine = await label_series(connection, PAST, PAST + 2 * minutes, minutes, Part())
        assert sum(one.exchanges for one in fine.labels if one.label == "insult") == 3
        for part in (Part(route="other"), Part(tenants=())):
            assert await label_series(connection, PAST, NOON, HOUR, part) == Fired({}, ())


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("bucket", [HOUR, timedelta(minutes=30)])
async def test_the_span_before_is_told_as_one_step(
    engine: AsyncEngine, postgres_url: str, counted: bool, bucket: timedelta
):
    spread = [fired(PAST - n * HOUR) for n in range(4)]
    await write(postgres_url, [*spread, make_exchange(started_at=PAST - 2 * HOUR)])
    if counted:
        await load("rollups").run(Window(PAST, NOON), engine)
    before = PAST - 2 * HOUR
    async with engine.connect() as connection:
        found = await label_series(connection, PAST, NOON, bucket, Part(), before=before)
    assert found.exchanges == {before: 3, PAST: 1}
    assert [(one.start, one.exchanges) for one in found.labels if not one.shadow] == [
        (before, 2),
        (PAST, 1),
    ]


async def test_answers_are_counted_by_their_sentences(engine: AsyncEngine, postgres_url: str):
    cited = (Citation(0, 0, 5, 0.9, 1), Citation(0, 6, 9, 0.2), Citation(0, 9, 12, 0.5, 2))
    rows = [make_exchange(started_at=PAST, citations=cited), make_exchange(started_at=PAST)]
    await write(postgres_url, rows)
    async with engine.connect() as connection:
        seen = await grounded(connection, PAST, NOON, Part())
        assert seen.looked_at == 2
        (answer,) = seen.answers
        assert (answer.sentences, answer.supported, answer.least) == (3, 2, 0.2)
        assert (await grounded(connection, PAST, NOON, Part(tenants=("x",)))).answers == ()
