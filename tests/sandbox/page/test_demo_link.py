"""Test of the link that the command `demo` prints, in a real browser."""

import json
import signal
import sys
from subprocess import PIPE

import anyio
from playwright.async_api import Page, expect

from tests.sandbox.page.looks import bubbles, live


async def test_link_of_the_demo(page: Page) -> None:
    """The link that `demo --keep` prints opens the page at the message, with the recipient's reply."""
    command = [sys.executable, "-m", "smsapi_async", "demo", "--keep", "--json", "--speed", "200"]
    printed = b""
    async with await anyio.open_process(command, stdout=PIPE, stderr=None) as process:
        assert process.stdout is not None
        while not printed.endswith(b"\n}\n"):
            printed += await process.stdout.receive()
        await page.goto(json.loads(printed)["link"])
        await live(page)
        await expect(page.locator(".item[aria-current=true]")).to_contain_text("Здравствуйте!")
        await expect(bubbles(page).last).to_contain_text("Re: Здравствуйте!")
        await expect(bubbles(page).last).to_contain_text("read by Sms/In")
        await page.goto("about:blank")
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
