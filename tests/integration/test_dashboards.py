"""The dashboards over a real log: every address, its templates, its headers, and its size."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from dashboards import audit
from dashboards.app import create
from dashboards.faults import STATEMENT_SECONDS
from dashboards.security import HEADERS
from guardrails.settings import Settings
from guardrails.types import Exchange, Segment, Stage
from monitoring.jobs import load, names
from monitoring.run import run
from monitoring.windows import last_full
from tests import fakes
from tests.browser.traffic import HOSTILE, a_day, write
from tests.factories import make_check, make_exchange

NOW = datetime(2026, 11, 23, 7, 40, 12, tzinfo=UTC)
MAX_PAGE_BYTES = 100_000


class Page(HTMLParser):
    """What a page holds: its tags with their attributes, and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
async def day_url(make_database: Callable[..., str]) -> str:
    url = make_database()
    await write(url, a_day(NOW, 300))
    return url


def settings_for(url: str, tmp_path: Path, **changes: object) -> Settings:
    return Settings(database_url=url, data_dir=tmp_path, key_secret=SecretStr("s" * 40), **changes)


async def served(app: FastAPI, peer: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, client=(peer, 50_000), raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost:8081") as client,
    ):
        yield client


@pytest.fixture
async def day(day_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async for client in served(create(settings_for(day_url, tmp_path), now=lambda: NOW)):
        yield client


@pytest.fixture
async def fresh(postgres_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async for client in served(create(settings_for(postgres_url, tmp_path), now=lambda: NOW)):
        yield client


@pytest.fixture
async def fresh_now(postgres_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async for client in served(create(settings_for(postgres_url, tmp_path))):
        yield client


async def ids(client: httpx.AsyncClient, address: str = "/exchanges") -> list[str]:
    return re.findall(r'data-id="([^"]+)"', (await client.get(address)).text)


async def test_first_page_shows_the_day_in_figures(day: httpx.AsyncClient):
    answer = await day.get("/")
    page = Page(answer.text)
    assert answer.status_code == 200
    assert "22 Nov 08:00 – 23 Nov 08:00 UTC" in page.text
    assert "of n = 304" in page.text


@pytest.mark.parametrize("narrow", ["route=support", "tenant=acme", "model=assistant-small"])
async def test_figures_follow_the_filter_bar(day: httpx.AsyncClient, narrow: str):
    for span in ("24h", "1h", "30d"):
        page = Page((await day.get(f"/?span={span}&{narrow}")).text)
        listed = len(await ids(day, f"/exchanges?span={span}&{narrow}"))
        (n,) = re.findall(r"of n = ([\d]+) interval", page.text)[:1] or ["0"]
        assert min(int(n), 40) == listed, span
        assert f"span={span}&{narrow}" in str(page.all("a"))


async def test_list_shows_the_latest_exchanges(day: httpx.AsyncClient):
    page = Page((await day.get("/exchanges")).text)
    assert "Can I send the stair rail back, and who pays for that?" in page.text
    assert len(await ids(day)) == 40


async def test_pages_lead_through_the_whole_log_without_repeating(day: httpx.AsyncClient):
    seen: list[str] = []
    address: str | None = "/exchanges"
    while address:
        html = (await day.get(address)).text
        seen += re.findall(r'data-id="([^"]+)"', html)
        older = [a["href"] for a in Page(html).all("a") if a.get("rel") == "next"]
        address = older[0].partition("#")[0] if older else None
    assert len(seen) == len(set(seen)) == 304


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("decision=block", "is-block"),
        ("decision=failed", "is-failed"),
        ("decision=redact", "is-redact"),
    ],
)
async def test_decision_filters_the_list(day: httpx.AsyncClient, query: str, holds: str):
    rows = (await day.get(f"/exchanges?{query}")).text.split("<tbody>")[-1]
    assert rows.count("data-id=") > 0
    assert rows.count("data-id=") == rows.count(f'class="badge {holds}"')


async def test_route_model_and_text_filter_the_list(day: httpx.AsyncClient):
    assert len(await ids(day, "/exchanges?text=%22STAIR+rail+back%22&route=support")) == 1
    assert await ids(day, "/exchanges?text=%22stair+rail+back%22&route=legal") == []
    assert await ids(day, "/exchanges?text=%25") == []
    assert 0 < len(await ids(day, "/exchanges?model=assistant-small")) <= 40
    page = Page((await day.get("/exchanges?text=zzz&route=legal")).text)
    assert "No exchange matches." in page.text
    assert ("input", "legal") in {(t, a.get("value")) for t, a in page.tags}


async def test_one_exchange_shows_what_was_asked_found_and_answered(day: httpx.AsyncClient):
    (found,) = await ids(day, "/exchanges?text=ada%40example.org")
    html = (await day.get(f"/exchanges/{found}")).text
    page = Page(html)
    assert "Passed on, redacted" in page.text
    assert '<mark title="email">ada@example.org' in html
    assert "threshold 0.90" in page.text
    assert "gpu-1" in page.text
    for title in ("Why", "What came in", "What the model saw", "What the model answered",
                  "Checks", "What was not covered", "Timings", "Versions"):  # fmt: skip
        assert title in page.text


async def test_record_is_the_whole_exchange_as_json(day: httpx.AsyncClient):
    (found,) = await ids(day, "/exchanges?text=ada%40example.org")
    answer = await day.get(f"/exchanges/{found}/record.json")
    assert answer.headers["content-type"] == "application/json"
    record = json.loads(answer.text)
    assert record["row"]["id"] == found
    assert record["reasons"][0]["rule"] == "personal-data"


async def test_hostile_text_stays_text(day: httpx.AsyncClient):
    (found,) = await ids(day, "/exchanges?text=onerror")
    for address in ("/exchanges", f"/exchanges/{found}", "/exchanges?text=%22%3E%3Cscript%3E"):
        html = (await day.get(address)).text
        page = Page(html)
        assert page.all("img") == []
        assert all(a.get("src", "").startswith("/static/") for a in page.all("script"))
        assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
        assert HOSTILE[:20] not in html


def worst() -> Exchange:
    """Long texts in wide letters with much to escape, many labels, many passages."""
    text = "<&ش'\"" * 40_000
    segments = tuple(
        Segment(Stage.INPUT, "user", n, ("messages", n, "content"), text) for n in range(60)
    )
    checks = tuple(
        make_check(
            detections=tuple(make_check(f"a_long_label_{n}").detections[0] for n in range(40))
        )
        for _ in range(12)
    )
    return make_exchange(
        "x", text, started_at=NOW, inputs=segments, checks=checks, uncovered=("cut: x",) * 200
    )


async def test_list_of_the_worst_exchanges_is_small(fresh: httpx.AsyncClient, postgres_url: str):
    long = make_exchange("<&ش'\"" * 200, started_at=NOW, model="<&\"'" * 50, route="&" * 99)
    await write(postgres_url, [long.evolve(id=make_exchange().id) for _ in range(60)])
    answer = await fresh.get("/exchanges")
    assert answer.status_code == 200
    assert len(answer.content) <= MAX_PAGE_BYTES


async def test_page_of_the_worst_exchange_is_small(fresh: httpx.AsyncClient, postgres_url: str):
    exchange = worst()
    await write(postgres_url, [exchange])
    answer = await fresh.get(f"/exchanges/{exchange.id}")
    assert answer.status_code == 200
    assert len(answer.content) <= MAX_PAGE_BYTES


async def test_empty_log_is_shown_as_no_data(fresh: httpx.AsyncClient):
    page = Page((await fresh.get("/")).text)
    # Four figures, and the alerts of a monitor that has never run.
    assert page.text.count("No data") == 5
    assert not page.all("svg")[1:]
    assert "The log holds no exchange." in Page((await fresh.get("/exchanges")).text).text
    watched = Page((await fresh.get("/monitoring")).text).text
    assert watched.count("Never ran.") == len(names())


async def test_monitoring_page_shows_the_latest_run_of_each_job(
    fresh: httpx.AsyncClient, postgres_url: str, engine: AsyncEngine
):
    await write(postgres_url, a_day(NOW, 300))
    for name in ("rates", "partitions"):
        job = load(name)
        await run(job, last_full(job.every, NOW), engine, now=lambda: NOW)
    page = Page((await fresh.get("/monitoring")).text)
    assert "Window 23 Nov 06:00 – 23 Nov 07:00 UTC" in page.text
    assert "Partitions ok" in page.text
    assert page.text.count("Never ran.") == len(names()) - 2


@pytest.mark.parametrize(
    ("address", "status", "says"),
    [
        ("/exchanges/nonsense", 404, "There is nothing here"),
        ("/exchanges/01a20766-b941-7985-a070-9a0489efc802", 404, "There is nothing here"),
        ("/exchanges/01a20766-b941-7985-a070-9a0489efc802/record.json", 404, "nothing here"),
        ("/exchanges?before=nonsense", 400, "place in the log"),
        ("/exchanges?decision=perhaps", 400, "A decision is one of"),
        ("/docs", 404, "There is nothing here"),
        ("/static/../app.py", 404, "There is nothing here"),
    ],
)
async def test_bad_addresses_are_answered_with_a_page(
    fresh: httpx.AsyncClient, address: str, status: int, says: str
):
    answer = await fresh.get(address)
    assert (answer.status_code, says in Page(answer.text).text) == (status, True)
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]


async def test_headers_stand_on_every_answer_and_only_files_are_kept(fresh: httpx.AsyncClient):
    page = await fresh.get("/")
    style = next(a["href"] for a in Page(page.text).all("link") if a["rel"] == "stylesheet")
    for answer in (page, await fresh.get("/monitoring"), await fresh.get(style)):
        assert answer.status_code == 200
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert page.headers["cache-control"] == "no-store"
    assert "immutable" in (await fresh.get(style)).headers["cache-control"]


async def test_nothing_on_a_page_is_inline_or_from_elsewhere(day: httpx.AsyncClient):
    first = (await ids(day))[0]
    for address in ("/", "/exchanges", f"/exchanges/{first}", "/monitoring", "/exchanges/none"):
        page = Page((await day.get(address)).text)
        assert page.all("style") == []
        assert [a for _, a in page.tags if "style" in a] == []
        links = [a[name] for _, a in page.tags for name in ("src", "href", "action") if name in a]
        assert links
        assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in links)


async def test_pages_have_one_title_labels_and_table_heads(day: httpx.AsyncClient):
    first = (await ids(day))[0]
    for address in ("/", "/exchanges", f"/exchanges/{first}", "/monitoring", "/exchanges/none"):
        page = Page((await day.get(address)).text)
        assert page.all("html") == [{"lang": "en"}]
        assert len(page.all("h1")) == 1
        assert all("scope" in head for head in page.all("th"))
        assert len(page.all("main")) == 1
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))


async def test_what_the_real_proxy_recorded_is_shown(
    fresh_now: httpx.AsyncClient, serve: Callable[..., Any]
):
    rules = (
        {"id": "no-magic", "label": "forbidden", "stage": "input", "action": "block"},
        {"id": "odd", "label": "suspect", "stage": "input", "action": "flag"},
    )
    async with fakes.upstream() as model, serve(model.url, rules=rules) as proxy:
        async with httpx.AsyncClient(base_url=proxy.url) as client:
            for said in ("say xyzzy <b>", "say plugh"):
                body = {"model": "small", "messages": [{"role": "user", "content": said}]}
                assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
        rows = await proxy.rows(2)
    assert await ids(fresh_now) == [str(row["id"]) for row in reversed(rows)]
    blocked = await fresh_now.get(f"/exchanges/{rows[0]['id']}")
    page = Page(blocked.text)
    assert "Blocked before the model" in page.text
    assert "The rule no-magic fired: patterns / forbidden" in page.text
    assert '<mark title="forbidden">xyzzy' in blocked.text
    assert "threshold 0.50" in page.text
    assert "The text of this policy was not kept" not in page.text
    assert "Declined." in page.text
    flagged = Page((await fresh_now.get(f"/exchanges/{rows[1]['id']}")).text)
    assert "Passed on, flagged" in flagged.text
    assert "The same messages as came in." in flagged.text
    assert "small@7" in flagged.text


async def test_what_only_shows_takes_nothing(fresh: httpx.AsyncClient):
    for method in ("post", "put", "delete", "patch"):
        assert (await getattr(fresh, method)("/")).status_code == 405


async def test_a_look_at_a_text_is_recorded_before_it_is_shown(
    fresh: httpx.AsyncClient, postgres_url: str, engine: AsyncEngine
):
    exchange = make_exchange(started_at=NOW)
    await write(postgres_url, [exchange])
    for address in ("/", "/exchanges", "/exchanges?text=stairs&route=a",
                    f"/exchanges/{exchange.id}", f"/exchanges/{exchange.id}/record.json",
                    "/exchanges/none"):  # fmt: skip
        await fresh.get(address)
    async with engine.connect() as connection:
        entries = await audit.latest(connection, 10)
    assert [(entry.who, entry.action, entry.target) for entry in reversed(entries)] == [
        ("local admin", "exchanges.list", ""),
        ("local admin", "exchanges.search", ""),
        ("local admin", "exchange.open", exchange.id),
        ("local admin", "exchange.record", exchange.id),
    ]
    assert entries[2].detail == {"route": "a", "text": "stairs"}
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE audit_log RENAME TO away"))
    assert (await fresh.get(f"/exchanges/{exchange.id}")).status_code == 503


async def test_a_search_that_takes_too_long_is_told(fresh: httpx.AsyncClient, engine: AsyncEngine):
    assert STATEMENT_SECONDS == 5
    async with engine.begin() as connection:
        await connection.execute(text("LOCK TABLE exchanges"))
        page = Page((await fresh.get("/exchanges")).text)
    assert "This search takes too long" in page.text
