"""The dashboards as an application: builds everything once, takes the pages from their folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import FastAPI
from fastapi.responses import Response
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.middleware import Middleware

from dashboards import pages, sessions, users
from dashboards.access import Access, Door
from dashboards.drawing import Drawing
from dashboards.faults import STATEMENT_SECONDS, show_errors
from dashboards.oidc import Provider
from dashboards.security import SecurityHeaders
from dashboards.site import Site, admit
from dashboards.templating import HERE, Static, make_render
from guardrails.database import make_engine
from guardrails.errors import ConfigError
from guardrails.exchange_log.cipher import make_cipher
from guardrails.keys import KeyRing, key_secret
from guardrails.settings import Settings

Now = Callable[[], datetime]


def create(
    settings: Settings, *, now: Now = lambda: datetime.now(UTC), draws_apart: bool = False
) -> FastAPI:
    """The application for one installation; `settings.database_url` must be set.

    It reads through connections that are read-only and stop a statement after STATEMENT_SECONDS;
    what people do goes through a few others. With `draws_apart`, a process beside draws its charts.
    """
    if settings.database_url is None:
        raise ConfigError("The dashboards need a database: set BANISTER_DATABASE_URL.")
    reader = _engine(settings.database_url, "-c default_transaction_read_only=on")
    writer = _engine(settings.database_url)
    secret = key_secret(settings)
    ring = KeyRing(settings.database_url, secret)
    drawing = Drawing(apart=draws_apart)
    found = pages.modules()

    async def has_users() -> bool:
        # One who can come with a provider is as good as one who is there.
        return settings.oidc is not None or await users.any_user(reader)

    door = Door(
        bound_to=settings.host,
        key_of=ring.authenticate,
        session_of=lambda token: sessions.visitor_of(writer, token, now()),
        has_users=has_users,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await ring.start()
        await drawing.start()
        yield
        await drawing.stop()
        await ring.stop()
        for engine in (reader, writer):
            await engine.dispose()

    app = FastAPI(
        lifespan=lifespan,
        openapi_url=None,
        middleware=[Middleware(SecurityHeaders), Middleware(Access, door=door)],
    )
    app.state.site = Site(
        settings,
        reader=reader,
        writer=writer,
        cipher=make_cipher(settings.log_keys, secret),
        secret=secret,
        render=make_render(settings),
        pages=[module.PAGE for module in found],
        now=now,
        provider=_provider(settings),
        drawing=drawing,
    )
    for module in found:
        app.include_router(module.router, dependencies=[admit(module.PAGE)])

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    app.mount("/static", Static(directory=HERE / "static"))
    show_errors(app)
    return app


def _provider(settings: Settings) -> Provider | None:
    if settings.oidc is None:
        return None
    here = settings.dashboard_url or f"http://{settings.host}:{settings.dashboard_port}"
    return Provider(settings.oidc, f"{here.rstrip('/')}/login/oidc/back")


def _engine(url: str, options: str = "") -> AsyncEngine:
    return make_engine(
        url,
        connect_args={
            "options": f"{options} -c statement_timeout={1000 * STATEMENT_SECONDS}".strip(),
            "application_name": "banister dashboard",
            "connect_timeout": 5,
        },
    )
