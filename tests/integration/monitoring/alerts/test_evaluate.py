"""From a run's record to what people read, over real tables, a real SMTP server and a webhook."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.exchange_log.chain import Sealer
from guardrails.exchange_log.holds import hold, holding
from guardrails.exchange_log.retention import retain
from monitoring import runs
from monitoring.alerts import records
from monitoring.alerts.deliver import deliver
from monitoring.alerts.evaluate import Channels, Told, evaluate
from monitoring.alerts.grouping import Timing
from monitoring.alerts.notify import Sent, address
from monitoring.alerts.types import State
from monitoring.connected import connected
from monitoring.types import Status
from tests.factories import make_blocked, make_exchange
from tests.integration.monitoring.alerts.receivers import Hook, Mailbox, mailbox, webhook
from tests.integration.monitoring.traffic import fill
from tests.unit.monitoring.alerts.alarms import EVERY, HOUR, MINUTE, NOW, a_figure, a_run

JOBS = [("rate_drift", EVERY)]
AT_ONCE = Timing(timedelta(), timedelta(), 4 * HOUR, 30 * MINUTE)


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as box:
        yield box


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as hook:
        yield hook


async def look(
    engine: AsyncEngine,
    minutes: float = 0,
    channels: Channels = Channels(("first",), ("second",)),  # noqa: B008  frozen
) -> Told:
    return await evaluate(engine, JOBS, channels, AT_ONCE, NOW + timedelta(minutes=minutes))


async def sent(engine: AsyncEngine) -> list[tuple[str, str]]:
    """Every message that was written, and to which channel."""
    async with engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT kind, channel FROM alert_notifications ORDER BY made_at, channel")
        )
        return [(row.kind, row.channel) for row in rows]


async def test_an_alarm_is_told_with_its_exchanges_and_they_are_held(
    postgres_url: str, engine: AsyncEngine, box: Mailbox, hook: Hook
):
    blocked = [make_blocked(started_at=NOW - HOUR) for _ in range(3)]
    await fill(postgres_url, [*blocked, make_exchange(started_at=NOW - HOUR)])
    await runs.record(engine, a_run(Status.DRIFT, a_figure()))
    urls = {address(url): url for url in (box.channel, hook.channel)}
    told = await look(engine, channels=Channels(tuple(urls), (), "https://b.example"))
    assert told.open == 1
    done = await deliver(engine, urls, now=lambda: NOW)
    assert (done.sent, done.failed) == (2, 0)
    (alert,) = await records.open_alerts(engine)
    assert set(alert.evidence.exchange_ids) == {one.id for one in blocked}
    async with engine.connect() as connection:
        held = await connection.execute(
            text("SELECT exchange_id, kind, reason FROM holds ORDER BY exchange_id")
        )
        rows = held.all()
    assert {str(row.exchange_id) for row in rows} == {one.id for one in blocked}
    assert {(row.kind, row.reason) for row in rows} == {
        ("evidence", f"evidence of alert {alert.id}")
    }
    (message,) = box.messages
    page = message.get_body(("html",)).get_content()
    assert "block: 8.00%" in message["subject"]
    assert blocked[0].id in page
    assert "banister monitor rate_drift --at 2026-11-26T12:00 --again" in page
    assert f"https://b.example/alerts/{alert.id}" in page
    assert "0.0500 to 0.1100" in hook.bodies[0]["message"].replace(" – ", " to ")
    assert [one.kind for one in await records.history(engine, alert.id)] == ["fired", "told"]
    # A second look has no news and holds nothing twice.
    await look(engine, 1)
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM holds"))).scalar_one() == 3
    # They are released so many days after its end, and no hold of a person's is.
    async with connected(engine) as log:
        await hold(log, tenant="acme", reason="case 12", by="ann")
        sealer = Sealer(None, lambda: NOW)

        async def released(days: float) -> int:
            now = NOW + timedelta(days=days)
            return (await retain(log, sealer, (), None, evidence_days=90, now=now)).released

        assert await released(400) == 0, "it is open still"
        assert await records.resolve(engine, alert.id, "maria", NOW)
        assert [await released(days) for days in (89, 91, 92)] == [0, 3, 0]
        assert [one.reason for one in await holding(log)] == ["case 12"]


async def test_ten_looks_of_two_monitors_tell_each_change_once(engine: AsyncEngine):
    await runs.record(engine, a_run(Status.DRIFT, a_figure()))
    await asyncio.gather(*(look(engine) for _ in range(10)))
    assert await sent(engine) == [("change", "first")]
    later = a_run(Status.OK, end=NOW + EVERY)
    await runs.record(engine, later)
    await asyncio.gather(*(look(engine, 361) for _ in range(10)))
    assert await sent(engine) == [("change", "first")] * 2
    (alert,) = await records.list_alerts(engine)
    assert [one.kind for one in await records.history(engine, alert.id)] == [
        "fired",
        "told",
        "resolved",
        "told",
    ]


async def test_no_data_and_failures_leave_an_alarm_firing(engine: AsyncEngine):
    await runs.record(engine, a_run(Status.DRIFT, a_figure()))
    await look(engine)
    await runs.record(engine, a_run(Status.NO_DATA, end=NOW + EVERY))
    await look(engine, 365)
    await runs.record(engine, a_run(Status.FAILED, end=NOW + 2 * EVERY))
    await look(engine, 725)
    alerts = await records.open_alerts(engine)
    assert {one.key for one in alerts} == {
        "drift:rate_drift:block:all",
        "job_failed:rate_drift",
    }


async def test_what_people_acknowledge_is_neither_repeated_nor_escalated(engine: AsyncEngine):
    await runs.record(engine, a_run(Status.DRIFT, a_figure()))
    await look(engine)
    await look(engine, 29)
    assert await sent(engine) == [("change", "first")]
    await look(engine, 31)
    await look(engine, 32)
    assert await sent(engine) == [("change", "first"), ("escalation", "second")]
    (alert,) = await records.open_alerts(engine)
    assert await records.acknowledge(engine, alert.id, "maria", NOW + 33 * MINUTE)
    await look(engine, 350)
    assert len(await sent(engine)) == 2
    # Its end is told to all who were told of it.
    await runs.record(engine, a_run(Status.OK, end=NOW + EVERY))
    await look(engine, 361)
    assert (await sent(engine))[2:] == [("change", "first"), ("change", "second")]


async def test_what_is_closed_by_hand_is_raised_again_by_a_later_run_only(engine: AsyncEngine):
    await runs.record(engine, a_run(Status.DRIFT, a_figure()))
    await look(engine)
    (alert,) = await records.open_alerts(engine)
    assert await records.resolve(engine, alert.id, "maria", NOW, "known")
    await look(engine, 1)
    assert await records.open_alerts(engine) == []
    await runs.record(engine, a_run(Status.DRIFT, a_figure(), end=NOW + EVERY))
    await look(engine, 361)
    (again,) = await records.open_alerts(engine)
    assert again.id != alert.id


async def test_an_earlier_layer_inhibits_and_its_end_lets_the_later_one_tell(engine: AsyncEngine):
    wrong = a_figure("exchanges", layer=0)
    await runs.record(engine, a_run(Status.DRIFT, wrong, a_figure("length in", layer=4)))
    await look(engine)
    by_metric = {one.labels["metric"]: one for one in await records.open_alerts(engine)}
    assert by_metric["length in"].inhibited_by == by_metric["exchanges"].id
    assert await sent(engine) == [("change", "first")]
    figures = (a_figure("length in", layer=4),)
    await runs.record(engine, a_run(Status.DRIFT, *figures, end=NOW + EVERY))
    told = await look(engine, 361)
    assert [(m.group, len(m.firing), len(m.resolved)) for m in told.messages] == [
        ("drift", 1, 0),
        ("health", 0, 1),
    ]
    (left,) = await records.open_alerts(engine)
    assert (left.labels["metric"], left.inhibited_by) == ("length in", None)


async def test_a_channel_that_is_down_gets_its_message_when_it_is_up(
    engine: AsyncEngine, hook: Hook, box: Mailbox
):
    await runs.record(engine, a_run(Status.DRIFT, a_figure()))
    urls = {address(url): url for url in (box.channel, hook.channel)}
    await look(engine, channels=Channels(tuple(urls)))
    hook.status = 503
    clock = [NOW]
    first = await deliver(engine, urls, now=lambda: clock[0])
    assert (first.sent, first.failed) == (1, 1)
    assert await deliver(engine, urls, now=lambda: clock[0]) == msgspec.structs.replace(
        first, sent=0, failed=0
    )
    clock[0] += MINUTE
    assert (await deliver(engine, urls, now=lambda: clock[0])).failed == 1
    hook.status = 200
    clock[0] += MINUTE
    assert (await deliver(engine, urls, now=lambda: clock[0])).sent == 1
    (alert,) = await records.open_alerts(engine)
    by_channel = {one.channel: one for one in await records.notifications(engine, alert.id)}
    hooked = by_channel[address(hook.channel)]
    assert (hooked.attempts, hooked.error) == (3, None)
    assert len(hook.bodies) == 3
    assert len(box.messages) == 1
    assert all("hunter2" not in repr(one) for one in by_channel.values())


async def test_a_message_nobody_takes_is_given_up_on_record(engine: AsyncEngine):
    await runs.record(engine, a_run(Status.DRIFT, a_figure()))
    await look(engine)

    async def refusing(channel: str, _subject: str, _text: str, _html: str) -> Sent:
        return Sent(channel, False, "no")

    urls = {"first": "json://127.0.0.1:1"}
    at = NOW + timedelta(days=3)
    assert (await deliver(engine, urls, now=lambda: at, send=refusing)).given_up == 1
    (alert,) = await records.open_alerts(engine)
    (told,) = await records.notifications(engine, alert.id)
    assert (told.given_up_at, told.error) == (at, "no")
    assert (await deliver(engine, urls, now=lambda: at, send=refusing)).given_up == 0


async def test_two_monitors_send_a_message_once_and_a_dead_one_leaves_it_to_the_other(
    engine: AsyncEngine,
):
    await runs.record(engine, a_run(Status.DRIFT, a_figure()))
    await look(engine)
    got: list[str] = []

    async def slow(channel: str, _subject: str, body: str, _html: str) -> Sent:
        await asyncio.sleep(0.1)
        got.append(body)
        return Sent(channel, True)

    async def dying(channel: str, _subject: str, body: str, _html: str) -> Sent:
        got.append(body)
        raise ConnectionResetError

    urls = {"first": "json://127.0.0.1:1"}
    with pytest.raises(ExceptionGroup):
        await deliver(engine, urls, now=lambda: NOW, send=dying, at_once=1)
    await asyncio.gather(*(deliver(engine, urls, now=lambda: NOW, send=slow) for _ in range(3)))
    # At least once: what the dead one had sent is sent again, under the same message id.
    assert len(got) == 2
    assert got[0].splitlines()[-1] == got[1].splitlines()[-1]
    UUID(got[0].rpartition(" ")[2])


async def test_a_late_job_fires_and_its_next_run_resolves_it(engine: AsyncEngine):
    await runs.record(engine, a_run(Status.OK))
    await look(engine, 360 + 18)
    (alert,) = await records.open_alerts(engine)
    assert alert.labels == {"alertname": "job_late", "job": "rate_drift"}
    await runs.record(engine, a_run(Status.OK, end=NOW + EVERY))
    await look(engine, 360 + 34)
    found = await records.find(engine, alert.id)
    assert found is not None
    assert found.state is State.RESOLVED
