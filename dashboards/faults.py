"""What does a visitor read when a page cannot be shown?"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException as AnyHTTPException

from dashboards.site import shell_of, site_of
from guardrails.errors import BadRequest

logger = logging.getLogger(__name__)

STATEMENT_SECONDS = 5


def show_errors(app: FastAPI) -> None:
    """Answer each kind of error with a page that says what to do next."""

    def shown(request: Request, status: int, title: str, advice: str) -> Response:
        shell = shell_of(request)
        html = site_of(request).render("error.html", {"title": title, "advice": advice}, shell)
        return HTMLResponse(html, status_code=status)

    async def http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            advice = "No page or exchange has this address."
            return shown(request, 404, "There is nothing here", advice)
        if error.status_code == 403:
            return shown(request, 403, "This is not for you", error.detail)
        if error.status_code in (400, 409, 413, 429):
            return shown(request, error.status_code, "This was not done", error.detail)
        return shown(request, error.status_code, "This does not work", "Use the pages’ own links.")

    async def bad_request(request: Request, error: BadRequest) -> Response:
        return shown(request, 400, "This address cannot be read", error.message)

    async def log_away(request: Request, error: SQLAlchemyError) -> Response:
        original = getattr(error, "orig", None)
        # The statement's parameters may hold what a person looked for: only the kind is written.
        logger.warning("the exchange log cannot be read: %s", type(original or error).__name__)
        if getattr(original, "sqlstate", None) == "57014":
            advice = f"Nothing was found within {STATEMENT_SECONDS} seconds; narrow the filters."
            return shown(request, 503, "This search takes too long", advice)
        advice = "The database does not answer. Exchanges are not lost by that; try again soon."
        return shown(request, 503, "The exchange log cannot be read", advice)

    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        AnyHTTPException: http_error,
        BadRequest: bad_request,
        SQLAlchemyError: log_away,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
