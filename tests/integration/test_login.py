"""Logging in, with a password and with a real OpenID provider on loopback."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from joserfc.jwk import RSAKey
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from dashboards import audit, oidc, passwords, throttle, users
from dashboards.app import create
from dashboards.cookies import TICKET_COOKIE
from dashboards.oidc import LoginRefused, identity_of
from dashboards.pages.login import inside
from guardrails.settings import OidcSettings
from tests.browser.conftest import free_port
from tests.fakes_oidc import CLIENT, SECRET, FakeProvider, oidc_provider
from tests.integration.test_dashboards import NOW, settings_for

PASSWORD = "correct horse battery"
HTML = {"accept": "text/html"}
HASH = passwords.hash_password(PASSWORD)


class Clock:
    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def app(postgres_url: str, tmp_path: Path, clock: Clock) -> AsyncIterator[FastAPI]:
    app = create(settings_for(postgres_url, tmp_path), now=clock)
    async with app.router.lifespan_context(app):
        yield app


def browser(app: FastAPI, peer: str = "127.0.0.1", scheme: str = "http") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(peer, 50_000), raise_app_exceptions=False)
    return httpx.AsyncClient(
        transport=transport, base_url=f"{scheme}://localhost:8081", headers=HTML
    )


async def person(engine: AsyncEngine, name: str = "ada", role: str = "admin", **changes):
    async with engine.begin() as connection:
        await users.create(connection, name=name, role=role, password_hash=HASH, now=NOW, **changes)


def token_in(page: str) -> str:
    return re.findall(r'name="csrf" value="([^"]+)"', page)[0]


async def log_in(
    client: httpx.AsyncClient, name: str = "ada", password: str = PASSWORD, where: str = "/"
) -> httpx.Response:
    csrf = token_in((await client.get("/login")).text)
    form = {"name": name, "password": password, "csrf": csrf, "next": where}
    return await client.post("/login", data=form)


async def test_a_person_logs_in_looks_and_logs_out(app: FastAPI, engine: AsyncEngine):
    async with browser(app) as client:
        assert (await client.get("/")).status_code == 200
        await person(engine)
        assert (await client.get("/audit?who=x")).headers["location"].startswith("/login?next=")
        answer = await log_in(client, where="/exchanges?route=a")
        assert (answer.status_code, answer.headers["location"]) == (303, "/exchanges?route=a")
        cookie = next(c for c in answer.headers.get_list("set-cookie") if "session" in c)
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Secure" not in cookie
        page = await client.get("/")
        assert page.status_code == 200
        assert "ada" in page.text
        old = client.cookies["banister_session"]
        out = await client.post("/logout", data={"csrf": token_in(page.text)})
        assert out.headers["location"] == "/login"
        client.cookies.set("banister_session", old)
        assert (await client.get("/")).status_code == 303
    async with engine.connect() as connection:
        acts = [(e.who, e.action) for e in reversed(await audit.latest(connection, 20))]
    assert acts == [("ada", "login.in"), ("ada", "login.out")]


async def test_by_https_the_cookie_never_goes_without_it(app: FastAPI, engine: AsyncEngine):
    await person(engine)
    async with browser(app, scheme="https") as client:
        cookies = (await log_in(client)).headers.get_list("set-cookie")
    assert "Secure" in next(c for c in cookies if "session" in c)


async def test_a_wrong_password_and_an_unknown_name_read_the_same(
    app: FastAPI, engine: AsyncEngine
):
    await person(engine)
    await person(engine, "gone")
    async with engine.begin() as connection:
        await users.disable(connection, "gone", NOW)
    told = set()
    for name, password in (("ada", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD)):
        async with browser(app) as client:
            answer = await log_in(client, name, password)
            told.add(re.search(r'role="alert">([^<]+)<', answer.text)[1])
            assert answer.status_code == 403
            assert "banister_session" not in client.cookies
    assert len(told) == 1


async def test_many_tries_are_held_back_and_only_from_there(
    app: FastAPI, engine: AsyncEngine, clock: Clock
):
    await person(engine)
    async with browser(app, "203.0.113.9") as client:
        for _ in range(throttle.FROM_ONE_ADDRESS):
            assert (await log_in(client, password="wrong")).status_code == 403
        assert (await log_in(client)).status_code == 429
        async with browser(app, "203.0.113.10") as elsewhere:
            assert (await log_in(elsewhere)).status_code == 303
        clock.at += throttle.SPAN + timedelta(seconds=1)
        assert (await log_in(client)).status_code == 303


@pytest.mark.parametrize(
    ("rows", "held"),
    [
        (["('ada', 'a')"] * 4, False),
        (["('ada', 'a')"] * 5, True),
        (["('bob', 'a')"] * 30, True),
        (["('bob', 'a')"] * 29, False),
        (["('ada', 'z')"] * 50, True),
        (["('ada', 'z')"] * 49, False),
    ],
)
async def test_failures_are_counted_by_name_and_by_address(
    engine: AsyncEngine, rows: list[str], held: bool
):
    values = ", ".join(row.replace(")", ", :at)") for row in rows)
    statement = text(f"INSERT INTO login_failures (name, address, at) VALUES {values}")
    async with engine.begin() as connection:
        await connection.execute(statement, {"at": NOW})
        assert await throttle.held_back(connection, "ada", "a", NOW) == held
        await throttle.failed(connection, "x", "y", NOW + timedelta(days=2))
        left = await connection.execute(text("SELECT name FROM login_failures"))
        assert left.scalars().all() == ["x"]


async def test_a_login_makes_a_new_session_and_ends_the_old_one(app: FastAPI, engine: AsyncEngine):
    await person(engine)
    async with browser(app) as client:
        await log_in(client)
        first = client.cookies["banister_session"]
        await log_in(client)
        assert client.cookies["banister_session"] != first
    async with engine.connect() as connection:
        count = await connection.execute(text("SELECT count(*) FROM sessions"))
        assert count.scalar_one() == 1


async def test_a_login_from_another_site_s_page_is_refused(app: FastAPI, engine: AsyncEngine):
    await person(engine)
    async with browser(app) as client:
        await client.get("/login")
        form = {"name": "ada", "password": PASSWORD}
        assert (await client.post("/login", data=form)).status_code == 403
        assert (await client.post("/login", data={**form, "csrf": "0" * 40})).status_code == 403


async def test_another_password_logs_out_everywhere(app: FastAPI, engine: AsyncEngine):
    await person(engine)
    async with browser(app) as client, browser(app) as other:
        await log_in(client)
        await log_in(other)
        csrf = token_in((await client.get("/account")).text)
        form = {"csrf": csrf, "old": "wrong", "new": "another long password"}
        assert (await client.post("/account/password", data=form)).status_code == 400
        form["old"] = PASSWORD
        assert (
            await client.post("/account/password", data={**form, "new": "x"})
        ).status_code == 400
        assert (await client.post("/account/password", data=form)).status_code == 303
        for one in (client, other):
            assert (await one.get("/")).status_code == 303
        assert (await log_in(client, password="another long password")).status_code == 303


@pytest.mark.parametrize(
    ("path", "goes"),
    [
        ("/exchanges?a=1#b", "/exchanges?a=1#b"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/login?next=/", "/"),
        ("/a\r\nset-cookie: x", "/"),
        ("", "/"),
    ],
)
def test_a_login_leads_to_a_page_of_ours(path: str, goes: str):
    assert inside(path) == goes


SETTINGS = OidcSettings(
    issuer="https://id.example", client_id=CLIENT, client_secret=SecretStr(SECRET),
    roles={"staff": "reviewer", "leads": "admin"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("claims", "changes", "role", "tenants"),
    [
        ({"groups": ["staff"]}, {}, "reviewer", None),
        ({"groups": "staff leads"}, {}, "admin", None),
        ({"groups": ["staff"]}, {"default_role": "viewer"}, "reviewer", None),
        ({}, {"default_role": "viewer", "tenants_claim": "t"}, "viewer", ()),
        ({"t": ["b", "a"]}, {"default_role": "viewer", "tenants_claim": "t"}, "viewer", ("b", "a")),
    ],
)
def test_claims_give_role_and_tenants(claims, changes, role, tenants):
    who = identity_of({"sub": "1", **claims}, SETTINGS.model_copy(update=changes))
    assert (who.role, who.tenants, who.subject) == (role, tenants, "https://id.example|1")


def test_who_has_no_role_is_refused():
    with pytest.raises(LoginRefused, match="no role"):
        identity_of({"sub": "1", "groups": ["guests"]}, SETTINGS)


def test_an_issuer_is_reached_by_https():
    with pytest.raises(ValueError, match="https"):
        OidcSettings(issuer="http://id.example", client_id="a", client_secret=SecretStr("b"))


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with oidc_provider(free_port()) as provider:
        yield provider


@pytest.fixture
async def with_provider(
    provider: FakeProvider, postgres_url: str, tmp_path: Path
) -> AsyncIterator[FastAPI]:
    ours = OidcSettings(
        issuer=provider.issuer,
        client_id=CLIENT,
        client_secret=SecretStr(SECRET),
        roles={"safety": "reviewer"},
        tenants_claim="tenants",
    )
    settings = settings_for(
        postgres_url, tmp_path, oidc=ours, dashboard_url="http://localhost:8081"
    )
    app = create(settings)
    async with app.router.lifespan_context(app):
        yield app


async def through(client: httpx.AsyncClient) -> httpx.Response:
    """What a browser does: to the provider, and back with what it gives."""
    sent = await client.get("/login/oidc?next=/exchanges")
    async with httpx.AsyncClient() as outside:
        back = (await outside.get(sent.headers["location"])).headers["location"]
    return await client.get(back)


async def test_a_person_comes_with_a_provider(with_provider: FastAPI, provider: FakeProvider):
    provider.claims |= {"groups": ["safety"], "tenants": ["acme"], "email": "ada@example.org"}
    async with browser(with_provider) as client:
        assert (await client.get("/")).headers["location"].startswith("/login")
        assert "Log in with your organisation" in (await client.get("/login")).text
        answer = await through(client)
        assert (answer.status_code, answer.headers["location"]) == (303, "/exchanges")
        page = (await client.get("/account")).text
        for said in ("ada", "reviewer", "acme", "ada@example.org"):
            assert said in page
        assert TICKET_COOKIE not in client.cookies


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "another"},
        {"aud": "another"},
        {"aud": ["banister", "another"]},
        {"iss": "https://another.example"},
        {"exp": 1_000_000_000},
        {"sub": None},
    ],
)
async def test_a_token_for_something_else_lets_nobody_in(
    with_provider: FastAPI, provider: FakeProvider, changes: dict[str, object]
):
    provider.claims |= {"groups": ["safety"]}
    provider.changes = changes
    async with browser(with_provider) as client:
        answer = await through(client)
        assert answer.status_code == 403
        assert "banister_session" not in client.cookies


async def test_a_token_signed_by_another_lets_nobody_in(
    with_provider: FastAPI, provider: FakeProvider
):
    provider.claims |= {"groups": ["safety"]}
    provider.sign_with = RSAKey.generate_key(2048, {"kid": "k1"})
    async with browser(with_provider) as client:
        answer = await through(client)
        assert (answer.status_code, "no good" in answer.text) == (403, True)


async def test_an_answer_to_another_browser_s_login_lets_nobody_in(
    with_provider: FastAPI, provider: FakeProvider
):
    provider.claims |= {"groups": ["safety"]}
    async with browser(with_provider) as client, browser(with_provider) as victim:
        sent = await client.get("/login/oidc")
        async with httpx.AsyncClient() as outside:
            back = (await outside.get(sent.headers["location"])).headers["location"]
        assert (await victim.get(back)).status_code == 403
        await victim.get("/login/oidc")
        assert (await victim.get(back)).status_code == 403
        assert (await client.get("/login/oidc/back?error=access_denied")).status_code == 403


async def test_a_provider_that_is_away_or_another_is_told():
    away = SETTINGS.model_copy(update={"issuer": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(LoginRefused, match="does not answer"):
        await oidc.Provider(away, "http://localhost/back").begin("/")
    with pytest.raises(LoginRefused, match="too old"):
        oidc.decode("nonsense")


async def test_without_a_provider_there_is_no_way_to_one(app: FastAPI):
    async with browser(app) as client:
        assert (await client.get("/login/oidc")).status_code == 404
