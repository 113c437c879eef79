"""Tests of all views of the page in light and dark, on a desk and on a phone, in a real browser."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.async_api import Page, expect

from smsapi_async import AsyncSmsClient, RequestRejected, SmsApiError
from smsapi_async.sandbox import Sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, Rule
from tests.sandbox.page.conftest import Pages, client_of
from tests.sandbox.page.looks import bubbles, conversation, opened

# The file sets `window.axe`.
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
_TOO_WIDE = """() => [...document.querySelectorAll("html, .clock, .list, .thread, .tabs, .sheet, .nav")]
  .filter(part => part.scrollWidth > part.clientWidth + 1).map(part => part.className || part.localName)"""
SHEETS = ("request", "faults", "account", "setup")


async def fill(sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """Give the page something to show in each view."""
    await sms.send("79031234567", "Ваш код 4711. Хорошего дня! " * 4)
    await sms.send("79031234567", "It’s here: https://acme.example/p/8KQ2 " + "x" * 140)
    await sms.send("79031234946", "Lost", validity=1)
    await sms.send("79031234700", "Answer me")
    sandbox.receive("79031234567", text="Спасибо", destination_address="ACME")
    sandbox.advance(minutes=2)
    await sms.incoming()
    sandbox.answer_next("Sms/SendByTimeZoneToAddresses", 502, times=100, accept=True)
    sandbox.hold("Sms/SendByTimeZoneToAddresses")
    receipt = await sms.send("79031234567", "Just sent")
    for state in (-20, 11, 255, 42, 99):
        sandbox.set_state(receipt.segment_ids[0], state)
    sandbox.pause()
    assert sandbox.proxy is not None
    rules = (Rule(fault=Fault.CLOSE_BEFORE_READ, times=1), Rule(fault=Fault.TOO_MANY_REQUESTS_429, after=2))
    sandbox.proxy.plan = FaultPlan(rules=rules)
    with suppress(SmsApiError):
        async with client_of(sandbox, sandbox.faults_url) as other:
            await other.balance()
    with pytest.raises(RequestRejected):
        await sms.send("79031234806", "Refused")


async def violations(page: Page) -> list[Any]:
    """Return what axe-core finds: the rule and the elements."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [(each["id"], [node["html"][:100] for node in each["nodes"]]) for each in found["violations"]]


async def overflow(page: Page) -> list[str]:
    """Return the parts of the page whose contents are wider than their place."""
    wide: list[str] = await page.evaluate(_TOO_WIDE)
    return wide


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_accessible(
    pages: Pages, sandbox: Sandbox, sms: AsyncSmsClient, scheme: str, size: dict[str, int]
) -> None:
    """In each view, axe-core finds nothing, and nothing is wider than the window."""
    async with pages.opened(color_scheme=scheme, viewport=size, reduced_motion="reduce") as page:
        await opened(page, sandbox)
        await expect(page.get_by_role("heading", name="Waiting for the first message")).to_be_visible()
        found = {"empty": (await violations(page), await overflow(page))}
        await fill(sandbox, sms)
        await page.keyboard.press("Escape")
        await expect(conversation(page, "Just sent")).to_be_visible()
        if size is PHONE:
            found["list"] = (await violations(page), await overflow(page))
        await conversation(page, "Just sent").click()
        await expect(bubbles(page).last).to_be_visible()
        found["thread"] = (await violations(page), await overflow(page))
        for key, name in enumerate(SHEETS, start=1):
            await page.keyboard.press(str(key))
            await expect(page.locator(f"#tab-{name}")).to_have_attribute("aria-selected", "true")
            await page.locator("#sheet h2").first.wait_for()
            for each in await page.locator("#sheet summary").all():
                await each.click()
            found[name] = (await violations(page), await overflow(page))
        await page.keyboard.press("?")
        found["keys"] = (await violations(page), await overflow(page))
    assert found == dict.fromkeys(found, ([], []))


async def test_axe_finds_something(page: Page) -> None:
    """The check itself is not blind: axe-core finds a picture without a text."""
    await page.set_content("<html lang=en><title>x</title><main><h1>x</h1><img src='data:,'></main>")
    assert [each for each, _ in await violations(page)] == ["image-alt"]


async def test_phone_navigation(pages: Pages, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """At 390 px, one column shows the list, the phone or a sheet, and the user gets to each of them."""
    await sms.send("79031234567", "Hello")
    async with pages.opened(viewport=PHONE, has_touch=True) as page:
        await opened(page, sandbox)
        bar = page.get_by_role("contentinfo")
        listed = page.get_by_role("navigation", name="Conversations")
        await expect(listed).to_be_visible()
        await conversation(page, "Hello").tap()
        await expect(bubbles(page)).to_be_visible()
        await expect(listed).to_be_hidden()
        await bubbles(page).locator(".bubble").tap()
        await expect(page.get_by_role("tabpanel")).to_contain_text("Sms/Send")
        for name in ("Faults", "Account", "Connect", "Request"):
            await bar.get_by_role("button", name=name).tap()
            await expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
        await bar.get_by_role("button", name="Chats").tap()
        await expect(listed).to_be_visible()
        assert not await overflow(page)


async def test_drawer_on_a_tablet(pages: Pages, sandbox: Sandbox) -> None:
    """Between 721 and 1120 px, the panel is a drawer that a button opens and closes."""
    async with pages.opened(viewport={"width": 900, "height": 700}) as page:
        await opened(page, sandbox)
        panel = page.get_by_role("tabpanel")
        await expect(panel).to_be_hidden()
        await page.get_by_role("button", name="Requests, faults, account").click()
        await expect(panel).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(panel).to_be_hidden()
