"""What is sampled for reviewers, from a real log."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.own_traffic import OWN_TENANT
from guardrails.types import Action, Caller, Segment, Stage, Verdict
from monitoring import reviews
from monitoring.jobs.review_sample import A_STRATUM, UNCERTAIN, run, sample
from monitoring.types import Status, Window
from tests.browser.traffic import write
from tests.factories import make_blocked, make_check, make_exchange, make_reason

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(hours=6), NOW)


def traffic() -> list:
    at = [NOW - timedelta(minutes=2 + n) for n in range(100)]
    answer = (Segment(Stage.OUTPUT, "assistant", 0, ("choices", 0), "x"),)
    plain = [make_exchange(started_at=at[n], outputs=answer) for n in range(40)]
    near = [
        make_exchange(started_at=at[40 + n], checks=(make_check(score=0.31 + n / 100),))
        for n in range(20)
    ]
    blocked = [make_blocked(started_at=at[60 + n]) for n in range(3)]
    flagged = [
        make_exchange(
            started_at=at[70 + n],
            verdict=Verdict(Action.FLAG, (make_reason(action=Action.FLAG, score=0.8 + n / 100),)),
        )
        for n in range(8)
    ]
    own = [make_exchange(started_at=at[90], caller=Caller("k", OWN_TENANT))]
    return plain + near + blocked + flagged + own


async def test_each_stratum_gives_its_share_with_a_known_probability(
    postgres_url: str, engine: AsyncEngine
):
    await write(postgres_url, traffic())
    found = await sample(engine, WINDOW, now=NOW)
    assert found.sizes == {"plain": 40, "near": 20, "blocked": 3, "flagged": 8}
    chance = [item for item in found.items if item.why == "random"]
    assert Counter(item.stratum for item in chance if item.side == "input") == {
        "plain": A_STRATUM,
        "near": A_STRATUM,
        "blocked": 3,
        "flagged": A_STRATUM,
    }
    assert {(item.stratum, item.probability) for item in chance} == {
        ("plain", 5 / 40),
        ("near", 5 / 20),
        ("blocked", 1.0),
        ("flagged", 5 / 8),
    }
    assert sum(item.side == "output" for item in chance if item.stratum == "plain") == A_STRATUM


async def test_the_least_sure_are_the_closest_to_a_threshold(
    postgres_url: str, engine: AsyncEngine
):
    await write(postgres_url, traffic())
    unsure = [i for i in (await sample(engine, WINDOW, now=NOW)).items if i.why == "uncertain"]
    assert len(unsure) == UNCERTAIN
    assert {item.probability for item in unsure} == {None}
    assert {item.stratum for item in unsure} == {"flagged"}


async def test_a_window_that_is_run_again_adds_nothing(postgres_url: str, engine: AsyncEngine):
    await write(postgres_url, traffic())
    first = await run(WINDOW, engine)
    assert (first.status, first.n) == (Status.OK, 71)
    assert "0 items" in (await run(WINDOW, engine)).message
    assert len(await reviews.sampled(engine, WINDOW, why="uncertain")) == UNCERTAIN


async def test_an_empty_window_is_no_data(engine: AsyncEngine):
    assert (await run(WINDOW, engine)).status is Status.NO_DATA
