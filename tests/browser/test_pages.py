"""Every page and every act in a real Chromium: seen, reached by keyboard, and accessible (axe)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from dashboards import pages, users
from dashboards.passwords import hash_password
from guardrails.database import make_engine
from tests.browser.conftest import dashboards
from tests.browser.findings import DETAILS, path_of
from tests.browser.traffic import a_day, write

pytestmark = pytest.mark.timeout(300)

NAVIGATION = sorted(module.PAGE.path for module in pages.modules() if module.PAGE.group)
PASSWORD = "correct horse battery"


async def faults(page: Page) -> list[tuple[str, str]]:
    """What axe finds wrong, with the first place of each."""
    found = (await Axe().run(page)).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:160]) for one in found]


async def others(page: Page) -> list[str]:
    """Pages that are reached by links: an exchange, a document, an appeal, an opened form."""
    first = await page.locator("tr[data-id] a").first.get_attribute("href")
    base = page.url.split("/exchanges")[0]
    details = [await path_of(page, base, name) for name in DETAILS]
    return [*details, str(first),
            str(first).replace("exchanges", "appeals"), "/login", "/review?marks=1",
            "/exchanges?decision=block&span=30d", "/none"]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
async def test_no_page_has_a_fault_of_accessibility(visit, scheme):
    window = await visit(color_scheme=scheme)
    page = await window.open("/exchanges")
    seen = 0
    for path in [*NAVIGATION, *await others(page)]:
        await window.open(path)
        for summary in await page.locator("main summary").all():
            await summary.click()
        assert await faults(page) == [], path
        seen += 1
    assert seen > 12
    # The page that is not there is told by its status on the console too.
    window.faults = [fault for fault in window.faults if "404" not in fault]


async def test_paper_has_ink_on_white_whole_tables_and_charts_and_nothing_to_press(visit):
    page = await (await visit(color_scheme="dark")).open("/?route=support")
    await page.evaluate("document.documentElement.dataset.theme = 'dark'")
    await page.emulate_media(media="print", color_scheme="dark")
    for part in (".side", ".top", "form.bar", ".live"):
        await expect(page.locator(part).first).to_be_hidden()
    await expect(page.locator(".printed")).to_have_text("Only route support.")
    await expect(page.locator(".plot .bar.is-allow").first).to_be_visible()
    ink = await page.eval_on_selector("h1", "e => getComputedStyle(e).color")
    assert ink == "rgb(26, 28, 30)"
    await page.goto(page.url.replace("/?", "/safety?"))
    cut = "list => list.filter((e) => e.scrollHeight > e.clientHeight + 1).length"
    assert await page.eval_on_selector_all(".scroll, .table-panel", cut) == 0
    assert await page.locator(".drawn").count() >= 2


@pytest.mark.parametrize("width", [320, pytest.param(800, marks=pytest.mark.slow)])
async def test_no_page_scrolls_sideways(visit, width):
    window = await visit(viewport={"width": width, "height": 800})
    page = await window.open("/exchanges")
    for path in [*NAVIGATION, *await others(page)]:
        await window.open(path)
        for summary in await page.locator("main summary").all():
            await summary.click()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
    window.faults = [fault for fault in window.faults if "404" not in fault]


async def test_a_reviewer_judges_with_one_key_each(visit):
    page = await (await visit()).open("/review")
    left = page.locator(".queue strong").nth(1)
    before = int(await left.inner_text())
    assert await page.get_by_text("I only asked how the page is built.").count() == 1
    await page.keyboard.press("3")
    assert await page.get_by_role("checkbox", name="prompt injection").is_checked()
    async with page.expect_navigation():
        await page.keyboard.press("n")
    await expect(left).to_have_text(str(before - 1))
    for key in ("s", "u", "h"):
        async with page.expect_navigation():
            await page.keyboard.press(key)
    await expect(left).to_have_text(str(before - 4))
    judged = await page.locator("input[name=item]").get_attribute("value")
    async with page.expect_navigation():
        await page.keyboard.press("t")
    assert "marks=1" in page.url
    assert await page.locator("input[name=item]").get_attribute("value") == judged
    for _ in range(4):
        async with page.expect_navigation():
            await page.keyboard.press("z")
    await expect(left).to_have_text(str(before))
    await page.get_by_placeholder("Note, if any").click()
    await page.keyboard.type("safe? no: shush")
    assert await page.get_by_placeholder("Note, if any").input_value() == "safe? no: shush"
    assert await left.inner_text() == str(before)


async def test_keys_users_and_the_login_by_hand(visit, make_database, tmp_path: Path):
    with dashboards(make_database(), tmp_path) as address:
        window = await visit(address)
        page = await window.open("/people")
        page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
        await page.get_by_text("Make a key").click()
        await page.get_by_label("Name").first.fill("batch")
        await page.get_by_role("button", name="Make the key").click()
        assert (await page.locator(".token code").inner_text()).startswith("bk_")
        await page.get_by_role("link", name="Keys & users").click()
        assert await page.locator(".token").count() == 0
        await page.get_by_role("button", name="Revoke batch").click()
        await expect(page.get_by_text("revoked")).to_have_count(1)
        await page.get_by_text("Make a user").click()
        form = page.locator("form[action='/people/users']")
        await form.get_by_label("Name").fill("ada")
        await form.get_by_label("First password").fill(PASSWORD)
        await form.get_by_role("button", name="Make the user").click()
        await page.wait_for_url("**/login?next=**")
        await page.get_by_label("Name").fill("ada")
        await page.get_by_label("Password").fill("wrong")
        await page.get_by_role("button", name="Log in").click()
        assert await page.get_by_role("alert").inner_text() == "This name and password do not fit."
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        await page.wait_for_url("**/people*")
        await page.get_by_role("link", name="ada").first.click()
        assert await page.locator("h1").inner_text() == "ada"
        assert await faults(page) == []
        await page.get_by_role("button", name="Log out").click()
        await page.wait_for_url("**/login")
        window.faults = [fault for fault in window.faults if "403" not in fault]
        await page.context.close()


async def test_a_view_is_kept_used_and_taken_away(visit):
    page = await (await visit()).open("/exchanges?decision=block")
    await page.get_by_text("Keep this view").click()
    await page.get_by_label("Name").fill("Blocks")
    await page.get_by_role("button", name="Keep", exact=True).click()
    await page.goto(page.url.split("?")[0])
    await page.get_by_role("link", name="Blocks").click()
    assert "decision=block" in page.url
    assert await page.get_by_role("link", name="Blocks").get_attribute("aria-current") == "true"
    await page.get_by_role("button", name="Remove the view Blocks").click()
    await expect(page.get_by_role("link", name="Blocks")).to_have_count(0)


async def test_audit_appeal_and_documents_are_followed_by_links(visit):
    page = await (await visit()).open("/review")
    await page.get_by_role("link", name="Audit log").click()
    await page.get_by_label("What").fill("review")
    await page.get_by_role("button", name="Show").click()
    await page.locator("td a").first.click()
    exchange = page.url.split("/exchanges/")[1].split("?")[0]
    await page.get_by_role("link", name="Review").click()
    await page.get_by_label("Appeal id").fill(exchange)
    await page.get_by_role("button", name="Look it up").click()
    assert "Appeal" in await page.locator("h1").inner_text()
    await page.get_by_role("link", name="Knowledge base").click()
    await page.get_by_role("link", name="Returns and refunds").click()
    assert await page.locator("h1").inner_text() == "Returns and refunds"


async def test_a_visitor_of_one_tenant_is_offered_what_he_may_open(
    visit, make_database, tmp_path: Path
):
    url, now = make_database(), datetime.now(UTC)
    await write(url, a_day(now, 20))
    engine = make_engine(url)
    async with engine.begin() as connection:
        await users.create(
            connection, name="vic", role="viewer", tenants=["acme"], now=now,
            password_hash=hash_password(PASSWORD),
        )  # fmt: skip
    await engine.dispose()
    with dashboards(url, tmp_path) as address:
        page = await (await visit(address)).open("/")
        await page.get_by_label("Name").fill("vic")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{address}/")
        offered = await page.locator(".side nav a").all_inner_texts()
        assert "Exchanges" in offered
        assert not {"Keys & users", "Audit log", "Health", "Review"} & set(offered)
        tenants = page.get_by_role("combobox", name="Tenant").locator("option")
        assert await tenants.all_inner_texts() == ["All", "acme"]
        await page.context.close()
