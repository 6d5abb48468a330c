"""Weekly reports: listed, read and taken along, each look on record."""

from __future__ import annotations

from datetime import date

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from dashboards import audit
from monitoring.report import records
from tests.integration.dashboards.conftest import NOW

MONDAY = date(2026, 11, 16)


async def test_a_report_is_given_as_it_was_frozen(client: httpx.AsyncClient, engine: AsyncEngine):
    assert "No report yet" in (await client.get("/reports")).text
    await records.keep(
        engine, MONDAY, frozen={}, html=b"<style>p{}</style><p>Safe.</p>", pdf=b"%PDF-1.7",
        sha256="ab" * 32, now=NOW,
    )  # fmt: skip
    page = (await client.get("/reports")).text
    assert "2026-W47" in page
    assert "not mailed" in page
    html = await client.get("/reports/2026-11-16.html")
    assert html.content == b"<style>p{}</style><p>Safe.</p>"
    assert "sandbox" in html.headers["content-security-policy"]
    pdf = await client.get("/reports/2026-11-16.pdf")
    assert pdf.content == b"%PDF-1.7"
    assert 'filename="banister-2026-W47.pdf"' in pdf.headers["content-disposition"]
    assert (await client.get("/reports/2026-11-09.pdf")).status_code == 404
    async with engine.connect() as connection:
        looked = [one for one in await audit.latest(connection, 9) if one.action == "report.open"]
    assert len(looked) == 2
