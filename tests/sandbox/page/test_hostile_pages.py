"""Tests of pages of other sites that try to control the sandbox through the browser of the developer."""

import json
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect

from smsapi_async import AsyncSmsClient
from smsapi_async.sandbox import Sandbox
from tests.sandbox.page.looks import address, bubbles, live

EVIL = "http://evil.example"
NUMBER = "79031234567"


@pytest.fixture
def problems() -> list[str]:
    """Chromium reports each refused request in the console, so the console of these tests is not checked."""

    class Ignored(list[str]):
        def append(self, _: str) -> None:
            pass

    return Ignored()


async def hostile(page: Page, content: str = "<title>evil</title>", url: str = f"{EVIL}/") -> None:
    """Open a page of another site."""

    async def respond(route: Route) -> None:
        await route.fulfill(content_type="text/html", body=content)

    await page.route(f"{EVIL}/**", respond)
    await page.goto(url)


REQUESTS = [
    ("POST", "api/v1/reset", None),
    ("POST", "api/v1/incoming", {"source_address": NUMBER, "text": "x"}),
    ("DELETE", "api/v1/messages", None),
    ("PUT", "api/v1/faults", {"faults": ["garbage"]}),
    ("PATCH", "api/v1/account", {"balance": "0"}),
    ("GET", "api/v1/state", None),
    ("GET", "api/v1/messages/latest", None),
]


@pytest.mark.parametrize("mode", ["cors", "no-cors"])
async def test_fetch_of_another_origin(page: Page, sandbox: Sandbox, sms: AsyncSmsClient, mode: str) -> None:
    """A page of another origin can neither read nor change the sandbox with `fetch`."""
    await sms.send(NUMBER, "Your code is 4711")
    before = observed(sandbox)
    await hostile(page)
    for method, path, body in REQUESTS:
        options: dict[str, Any] = {"method": method, "mode": mode}
        if body is not None:
            # Without CORS, a page can only send the content types of forms.
            kind = "application/json" if mode == "cors" else "text/plain"
            options |= {"body": json.dumps(body), "headers": {"content-type": kind}}
        read = await page.evaluate(
            "([url, options]) => fetch(url, options).then(each => each.text(), () => '')",
            [address(sandbox) + path, options],
        )
        assert read == ""
    assert observed(sandbox) == before


async def test_form_of_another_origin(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """A form of another site changes nothing, also a form whose text is JSON."""
    await sms.send(NUMBER, "Hello")
    before = observed(sandbox)
    # The field of the form is `{"text": "="}` with the number, so the body is valid JSON.
    incoming = json.dumps({"source_address": NUMBER, "text": ""})[:-2]
    for path, name in (("reset", '{"'), ("incoming", incoming)):
        form = (
            f"<form method=post enctype=text/plain action={address(sandbox)}api/v1/{path}>"
            f"<input name='{name}' value='\"}}'></form>"
        )
        await hostile(page, form)
        async with page.expect_navigation():
            await page.evaluate("document.forms[0].submit()")
        assert await page.evaluate("document.contentType") == "application/json"
    assert observed(sandbox) == before


async def test_events_and_frames_of_another_origin(page: Page, sandbox: Sandbox) -> None:
    """Another site gets no events, no script and no frame of the sandbox."""
    await hostile(page)
    api = address(sandbox)
    assert await page.evaluate(loaded("new EventSource(url)", "open"), f"{api}api/v1/events") == "error"
    script = "Object.assign(document.head.appendChild(document.createElement('script')), {src: url})"
    assert await page.evaluate(loaded(script), f"{api}static/theme.js") == "error"
    frame = "Object.assign(document.body.appendChild(document.createElement('iframe')), {src: url})"
    await page.evaluate(loaded(frame), api)
    assert await page.frames[-1].locator("#conversations").count() == 0


async def test_link_of_another_site(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """A link of another site, for example of an issue tracker, opens the page, and the page works."""
    await sms.send(NUMBER, "Hello")
    await hostile(page, f"<a href={address(sandbox)}#{NUMBER}>open</a>")
    await page.get_by_text("open").click()
    await live(page)
    await expect(bubbles(page)).to_contain_text("Hello")


async def test_rebound_name(browser: Browser, chromium: str, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """A name of another site that points to this computer (DNS rebinding) gets neither page nor API."""
    await sms.send(NUMBER, "Your code is 4711")
    port = address(sandbox).rsplit(":", 1)[1].strip("/")
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    options = ["--no-sandbox", rules]
    other = await browser.browser_type.launch(executable_path=chromium, args=options)
    try:
        page = await other.new_page()
        response = await page.goto(f"{EVIL}:{port}/")
        assert response is not None
        assert response.status == 403
        read = await page.evaluate("fetch('/api/v1/state').then(each => each.status)")
        assert read == 403
        assert "4711" not in await page.content()
    finally:
        await other.close()


def loaded(element: str, success: str = "load") -> str:
    """Return a function in JavaScript that makes an object, and returns the name of its first event."""
    events = f"made.on{success} = made.onerror = event => done(event.type);"
    return f"url => new Promise(done => {{ const made = {element}; {events} }})"


def observed(sandbox: Sandbox) -> tuple[object, ...]:
    """Return what a hostile page would like to change."""
    account = sandbox.account
    plan = None if sandbox.proxy is None else sandbox.proxy.plan
    return len(account.messages), len(account.incoming), sandbox.balance, plan, sandbox.feed.last
