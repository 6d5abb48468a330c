"""Weekly reports: each as it was frozen, to read here or to take along."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from msgspec import Struct

from dashboards.pages import Page
from dashboards.security import FRAMED
from dashboards.site import audited, show, site_of
from monitoring.report import records
from monitoring.report.records import Made, Report

PAGE = Page("Weekly reports", "/reports", group="Keep", place=20, key="w")
router = APIRouter()


class View(Struct, frozen=True):
    """All that the template needs; names as there."""

    reports: Sequence[Made]


@router.get("/reports")
async def reports(request: Request) -> Response:
    """The page."""
    return await show(request, "reports.html", View(await records.latest(site_of(request).reader)))


@router.get("/reports/{week_start}.html")
async def as_html(request: Request, week_start: date) -> Response:
    """One report, in a frame that may run and reach nothing."""
    found = await _report(request, week_start)
    headers = {"content-security-policy": FRAMED}
    return Response(found.html, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/reports/{week_start}.pdf")
async def as_pdf(request: Request, week_start: date) -> Response:
    """One report to print or to send."""
    found = await _report(request, week_start)
    name = f"banister-{week_start:%G-W%V}.pdf"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(found.pdf, media_type="application/pdf", headers=headers)


async def _report(request: Request, week_start: date) -> Report:
    found = await records.find(site_of(request).reader, week_start)
    if found is None:
        raise HTTPException(404)
    await audited(request, "report.open", f"{week_start:%G-W%V}")
    return found
