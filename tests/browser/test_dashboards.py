"""What a person sees and does in the dashboards, in a real Chromium."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.browser.conftest import dashboards
from tests.browser.traffic import HOSTILE, write
from tests.factories import make_blocked

pytestmark = pytest.mark.timeout(180)

# Every visible text against what really lies behind it, by WCAG 2's formula.
CONTRASTS = """
() => {
  const parse = (color) => {
    const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((value) => {
      const v = value / 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const { rgb, a } = parse(getComputedStyle(at).backgroundColor);
      if (a === 1) return rgb;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim()) continue;
    if (element.closest(".unseen, .skip, title, desc, option, datalist")) continue;
    const style = getComputedStyle(element);
    const color = element instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [light(parse(color).rgb), light(ground(element))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), walker.currentNode.data.trim().slice(0, 40)]);
  }
  return found;
}
"""


async def first_path(page, text: str) -> str:
    return await page.locator("tr", has_text=text).first.locator("a").get_attribute("href")


async def test_overview_shows_figures_and_chart(visit):
    page = await (await visit()).open()
    assert await page.title() == "Overview · Banister"
    assert await page.locator(".figure .value").first.inner_text() == "404"
    assert await page.locator(".plot .bar").count() > 24


async def test_filter_narrows_the_list_and_stays_in_the_address(visit):
    page = await (await visit()).open("/exchanges")
    assert await page.locator("tr[data-id]").count() == 40
    await page.get_by_role("combobox", name="Route").select_option("support")
    await page.wait_for_url("**/exchanges?route=support")
    await page.get_by_role("combobox", name="Decision").select_option("block")
    await page.get_by_role("button", name="Search").click()
    await page.wait_for_url(re.compile("route=support.*decision=block"))
    kinds = await page.locator("tr[data-id] .badge").all_inner_texts()
    routes = await page.locator("tr[data-id] .route").all_inner_texts()
    assert set(kinds) == {"block"}
    assert set(routes) == {"support"}
    assert await page.get_by_role("combobox", name="Decision").input_value() == "block"
    await page.get_by_role("link", name="Clear").click()
    await page.wait_for_url("**/exchanges?route=support")
    assert set(await page.locator("tr[data-id] .route").all_inner_texts()) == {"support"}
    await page.get_by_role("link", name="Overview").click()
    await page.wait_for_url("**/?route=support")
    assert await page.get_by_role("combobox", name="Route").input_value() == "support"
    await page.get_by_role("link", name="All", exact=True).click()
    assert await page.get_by_role("combobox", name="Route").input_value() == ""


async def test_older_page_and_back_to_the_newest(visit):
    page = await (await visit()).open("/exchanges")
    first = await page.locator("tr[data-id]").first.get_attribute("data-id")
    await page.get_by_role("link", name="Older").click()
    assert await page.locator("h2#latest").inner_text() == "Older exchanges"
    assert await page.locator("tr[data-id]").first.get_attribute("data-id") != first
    await page.get_by_role("link", name="Newest").click()
    assert await page.locator("tr[data-id]").first.get_attribute("data-id") == first


async def test_exchange_opens_with_its_finds_marked_and_its_steps(visit):
    page = await (await visit()).open("/exchanges?text=ada@example.org")
    await page.locator("tr[data-id] a").click()
    assert await page.locator("h1").inner_text() == "Passed on, redacted"
    assert (await page.locator("mark").first.inner_text()).startswith("ada@example.org")
    assert "[email]" in await page.locator("section[aria-labelledby=saw]").inner_text()
    assert await page.locator(".steps .bar").count() >= 4
    await page.get_by_role("link", name="Exchanges").first.click()
    assert await page.locator("tr[data-id]").count() == 40


async def test_hostile_text_stays_text(visit):
    window = await visit()
    page = await window.open("/exchanges")
    assert await page.title() == "Exchanges · Banister"
    await page.goto(window.address + await first_path(page, "<script>"))
    said = page.locator("section[aria-labelledby=came] .said")
    assert await said.inner_text() == HOSTILE
    assert "owned" not in await page.title()
    assert await page.locator("main img, main script").count() == 0


@pytest.mark.parametrize("path", ["/", "/exchanges", "/monitoring", "detail"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_has_enough_contrast(visit, scheme, path):
    window = await visit(color_scheme=scheme)
    page = await window.open("/exchanges")
    if path == "detail":
        path = await first_path(page, "<script>")
    await window.open(path)
    found = await page.evaluate(CONTRASTS)
    assert len(found) > 20
    assert [one for one in found if one[0] < 4.5] == []


@pytest.mark.parametrize("width", [320, 390, 800])
async def test_narrow_screens_scroll_only_downwards(visit, width):
    window = await visit(viewport={"width": width, "height": 800})
    page = await window.open("/exchanges")
    hostile = await first_path(page, "<script>")
    for path in ("/", "/exchanges", hostile, "/monitoring", "/exchanges?text=zzz"):
        await window.open(path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path


async def test_page_is_whole_without_script(visit):
    page = await (await visit(java_script_enabled=False)).open("/exchanges?decision=block")
    assert await page.locator("tr[data-id]").count() > 0
    assert await page.locator(".live button").count() == 0
    await page.get_by_label("Route").select_option("support")
    await page.get_by_role("button", name="Show").click()
    assert "route=support" in page.url


async def test_keyboard_reaches_the_content_the_filters_and_an_exchange(visit):
    page = await (await visit()).open("/exchanges")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    reached = []
    for _ in range(10):
        await page.keyboard.press("Tab")
        reached.append(
            await page.evaluate(
                "document.activeElement.name || document.activeElement.pathname || ''"
            )
        )
    assert [r for r in reached if r in ("decision", "text")] == ["decision", "text"]
    assert any(r.startswith("/exchanges/") for r in reached)
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


async def test_shortcuts_open_pages_search_and_rows(visit):
    page = await (await visit()).open("/")
    await page.keyboard.press("g")
    await page.keyboard.press("e")
    await page.wait_for_url("**/exchanges")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    second = await page.locator("tr[data-id] a").nth(1).get_attribute("href")
    assert await page.evaluate("document.activeElement.getAttribute('href')") == second
    await page.keyboard.press("/")
    await page.keyboard.type("g o?")
    assert await page.locator("input[type=search]").input_value() == "g o?"
    await page.keyboard.press("Tab")
    await page.keyboard.press("?")
    assert await page.get_by_role("dialog", name="Keyboard").is_visible()
    await page.keyboard.press("Escape")
    assert not await page.get_by_role("dialog", name="Keyboard").is_visible()


async def test_theme_is_kept_from_page_to_page(visit):
    page = await (await visit(color_scheme="light")).open("/")
    await page.get_by_role("button", name="Dark").click()
    dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    await page.get_by_role("link", name="Exchanges").click()
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    await page.get_by_role("button", name="Light").click()
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


async def test_narrow_screens_have_a_menu(visit):
    page = await (await visit(viewport={"width": 390, "height": 800})).open("/")
    assert not await page.get_by_role("navigation", name="Pages").is_visible()
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("link", name="Exchanges").click()
    await page.wait_for_url("**/exchanges")


async def test_new_exchanges_appear_by_themselves_until_paused(
    visit, make_database, tmp_path: Path
):
    url = make_database()
    with dashboards(url, tmp_path) as address:
        window = await visit(address)
        page = await window.open("/exchanges")
        assert "The log holds no exchange." in await page.inner_text("main")
        await write(url, [make_blocked("First of all", started_at=datetime.now(UTC))])
        await page.locator("tr[data-id]", has_text="First of all").wait_for(timeout=15_000)
        assert await page.get_by_role("status").inner_text() == "1 new exchange"
        await page.get_by_role("button", name="Live").click()
        assert (
            await page.get_by_role("button", name="Paused").get_attribute("aria-pressed") == "false"
        )
        await page.context.close()


async def test_empty_log_looks_like_no_data(visit, make_database, tmp_path: Path):
    with dashboards(make_database(), tmp_path) as address:
        page = await (await visit(address)).open("/")
        assert await page.locator(".figure .value").all_inner_texts() == ["No data"] * 4
        assert await page.locator(".plot").count() == 0
        await page.context.close()
