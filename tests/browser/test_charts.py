"""Charts on a page of ours: the strict policy lets them through, and they follow light and dark."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from dashboards.security import SecurityHeaders
from monitoring.charts.draw import svg
from monitoring.charts.figure import figure
from monitoring.charts.palette import DARK, LIGHT
from tests.factories_charts import ALL

STATIC = Path(__file__).parents[2] / "dashboards/static"


@pytest.fixture
async def charts_address() -> AsyncIterator[str]:
    body = "".join(figure(make(), svg(make())) for make in ALL)
    html = (
        '<!doctype html><html lang="en"><title>Charts</title><link rel="stylesheet" '
        'href="/static/banister.css"><link rel="icon" href="/static/mark.svg">'
        f'<main class="page"><h1>Charts</h1><div class="charts">{body}</div></main></html>'
    )

    async def page(_: object) -> HTMLResponse:
        return HTMLResponse(html)

    app = Starlette(routes=[Route("/", page), Mount("/static", StaticFiles(directory=STATIC))])
    server = uvicorn.Server(
        uvicorn.Config(SecurityHeaders(app), port=0, log_level="warning", ws="none")
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


@pytest.mark.parametrize(("scheme", "palette"), [("light", LIGHT), ("dark", DARK)])
async def test_a_chart_has_the_colours_of_its_page(
    visit: Callable[..., object], charts_address: str, scheme: str, palette: dict[str, str]
):
    one = await visit(charts_address, color_scheme=scheme)
    page = await one.open()
    fills = await page.eval_on_selector_all(
        "svg.drawn path, svg.drawn rect", "all => all.map(e => getComputedStyle(e).fill)"
    )
    block = palette["block"]
    red, green, blue = (int(block[at : at + 2], 16) for at in (1, 3, 5))
    assert f"rgb({red}, {green}, {blue})" in fills
    letters = await page.eval_on_selector("svg.drawn text", "e => getComputedStyle(e).fontFamily")
    assert "system-ui" in letters


async def test_a_narrow_window_scrolls_a_chart_and_not_the_page(
    visit: Callable[..., object], charts_address: str
):
    one = await visit(charts_address, viewport={"width": 360, "height": 800})
    page = await one.open()
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
