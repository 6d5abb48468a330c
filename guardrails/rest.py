"""Everything on the proxy's port that is not a guarded path: health, readiness, the models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from guardrails.access import Access
from guardrails.checks import Checker
from guardrails.errors import BadRequest, BanisterError
from guardrails.exchange_log.writer import ExchangeLog
from guardrails.metrics.page import page
from guardrails.metrics.workers import Workers
from guardrails.policy.releases import Releases
from guardrails.policy.store import PolicyStore
from guardrails.proxy import Proxy
from guardrails.types import Failure
from guardrails.upstream.pool import Pool
from guardrails.upstream.rollouts import Rollouts
from guardrails.wire.results import error_body


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


def _admit(parts: Parts, request: Request, route: str) -> None:
    parts.access.caller(dict(request.headers.raw), request.client, route)


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
