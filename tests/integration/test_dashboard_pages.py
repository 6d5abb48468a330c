"""Every page of the dashboards over a furnished installation: who may see and do what."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from dashboards import audit, pages, users
from dashboards.app import create
from dashboards.pages.login import inside
from guardrails.database import make_engine
from guardrails.inference.client import InferenceClient
from guardrails.keys import list_keys
from guardrails.launch.addresses import inference_socket
from guardrails.types import Caller
from monitoring import reviews
from monitoring.types import Window
from tests.browser.office import furnish
from tests.browser.traffic import a_day, write
from tests.factories import make_blocked
from tests.integration.test_dashboards import NOW, Page, served, settings_for
from tests.integration.test_inference_worker import TINY, warm
from tests.integration.test_login import HASH, browser, log_in, token_in

FOREIGN = "whispering zeppelin"
GONE = "/exchanges/01a20766-b941-7985-a070-9a0489efc802"
MAX_PAGE_BYTES = 100_000


@pytest.fixture(scope="module")
async def office_url(make_database: Callable[..., str]) -> str:
    """A day of acme's traffic, one exchange of another tenant, and what people did with them."""
    url = make_database()
    foreign = make_blocked(
        FOREIGN, started_at=NOW - timedelta(seconds=2), caller=Caller("k", "other"),
        route="zeppelins", model="zeppelin-large",
    )  # fmt: skip
    await write(url, [*a_day(NOW, 120), foreign])
    await furnish(url, NOW)
    return url


@pytest.fixture
async def office(office_url: str, tmp_path: Path) -> AsyncIterator[FastAPI]:
    app = create(settings_for(office_url, tmp_path), now=lambda: NOW)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def local(office: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(office) as client:
        yield client


def nav_pages() -> list[str]:
    return sorted(module.PAGE.path for module in pages.modules() if module.PAGE.group)


async def test_every_page_is_whole_small_and_well_formed(local: httpx.AsyncClient):
    known = (await local.get("/knowledge")).text
    document = re.search(r'href="(/knowledge/[0-9a-f-]+)"', known)
    first = re.search(r'data-id="([^"]+)"', (await local.get("/exchanges")).text)
    assert document is not None
    assert first is not None
    for address in (*nav_pages(), document[1], f"/appeals/{first[1]}", "/login", "/review?marks=1"):
        answer = await local.get(address)
        page = Page(answer.text)
        assert answer.status_code == 200, address
        assert len(answer.content) <= MAX_PAGE_BYTES, address
        assert page.all("style") == [], address
        assert [a for _, a in page.tags if "style" in a] == [], address
        assert len(page.all("h1")) == 1, address
        assert all("scope" in head for head in page.all("th")), address
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
        steps = [b - a for a, b in pairwise(levels)]
        assert levels[0] == 1 and all(step <= 1 for step in steps), address
        posting = [a for a in page.all("form") if a.get("method") == "post"]
        tokens = [a for a in page.all("input") if a.get("name") == "csrf"]
        assert len(posting) == len(tokens), address


async def person(url: str, name: str, role: str, tenants: list[str] | None) -> None:
    engine = make_engine(url)
    async with engine.begin() as connection:
        await users.create(
            connection, name=name, role=role, password_hash=HASH, now=NOW, tenants=tenants
        )
    await engine.dispose()


@pytest.fixture(scope="module")
async def staffed_url(make_database: Callable[..., str]) -> str:
    """The same with three people: an admin, and a reviewer and a viewer of acme only."""
    url = make_database()
    foreign = make_blocked(
        FOREIGN, started_at=NOW - timedelta(seconds=2), caller=Caller("k", "other"),
        route="zeppelins", model="zeppelin-large",
    )  # fmt: skip
    await write(url, [*a_day(NOW, 60), foreign])
    await furnish(url, NOW)
    for name, role, tenants in (
        ("root", "admin", None),
        ("rita", "reviewer", ["acme"]),
        ("vic", "viewer", ["acme"]),
    ):
        await person(url, name, role, tenants)
    return url


@pytest.fixture
async def staffed(staffed_url: str, tmp_path: Path) -> AsyncIterator[FastAPI]:
    app = create(settings_for(staffed_url, tmp_path), now=lambda: NOW)
    async with app.router.lifespan_context(app):
        yield app


def addresses(method: str) -> list[str]:
    """Every address of the pages that takes this method, its parts in braces."""
    routes = [route for module in pages.modules() for route in module.router.routes]
    return sorted({r.path for r in routes if isinstance(r, APIRoute) and method in r.methods})


async def test_a_visitor_of_one_tenant_sees_nothing_of_another_on_any_page(
    staffed: FastAPI, staffed_url: str
):
    engine = make_engine(staffed_url)
    async with engine.connect() as connection:
        query = text("SELECT id::text FROM exchanges WHERE tenant = 'other'")
        foreign = (await connection.execute(query)).scalar_one()
    await engine.dispose()
    async with browser(staffed) as root, browser(staffed) as rita:
        assert (await log_in(root, "root")).status_code == 303
        assert (await log_in(rita, "rita")).status_code == 303
        asked = [path for path in addresses("GET") if not path.startswith("/live")]
        assert len(asked) > 10
        seen_by_root = 0
        for path in asked:
            address = re.sub(r"\{[a-z_]+\}", foreign, path)
            for query in ("", f"?text=zeppelin&id={foreign}", "?tenant=other&route=zeppelins"):
                if path in ("/login/oidc", "/login/oidc/back", "/healthz"):
                    continue
                hers = await rita.get(address + query)
                told = hers.text if "text" in query else hers.text.replace("zeppelins", "")
                assert FOREIGN not in told, address + query
                if not query:
                    assert "zeppelin" not in hers.text, address
                    seen_by_root += FOREIGN in (await root.get(address)).text
        assert seen_by_root >= 3
        for address in (f"/exchanges/{foreign}", f"/exchanges/{foreign}/record.json",
                        f"/appeals/{foreign}"):  # fmt: skip
            assert (await rita.get(address)).status_code == 404
        page = await rita.get("/exchanges?tenant=other")
        assert "No exchange matches." in page.text


async def test_a_live_page_is_scoped_too(staffed: FastAPI):
    async with browser(staffed) as rita:
        await log_in(rita, "rita")
        staffed.state.site.closing = True
        for address in ("/live/exchanges", "/live/overview"):
            sent = (await rita.get(address)).text
            assert sent.startswith("retry:")
            assert FOREIGN not in sent


@pytest.mark.parametrize(
    ("name", "closed"),
    [
        ("vic", ["/review", "/people", "/audit", "/health", "/monitoring", "/knowledge"]),
        ("rita", ["/people", "/audit", "/health", "/monitoring", "/knowledge"]),
    ],
)
async def test_pages_above_one_s_role_or_tenants_are_closed_and_not_offered(
    staffed: FastAPI, name: str, closed: list[str]
):
    async with browser(staffed) as client:
        await log_in(client, name)
        offered = {a["href"] for a in Page((await client.get("/")).text).all("a")}
        for address in closed:
            answer = await client.get(address)
            assert (answer.status_code, "This is not for you" in answer.text) == (403, True)
            assert address not in offered


async def test_no_act_is_done_without_its_token_or_its_role(staffed: FastAPI):
    posts = [path for path in addresses("POST") if path != "/login"]
    assert len(posts) >= 10
    async with browser(staffed) as root, browser(staffed) as vic:
        await log_in(root, "root")
        await log_in(vic, "vic")
        csrf = token_in((await vic.get("/account")).text)
        own = ("/logout", "/account/password", "/exchanges/views",
               "/exchanges/views/{view_id}/remove")  # fmt: skip
        for path in posts:
            address = re.sub(r"\{[a-z_]+\}", "01a20766-b941-7985-a070-9a0489efc802", path)
            assert (await root.post(address)).status_code == 403, path
            if path not in own:
                refused = await vic.post(address, data={"csrf": csrf})
                assert refused.status_code == 403, path
        assert (await root.get("/")).status_code == 200


async def test_a_reviewer_judges_takes_back_and_goes_on(local: httpx.AsyncClient, office_url: str):
    page = (await local.get("/review")).text
    assert "I only asked how the page is built." in page
    assert "<mark" not in page
    item = re.findall(r'name="item" value="([^"]+)"', page)[0]
    form = {"csrf": token_in(page), "item": item, "answer": "harmful",
            "labels": ["prompt_injection", "other"], "note": "so"}  # fmt: skip
    for wrong in ({"answer": "perhaps"}, {"labels": ["rude"]}, {"item": "x"}):
        assert (await local.post("/review/label", data={**form, **wrong})).status_code == 400
    gone = {**form, "item": "01a20766-b941-7985-a070-9a0489efc802"}
    assert (await local.post("/review/label", data=gone)).status_code == 404
    assert (await local.post("/review/label", data=form)).status_code == 303
    after = (await local.get("/review")).text
    assert re.findall(r'name="item" value="([^"]+)"', after)[0] != item
    assert "<strong>1</strong> done today" in after
    exchange = re.findall(r'"/exchanges/([^/]+)/record.json"', page) or [None]
    assert (await local.post("/review/back", data={"csrf": form["csrf"]})).status_code == 303
    assert re.findall(r'name="item" value="([^"]+)"', (await local.get("/review")).text)[0] == item
    engine = make_engine(office_url)
    found = await reviews.sampled(engine, Window(NOW - timedelta(days=1), NOW), why="appeal")
    async with engine.connect() as connection:
        acts = [e.action for e in await audit.latest(connection, 50, who="local admin")]
    await engine.dispose()
    assert found[0].labels == ()
    assert exchange
    assert {"review.open", "review.label", "review.back"} <= set(acts)


async def test_what_matched_is_marked_only_when_asked_for(
    postgres_url: str, engine: AsyncEngine, tmp_path: Path
):
    await write(postgres_url, a_day(NOW, 1))
    found = await _item_of_redacted(engine)
    await reviews.add_items(engine, [found])
    async for client in served(create(settings_for(postgres_url, tmp_path), now=lambda: NOW)):
        assert "<mark" not in (await client.get("/review")).text
        assert "<mark" in (await client.get("/review?marks=1")).text
        assert "Nothing is left" not in (await client.get("/review")).text


async def _item_of_redacted(engine: AsyncEngine) -> reviews.Item:
    query = text("SELECT id, started_at FROM exchanges WHERE decision = 'redact'"
                 " ORDER BY started_at DESC LIMIT 1")  # fmt: skip
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one()
    return reviews.Item(exchange_id=row.id, exchange_started_at=row.started_at, side="input",
                        why="uncertain", sampled_at=NOW)  # fmt: skip


async def test_an_appeal_is_looked_up_and_lodged_for_somebody(local: httpx.AsyncClient):
    listed = (await local.get("/exchanges?decision=block")).text
    blocked = re.findall(r'data-id="([^"]+)"', listed)[-1]
    sent = await local.get(f"/appeals?id={blocked}")
    assert sent.headers["location"] == f"/appeals/{blocked}"
    page = (await local.get(f"/appeals/{blocked}")).text
    assert "Nobody has appealed" in page
    form = {"csrf": token_in(page), "reason": "They called."}
    assert (await local.post(f"/appeals/{blocked}", data=form)).status_code == 303
    page = (await local.get(f"/appeals/{blocked}")).text
    assert "Appeal: waiting" in page
    assert "They called." in page
    assert (await local.get("/appeals?id=../x")).status_code == 404


async def test_a_key_is_made_shown_once_and_revoked(local: httpx.AsyncClient, office_url: str):
    csrf = token_in((await local.get("/people")).text)
    form = {"csrf": csrf, "name": "batch", "scopes": ["infer"], "tenant": "acme", "days": "30"}
    for wrong in ({"name": ""}, {"scopes": []}, {"days": "0"}, {"days": "x"}, {"tenant": "*"}):
        assert (await local.post("/people/keys", data={**form, **wrong})).status_code == 400
    made = await local.post("/people/keys", data=form)
    (token,) = re.findall(r"bk_[0-9a-f]+_[0-9a-f]+", made.text)
    assert token not in (await local.get("/people")).text
    key_id = token.split("_")[1]
    assert (
        await local.post(f"/people/keys/{key_id}/revoke", data={"csrf": csrf})
    ).status_code == 303
    assert (
        await local.post(f"/people/keys/{key_id}/revoke", data={"csrf": csrf})
    ).status_code == 404
    (key,) = [key for key in await list_keys(office_url) if key.id == key_id]
    assert key.revoked_at == NOW


async def test_an_admin_makes_and_changes_users_but_not_himself(
    postgres_url: str, engine: AsyncEngine, tmp_path: Path
):
    app = create(settings_for(postgres_url, tmp_path), now=lambda: NOW)
    async with app.router.lifespan_context(app), browser(app) as client:
        csrf = token_in((await client.get("/people")).text)
        form = {"csrf": csrf, "name": "ada", "role": "admin", "password": "correct horse battery"}
        for wrong in ({"password": "short"}, {"role": "king"}, {"name": ""}):
            assert (await client.post("/people/users", data={**form, **wrong})).status_code == 400
        assert (await client.post("/people/users", data=form)).status_code == 303
        assert (await client.get("/people")).headers["location"].startswith("/login")
        await log_in(client)
        csrf = token_in((await client.get("/people")).text)
        bob = {**form, "csrf": csrf, "name": "bob/x", "role": "viewer", "tenants": "b, a"}
        assert (await client.post("/people/users", data={**bob, "name": "bob"})).status_code == 303
        rights = {"csrf": csrf, "role": "reviewer", "tenants": ""}
        assert (await client.post("/people/users/bob/rights", data=rights)).status_code == 303
        for act, status in (("disable", 303), ("disable", 404), ("enable", 303), ("crown", 404)):
            answer = await client.post(f"/people/users/bob/{act}", data={"csrf": csrf})
            assert answer.status_code == status, act
        own = await client.post("/people/users/ada/disable", data={"csrf": csrf})
        assert own.status_code == 409
        async with engine.connect() as connection:
            (_, changed) = await users.every_user(connection)
        assert (changed.role, changed.tenants) == ("reviewer", None)


async def test_views_are_kept_for_their_owner(local: httpx.AsyncClient):
    page = (await local.get("/exchanges?decision=block&route=support")).text
    here = re.findall(r'name="address" value="([^"]+)"', page)[0].replace("&amp;", "&")
    assert here == "/exchanges?route=support&decision=block"
    form = {"csrf": token_in(page), "name": "Blocked support", "address": here}
    assert (await local.post("/exchanges/views", data=form)).headers["location"] == here
    for wrong in ({"address": "https://evil.example"}, {"address": "/people"}, {"name": ""},
                  {"name": "x" * 41}):  # fmt: skip
        assert (await local.post("/exchanges/views", data={**form, **wrong})).status_code == 400
    page = (await local.get("/exchanges")).text
    assert "Blocked support" in page
    remove = re.findall(r'action="(/exchanges/views/[^"]+/remove)"', page)[0]
    assert (await local.post(remove, data={"csrf": form["csrf"]})).status_code == 303
    assert "Blocked support" not in (await local.get("/exchanges")).text
    assert inside(here) == here


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Path]:
    """An inference worker that embeds, at the data directory's own socket."""
    socket = inference_socket(tmp_path)
    process = subprocess.Popen([sys.executable, str(TINY), "--socket", str(socket)])
    yield socket
    process.terminate()
    process.wait(20)


async def test_documents_are_taken_in_found_opened_and_removed(
    postgres_url: str, tmp_path: Path, worker: Path
):
    client = InferenceClient(worker)
    await warm(client)
    await client.close()
    async for local in served(create(settings_for(postgres_url, tmp_path), now=lambda: NOW)):
        csrf = token_in((await local.get("/knowledge")).text)
        files = [
            (
                "files",
                ("../../stairs.md", b"# Stairs\n\nA stair rail is a banister.", "text/plain"),
            ),
            ("files", ("broken.pdf", b"no pdf", "application/pdf")),
            ("files", ("program.exe", b"MZ", "application/octet-stream")),
        ]
        form = {"csrf": csrf, "collection": "house"}
        told = Page((await local.post("/knowledge", data=form, files=files)).text).text
        assert "stairs.md: added, 1 passages" in told
        assert "broken.pdf: failed" in told
        assert "program.exe" not in told
        nothing = await local.post("/knowledge", data=form, files=files[2:])
        assert nothing.status_code == 400
        asked = await local.get("/knowledge?collection=house&q=A+stair+rail+is+a+banister")
        assert "A stair rail is a banister." in asked.text
        (document,) = set(re.findall(r'href="/knowledge/([0-9a-f-]{36})"', asked.text))
        assert "Passage 1" in (await local.get(f"/knowledge/{document}")).text
        done = await local.post(f"/knowledge/{document}/remove", data={"csrf": csrf})
        assert done.status_code == 303
        assert (await local.get(f"/knowledge/{document}")).status_code == 404
        assert (
            await local.post(f"/knowledge/{document}/remove", data={"csrf": csrf})
        ).status_code == 404


async def test_without_a_worker_the_knowledge_base_says_so(local: httpx.AsyncClient):
    page = (await local.get("/knowledge?q=anything")).text
    assert "The inference worker does not run on this machine" in page


async def test_health_names_what_needs_a_person(local: httpx.AsyncClient):
    page = Page((await local.get("/health")).text).text
    for said in ("its breaker is open", "proxy-b 4712 has been silent", "The monitor stands still",
                 "18.4 kB", "ready", "7 under way"):  # fmt: skip
        assert said in page.replace("\N{NO-BREAK SPACE}", " "), said


async def test_the_audit_log_is_read_by_person_and_act(local: httpx.AsyncClient):
    await local.get(GONE)
    everything = Page((await local.get("/audit")).text).text
    assert "key.create" in everything
    only = Page((await local.get("/audit?who=ada&action=key")).text).text
    assert "review.label" not in only.replace("review, label", "")
    assert "shop" in only
    assert (await local.get("/audit?before=x")).status_code == 400
    assert "Nothing is recorded of that" in (await local.get("/audit?who=nobody-here")).text


async def test_streams_end_with_the_process(office: FastAPI):
    async def stop() -> None:
        await asyncio.sleep(0.3)
        office.state.site.closing = True

    async with browser(office) as client:
        stopping = asyncio.create_task(stop())
        sent = (await client.get("/live/exchanges", timeout=10)).text
        await stopping
    assert sent.count("id: ") == 1
