"""The dashboards' web application: addresses, what each reads, and which template shows it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import orjson
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.middleware import Middleware

from dashboards import wording
from dashboards.access import Access, KeyTest
from dashboards.pages import exchange, exchanges, monitoring
from dashboards.policies import policy_of
from dashboards.security import SecurityHeaders
from dashboards.summary import Summaries
from guardrails.database import make_engine
from guardrails.errors import BadRequest, ConfigError
from guardrails.exchange_log import query as log
from guardrails.exchange_log.cipher import Cipher, make_cipher
from guardrails.keys import KeyRing, key_secret
from guardrails.settings import Settings
from monitoring import runs
from monitoring.jobs import names as job_names

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
STATEMENT_SECONDS = 5

Now = Callable[[], datetime]


def create(settings: Settings, *, now: Now = lambda: datetime.now(UTC)) -> FastAPI:
    """The application for one installation; `settings.database_url` must be set.

    It reads through sessions that are read-only and stop a statement after STATEMENT_SECONDS.
    """
    if settings.database_url is None:
        raise ConfigError("The dashboards need a database: set BANISTER_DATABASE_URL.")
    engine = make_engine(
        settings.database_url,
        connect_args={
            "options": "-c default_transaction_read_only=on"
            f" -c statement_timeout={1000 * STATEMENT_SECONDS}",
            "application_name": "banister dashboard",
            "connect_timeout": 5,
        },
    )
    ring = KeyRing(settings.database_url, key_secret(settings))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await ring.start()
        yield
        await ring.stop()
        await engine.dispose()

    def allows(token: str) -> bool:
        key = ring.authenticate(token)
        return key is not None and key.may("dashboard")

    return _build(settings, engine, allows, now, lifespan)


def _build(
    settings: Settings, engine: AsyncEngine, allows: KeyTest, now: Now, lifespan: Any
) -> FastAPI:
    render = _renderer(settings, now)
    summaries = Summaries(exchanges.STEP)
    cipher = make_cipher(settings.log_keys, key_secret(settings))
    app = FastAPI(
        lifespan=lifespan,
        openapi_url=None,
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(Access, bound_to=settings.host, allows=allows),
        ],
    )

    @app.get("/")
    async def latest(request: Request) -> Response:
        page, _ = await _exchanges(engine, summaries, request, now(), cipher)
        return HTMLResponse(render("exchanges.html", page, here="/"))

    @app.get("/fragments/latest")
    async def fragment(request: Request) -> Response:
        """What `live.js` puts in the place of the figures and the list; 304 where it has it."""
        page, version = await _exchanges(engine, summaries, request, now(), cipher)
        if request.headers.get("if-none-match") == version:
            return Response(status_code=304, headers={"etag": version})
        return HTMLResponse(render("_fragments.html", page), headers={"etag": version})

    @app.get("/exchanges/{exchange_id}")
    async def one(exchange_id: str) -> Response:
        async with engine.connect() as connection:
            detail = await _detail(connection, exchange_id, cipher)
            policy = await policy_of(connection, detail.row.policy_version)
        return HTMLResponse(render("exchange.html", exchange.view(detail, policy)))

    @app.get("/exchanges/{exchange_id}/record.json")
    async def record(exchange_id: str) -> Response:
        async with engine.connect() as connection:
            detail = await _detail(connection, exchange_id, cipher)
        body = orjson.dumps(msgspec.to_builtins(detail), option=orjson.OPT_INDENT_2)
        return Response(body, media_type="application/json")

    @app.get("/monitoring")
    async def watched() -> Response:
        page = monitoring.view(
            await runs.latest_of_each(engine), await runs.recent(engine), job_names(), now()
        )
        return HTMLResponse(render("monitoring.html", page, here="/monitoring"))

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    app.mount("/static", _Static(directory=HERE / "static"))
    _show_errors(app, render)
    return app


Render = Callable[..., str]


def _renderer(settings: Settings, now: Now) -> Render:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("count_of", "seconds_of", "milliseconds_of"):
        environment.filters[name] = getattr(wording, name)
    environment.globals |= {
        "static": _static_address,
        "moment": wording.moment,
        "time": wording.moment_to_the_second,
        "decisions": exchanges.DECISIONS,
        "known_routes": sorted(settings.routes),
        "known_models": sorted({upstream.model for upstream in settings.upstreams}),
        "proxy_url": f"http://{settings.host}:{settings.port}",
        "example_model": settings.upstreams[0].model if settings.upstreams else "demo",
    }

    def render(template: str, page: Any, *, here: str = "") -> str:
        values = page if isinstance(page, dict) else msgspec.structs.asdict(page)
        return environment.get_template(template).render(**values, here=here, now=now())

    return render


def _static_address(name: str) -> str:
    """The address of a file in `static/`, with its content's hash, so that it may be kept."""
    content = (HERE / "static" / name).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


class _Static(StaticFiles):
    def file_response(self, *arguments: Any, **options: Any) -> Response:
        answer = super().file_response(*arguments, **options)
        answer.headers["cache-control"] = "public, max-age=31536000, immutable"
        return answer


async def _exchanges(
    engine: AsyncEngine,
    summaries: Summaries,
    request: Request,
    at: datetime,
    cipher: Cipher | None,
) -> tuple[exchanges.Page, str]:
    """The first page, and a tag that changes when what it shows does."""
    filters = exchanges.read_filters(dict(request.query_params))
    written = request.query_params.get("before")
    before = exchanges.read_place(written) if written else None
    window = exchanges.day_until(at)
    async with engine.connect() as connection:
        rows = await log.latest(
            connection,
            limit=exchanges.PAGE_ROWS + 1,
            before=before,
            cipher=cipher,
            **exchanges.conditions(filters, at),
        )
        summary = await summaries.of(connection, window, at)
    page = exchanges.view(
        rows,
        summary.totals,
        summary.buckets,
        reached=summary.reached,
        window=window,
        filters=filters,
        before=before,
    )
    shown = msgspec.json.encode((page.window, page.figures, page.rows))
    return page, f'"{hashlib.sha256(shown).hexdigest()[:24]}"'


async def _detail(
    connection: AsyncConnection, exchange_id: str, cipher: Cipher | None
) -> log.ExchangeDetail:
    detail = await log.get(connection, exchange_id, cipher)
    if detail is None:
        raise HTTPException(404)
    return detail


def _show_errors(app: FastAPI, render: Render) -> None:
    def shown(status: int, title: str, advice: str) -> Response:
        html = render("error.html", {"title": title, "advice": advice})
        return HTMLResponse(html, status_code=status)

    async def http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            return shown(404, "There is nothing here", "No page or exchange has this address.")
        return shown(error.status_code, "This does not work", "Use the links of the pages.")

    async def bad_request(request: Request, error: BadRequest) -> Response:
        return shown(400, "This address cannot be read", error.message)

    async def log_away(request: Request, error: SQLAlchemyError) -> Response:
        original = getattr(error, "orig", None)
        # The statement's parameters may hold what a person looked for: only the kind is written.
        logger.warning("the exchange log cannot be read: %s", type(original or error).__name__)
        if getattr(original, "sqlstate", None) == "57014":
            advice = f"Nothing was found within {STATEMENT_SECONDS} seconds; narrow the filters."
            return shown(503, "This search takes too long", advice)
        advice = "The database does not answer. Exchanges are not lost by that; try again soon."
        return shown(503, "The exchange log cannot be read", advice)

    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        404: http_error,
        405: http_error,
        BadRequest: bad_request,
        SQLAlchemyError: log_away,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
