"""A week's report made of real rows, kept, mailed through a real SMTP server, and made again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncEngine

from guardrails.database import make_engine
from monitoring.jobs import weekly_report
from monitoring.report import happened, queries, records
from monitoring.report.collect import collect
from monitoring.report.command import report
from monitoring.report.document import opened, sha256_of
from monitoring.report.make import make, tell
from monitoring.report.render import pages
from monitoring.report.week import window_of
from monitoring.types import Status, Window
from tests.bench.month import Month, fill
from tests.integration.monitoring.alerts.receivers import Mailbox, mailbox

WEEK = window_of("2026-W47")
AFTER = WEEK.end + timedelta(minutes=5)


@pytest.fixture(scope="module")
def month_url(make_database: Callable[..., str]) -> str:
    """Five weeks of 40 exchanges a day, reviewed; nothing here changes a row of them."""
    url = make_database()
    asyncio.run(fill(url, "2026-W47", 40, 6, ("filter_quality",)))
    return url


@pytest.fixture
async def month(month_url: str) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(month_url)
    async with engine.begin() as connection:
        await connection.execute(sql("DELETE FROM weekly_reports"))
    yield engine
    await engine.dispose()


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as box:
        yield box


async def test_the_same_rows_collect_into_the_same_document(month: AsyncEngine):
    first, second = await collect(month, WEEK), await collect(month, WEEK)
    assert sha256_of(first) == sha256_of(second)
    assert first.n > 150
    numbers = {one.name: one for one in first.headlines}
    assert numbers["Blocked"].change.changed, "the nine hours of injections"
    assert numbers["Harm, by human sample"].value is not None
    assert {one.kind for one in first.events} == {"policy", "model"}
    assert "image" in {one.what for one in first.uncovered}
    assert {"seal", "retention"} <= set(first.never_ran)
    (ran,) = first.jobs
    assert sum(ran.statuses.values()) == 7
    assert len(first.days) == 7


async def test_harm_that_was_served_is_named_by_its_exchange(month: AsyncEngine):
    month_long = Window(WEEK.start - timedelta(days=28), WEEK.end)
    found = await happened.passed(month, month_long)
    assert found
    assert {one.state for one in found} <= {"allow", "flag"}
    assert all(one.path.startswith("/exchanges/0") for one in found)


async def test_times_are_none_where_nothing_reached_a_model(engine: AsyncEngine):
    async with engine.connect() as connection:
        assert await queries.quantiles(connection, WEEK, [0.5]) == (None, None)
        assert await queries.reached(connection, WEEK) == 0


async def test_a_report_is_made_once_and_stands_whatever_comes_later(month: AsyncEngine):
    kept, new = await make(month, WEEK, links=None, now=AFTER)
    again, new_again = await make(month, WEEK, links="https://other.example", now=AFTER)
    assert (new, new_again) == (True, False)
    assert again == kept
    assert pages(opened(kept.frozen)) == (kept.html, kept.pdf)
    assert kept.sha256 == sha256_of(opened(kept.frozen))


async def test_a_week_that_is_not_over_has_no_report(month: AsyncEngine):
    with pytest.raises(ValueError, match="ends on 2026-11-23"):
        await make(month, WEEK, links=None, now=WEEK.end - timedelta(seconds=1))
    assert await records.find(month, date(2026, 11, 16)) is None


async def test_a_mail_has_text_html_pictures_and_the_pdf_and_goes_once(
    month: AsyncEngine, box: Mailbox
):
    kept, _ = await make(month, WEEK, links="https://banister.example", now=AFTER)
    (sent,) = await tell(month, kept, [box.channel], now=AFTER)
    assert sent.ok, sent
    kept, _ = await make(month, WEEK, links=None, now=AFTER)
    assert await tell(month, kept, [box.channel], now=AFTER) == []
    (message,) = box.messages
    parts = [part for part in message.walk() if not part.is_multipart()]
    kinds = [part.get_content_type() for part in parts]
    assert kinds == ["text/plain", "text/html", "image/png", "image/png", "application/pdf"]
    assert message["subject"].startswith("Safety report 2026-W47")
    assert "cid:blocked.png" in parts[1].get_content()
    assert "<blocked.png>" in {part["content-id"] for part in parts}
    assert parts[4].get_filename() == "safety-report-2026-W47.pdf"
    assert parts[4].get_content() == kept.pdf


async def test_a_mail_that_did_not_get_through_is_tried_again(month: AsyncEngine):
    kept, _ = await make(month, WEEK, links=None, now=AFTER)
    (sent,) = await tell(month, kept, ["mailto://127.0.0.1:9?from=a@b.example"], now=AFTER)
    assert not sent.ok
    assert (await records.latest(month))[0].mailed_at is None


async def test_the_job_makes_and_mails_and_finds_it_the_second_time(
    month: AsyncEngine, box: Mailbox, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BANISTER_REPORT_CHANNELS", f'["{box.channel}"]')
    first = await weekly_report.run(window_of("2026-W46"), month)
    second = await weekly_report.run(window_of("2026-W46"), month)
    assert (first.status, second.status) == (Status.OK, Status.OK), first.message
    assert "mailed to 1 of 1" in first.message
    assert "stands" in second.message
    assert len(box.messages) == 1


async def test_a_week_without_traffic_is_no_data(
    engine: AsyncEngine, postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BANISTER_DATABASE_URL", postgres_url)
    done = await weekly_report.run(window_of("2026-W46"), engine)
    assert done.status is Status.NO_DATA
    kept = await records.find(engine, date(2026, 11, 9))
    assert b"nothing can be said of its safety" in kept.html


async def test_the_command_writes_both_files_and_proves_the_bytes(
    month: AsyncEngine, month_url: str, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BANISTER_DATABASE_URL", month_url)
    files = [str(tmp_path / name) for name in ("r.html", "r.pdf")]
    arguments = ["--week", "2026-W46", "--html", files[0], "--pdf", files[1], "--check"]
    done = await asyncio.to_thread(CliRunner().invoke, report, arguments)
    assert done.exit_code == 0, done.output
    assert "the same bytes" in done.output
    assert "Blocked" in done.output
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")
    wrong = await asyncio.to_thread(CliRunner().invoke, report, ["--week", "2026-W60"])
    assert wrong.exit_code == 2
    nobody = await asyncio.to_thread(CliRunner().invoke, report, ["--mail"])
    assert "BANISTER_REPORT_CHANNELS" in nobody.output


async def test_the_month_is_the_same_for_the_same_seed():
    one = [exchange.id for exchange in Month(WEEK, 20, 3).exchanges()]
    assert one == [exchange.id for exchange in Month(WEEK, 20, 3).exchanges()]
    assert one != [exchange.id for exchange in Month(WEEK, 20, 4).exchanges()]
