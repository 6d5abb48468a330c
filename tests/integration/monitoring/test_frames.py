"""What monitoring reads from a real log."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from monitoring.frames import outcomes, reached, scores
from tests.integration.monitoring.traffic import HOUR, an_hour_of_traffic, fill


async def test_scores_are_the_highest_of_each_label_in_each_exchange(
    postgres_url: str, engine: AsyncEngine
):
    await fill(postgres_url, an_hour_of_traffic())
    found = await scores(engine, HOUR)
    assert found.n == 49
    assert sorted(found.columns) == ["toxicity/insult on input", "toxicity/insult on output"]
    assert sorted(found.columns["toxicity/insult on input"])[-7:] == [0.02, *[0.93] * 6]
    drawn = await scores(engine, HOUR, max_exchanges=24)
    assert 5 < len(drawn.columns["toxicity/insult on input"]) < 44


async def test_outcomes_and_those_that_reached_a_model_are_counted(
    postgres_url: str, engine: AsyncEngine
):
    await fill(postgres_url, an_hour_of_traffic())
    counted = await outcomes(engine, HOUR)
    assert (counted.n, counted.block, counted.flag, counted.failed) == (49, 6, 1, 1)
    async with engine.connect() as connection:
        assert await reached(connection, HOUR) == 43
