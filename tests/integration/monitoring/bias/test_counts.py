from __future__ import annotations

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log import query
from guardrails.exchange_log.own_traffic import OWN_TENANT
from guardrails.types import Caller, Check, Stage
from monitoring import drift_frames, frames
from monitoring.bias.counts import counts
from monitoring.jobs import bias_rates
from monitoring.types import Status
from tests.factories import make_blocked, make_check, make_exchange
from tests.integration.monitoring.traffic import HOUR, fill

AT = HOUR.start + timedelta(minutes=1)
WOMEN = ("gender:women",)


def toxic(score: float) -> tuple[Check, ...]:
    return (make_check(), make_check("toxicity", score, side=Stage.OUTPUT))


async def test_exchanges_are_counted_by_group_and_language(engine: AsyncEngine, postgres_url: str):
    kind = {"started_at": AT, "language": "en", "groups": WOMEN}
    both = (*WOMEN, "religion:jews")
    await fill(
        postgres_url,
        [
            *(make_exchange(**kind, checks=toxic(0.1)) for _ in range(5)),
            make_exchange(**kind, checks=toxic(0.9)),
            make_blocked(started_at=AT, language="de", groups=both),
            make_exchange(started_at=AT, language="de"),
        ],
    )
    found = {(one.kind, one.name): one for one in await counts(engine, HOUR)}
    women = found["group", "gender:women"]
    assert (women.n, women.hits["block"], women.hits["toxicity"]) == (7, 1, 1)
    assert women.of["toxicity"] == 6
    assert found["group", "religion:jews"].n == 1
    assert found["any group", ""].n == 7
    assert found["language", "de"].hits["block"] == 1
    outcome = await bias_rates.run(HOUR, engine)
    assert (outcome.status, outcome.n) == (Status.NO_DATA, 8)


async def test_what_banister_asks_itself_is_in_no_count(engine: AsyncEngine, postgres_url: str):
    kind = {"started_at": AT, "language": "en"}
    own = [make_exchange(**kind, caller=Caller("k9", OWN_TENANT)) for _ in range(4)]
    await fill(postgres_url, [*own, make_exchange(**kind)])
    assert [one.n for one in await counts(engine, HOUR)] == [1]
    assert (await frames.outcomes(engine, HOUR)).n == 1
    assert (await frames.scores(engine, HOUR)).n == 1
    assert len(await drift_frames.drawn(engine, HOUR)) == 1
    by_slice = await drift_frames.counts(engine, HOUR, timedelta(hours=1))
    assert [one.n["block"] for one in by_slice if one.slice == "all"] == [1]
    async with engine.connect() as connection:
        assert (await query.totals(connection, HOUR.start, HOUR.end)).exchanges == 1
        assert len(await query.latest(connection)) == 5, "they can be looked at all the same"
