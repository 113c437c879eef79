"""What the tests of the page look at, by the roles and labels that a user of a screen reader gets."""

import re
from urllib.parse import urlsplit

from playwright.async_api import Locator, Page, expect

from smsapi_async.sandbox import Sandbox


async def opened(page: Page, sandbox: Sandbox, link: str = "") -> Page:
    """Open the page of a sandbox, and wait until it follows the events."""
    await page.goto(f"{address(sandbox)}{link}")
    await live(page)
    return page


async def live(page: Page) -> None:
    """Wait until the page follows the events of a sandbox."""
    # On a small screen, the word is not visible.
    await expect(page.locator("#live")).to_have_text("live")


def address(sandbox: Sandbox) -> str:
    """Return the URL of the page."""
    parts = urlsplit(sandbox.base_url)
    return f"{parts.scheme}://{parts.netloc}/"


def conversation(page: Page, words: str | re.Pattern[str]) -> Locator:
    """Return the entry of the list of conversations that contains a text."""
    return page.get_by_role("navigation", name="Conversations").get_by_role("listitem").filter(has_text=words)


def bubbles(page: Page) -> Locator:
    """Return the messages on the phone, both directions."""
    return page.get_by_role("region", name="The phone").locator(".item")


def phone_of(page: Page, number: str) -> Locator:
    """Return the number at the top of the phone, if the phone is the one with this number."""
    return page.get_by_role("region", name="The phone").locator("strong").get_by_text(number, exact=True)


async def open_tab(page: Page, name: str) -> Locator:
    """Open a sheet of the panel, and return the sheet."""
    await page.get_by_role("tab", name=name).click()
    return page.get_by_role("tabpanel")
