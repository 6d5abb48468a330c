"""The weekly report in a browser, under the policy that it is served with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvicorn
from axe_playwright_python.async_playwright import Axe
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from monitoring.report.render import html
from tests.factories_report import a_report


@pytest.fixture
async def report_address() -> AsyncIterator[str]:
    page = html(a_report())
    # As strict as the dashboards' policy for it, but for the sandbox, which would stop axe too.
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"
    headers = {"content-security-policy": policy}

    async def shown(_: object) -> Response:
        return Response(page, media_type="text/html", headers=headers)

    async def no_icon(_: object) -> Response:
        return Response(status_code=204)

    app = Starlette(routes=[Route("/", shown), Route("/favicon.ico", no_icon)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


@pytest.mark.parametrize(
    ("scheme", "ground"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(26, 29, 31)")]
)
async def test_the_report_is_shown_as_it_was_made(
    visit: Callable[..., object], report_address: str, scheme: str, ground: str
):
    one = await visit(report_address, color_scheme=scheme)
    page = await one.open()
    colour = await page.eval_on_selector("body", "e => getComputedStyle(e).backgroundColor")
    assert colour == ground
    assert await page.evaluate(
        "document.fonts.ready.then(() => document.fonts.check('600 16px Inter'))"
    )
    found = await Axe().run(page, options={"resultTypes": ["violations"]})
    serious = [v for v in found.response["violations"] if v["impact"] in ("serious", "critical")]
    assert serious == []


async def test_a_telephone_shows_it_without_scrolling_sideways(
    visit: Callable[..., object], report_address: str
):
    one = await visit(report_address, viewport={"width": 390, "height": 800})
    page = await one.open()
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
