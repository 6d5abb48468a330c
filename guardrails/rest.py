"""Everything on the proxy's port that is not guarded: health, readiness, models, appeals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from msgspec import Struct
from starlette.exceptions import HTTPException

from guardrails.access import Access
from guardrails.appeals import Appeal, lodge, state_of
from guardrails.checks import Checker
from guardrails.errors import BadRequest, BanisterError
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.metrics.page import page
from guardrails.metrics.workers import Workers
from guardrails.policy.releases import Releases
from guardrails.policy.store import PolicyStore
from guardrails.proxy import Proxy
from guardrails.types import Caller, Failure
from guardrails.upstream.pool import Pool
from guardrails.upstream.rollouts import Rollouts
from guardrails.wire.results import error_body

MOST_APPEAL_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Parts:
    """What the pages here report on."""

    pool: Pool
    rollouts: Rollouts
    log: ExchangeLog
    policies: PolicyStore
    releases: Releases
    checker: Checker
    proxy: Proxy
    access: Access
    workers: Workers
    database_url: str


def rest_app(parts: Parts) -> FastAPI:
    """The FastAPI app behind the guarded paths."""
    app = FastAPI(title="Banister", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(BanisterError, _told)
    app.add_exception_handler(HTTPException, _not_here)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, Any]:
        """Whether a request would be served: detectors warm, an upstream up."""
        ready = await readiness(parts)
        response.status_code = 200 if ready["ready"] else 503
        return ready

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        """What all workers of this proxy counted, for Prometheus."""
        parts.access.admit_scrape(dict(request.headers.raw), request.client)
        body, content_type = page(parts.workers.families(), request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

    @app.get("/v1/models")
    @app.get("/{route}/v1/models")
    async def models(request: Request, route: str = "default") -> dict[str, Any]:
        """The models that may be asked for, in OpenAI's shape."""
        _admit(parts, request, route)
        return {"object": "list", "data": [_model(name) for name in parts.pool.models]}

    @app.get("/v1/models/{name:path}")
    @app.get("/{route}/v1/models/{name:path}")
    async def model(request: Request, name: str, route: str = "default") -> dict[str, Any]:
        """One model."""
        _admit(parts, request, route)
        if name not in parts.pool.models and name not in parts.pool.versions:
            raise BadRequest(
                "There is no such model here; GET /v1/models lists them.",
                code="model_not_found",
                status=404,
                param="model",
            )
        return _model(name)

    @app.post("/v1/appeals", status_code=202)
    @app.post("/{route}/v1/appeals", status_code=202)
    async def appeal(request: Request, route: str = "default") -> dict[str, str]:
        """Ask that a person look at a withheld exchange, by the `appeal_id` of its answer."""
        caller = _admit(parts, request, route)
        asked = await _asked(request)
        lodged = await lodge(
            parts.database_url,
            asked.appeal_id,
            caller.tenant,
            reason=asked.reason,
            by=caller.key_id or "local",
            now=datetime.now(UTC),
        )
        return _told_of(lodged)

    @app.get("/v1/appeals/{appeal_id}")
    @app.get("/{route}/v1/appeals/{appeal_id}")
    async def appealed(request: Request, appeal_id: str, route: str = "default") -> dict[str, str]:
        """What became of an appeal: waiting, upheld or overturned."""
        caller = _admit(parts, request, route)
        return _told_of(await state_of(parts.database_url, appeal_id, caller.tenant))

    return app


async def readiness(parts: Parts) -> dict[str, Any]:
    """What `/readyz` says. Names and states only: it is open to everybody."""
    try:
        await parts.checker.start()
        detectors = "warm"
    except BanisterError as error:
        detectors = error.message
    upstreams = parts.pool.status()
    able = any(upstream.ready for upstream in upstreams)
    return {
        "ready": detectors == "warm" and able and not parts.log.refuses,
        "detectors": detectors,
        "policy": parts.policies.current.label,
        "policy_error": parts.policies.last_error,
        "policy_stale": parts.releases.stale,
        "upstreams": [
            {"name": upstream.name, "model": upstream.model, "breaker": upstream.breaker}
            for upstream in upstreams
        ],
        "rollouts": parts.rollouts.status(),
        "log": msgspec.to_builtins(parts.log.stats),
        "in_flight": parts.proxy.in_flight,
    }


def _admit(parts: Parts, request: Request, route: str) -> Caller:
    return parts.access.caller(dict(request.headers.raw), request.client, route)


class _Asked(Struct):
    """What an application posts to `/v1/appeals`."""

    appeal_id: str
    reason: str | None = None


async def _asked(request: Request) -> _Asked:
    written = b""
    async for part in request.stream():
        written += part
        if len(written) > MOST_APPEAL_BYTES:
            raise BadRequest("An appeal is at most 16 kB.", status=413)
    try:
        return msgspec.json.decode(written, type=_Asked)
    except msgspec.MsgspecError as error:
        raise BadRequest(
            'An appeal is JSON: {"appeal_id": …, "reason": …}; the reason may be left out.'
        ) from error


def _told_of(appeal: Appeal | None) -> dict[str, str]:
    if appeal is None:
        raise BadRequest(
            "No withheld exchange of yours has this id. One that was just answered is found within"
            " seconds; then try again.",
            code="appeal_not_found",
            status=404,
            param="appeal_id",
            retry_after_seconds=2,
        )
    return {"appeal_id": appeal.appeal_id, "state": appeal.state}


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "banister"}


async def _told(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BanisterError)  # noqa: S101  what the handler is registered for
    failure = Failure(error.code, error.message, error.status, error.type, error.param)
    seconds = error.retry_after_seconds
    headers = None if seconds is None else {"retry-after": str(seconds)}
    return JSONResponse(error_body(failure), error.status, headers)


async def _not_here(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  what the handler is registered for
    failure = Failure(
        code="not_found" if error.status_code == 404 else "invalid_request",
        message=f"There is no {request.method} of this path; see the README for those there are.",
        status=error.status_code,
        type="invalid_request_error",
    )
    return JSONResponse(error_body(failure), error.status_code)
