"""Tests of what users do with the page: go back, reload, open two tabs, use only the keyboard."""

import json
import shutil

import anyio
import pytest
from playwright.async_api import Page, Route, expect

from smsapi_async import AsyncSmsClient
from smsapi_async.sandbox import Sandbox
from tests.sandbox.page.conftest import Pages
from tests.sandbox.page.looks import address, bubbles, conversation, live, open_tab, opened, phone_of

NUMBER = "79031234567"
SHOWN = "+7 903 123-45-67"
OTHER = "79031110000"
OTHER_SHOWN = "+7 903 111-00-00"
PHONE = {"width": 390, "height": 844}


def without_network_errors(problems: list[str], *words: str) -> None:
    """Remove the lines of the console that Chromium writes for each failed request."""
    problems[:] = [each for each in problems if not any(word in each for word in (*words, "net::ERR_"))]


async def test_back_and_forward(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """The browser's "back" returns to the conversation before, and "forward" to the next one."""
    await sms.send(OTHER, "One")
    await sms.send(NUMBER, "Two")
    await opened(page, sandbox)
    await conversation(page, "One").click()
    await conversation(page, "Two").click()
    await page.go_back()
    await expect(phone_of(page, OTHER_SHOWN)).to_be_visible()
    await page.go_back()
    await expect(phone_of(page, SHOWN)).to_be_visible()
    assert "#" not in page.url
    await page.go_forward()
    await expect(phone_of(page, OTHER_SHOWN)).to_be_visible()
    await expect(bubbles(page)).to_contain_text("One")


async def test_back_on_a_phone(pages: Pages, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """At 390 px, the browser's "back" and the page's "back" both return to the list."""
    await sms.send(NUMBER, "Hello")
    async with pages.opened(viewport=PHONE) as page:
        await opened(page, sandbox)
        for back in (page.go_back, page.get_by_role("button", name="Back").click):
            await conversation(page, "Hello").click()
            await expect(bubbles(page)).to_be_visible()
            await back()
            await expect(page.get_by_role("navigation", name="Conversations")).to_be_visible()
            await expect(page).to_have_url(address(sandbox))
        await page.goto(f"{address(sandbox)}#{NUMBER}")
        await expect(bubbles(page)).to_be_visible()
        await page.get_by_role("button", name="Back").click()
        await expect(page.get_by_role("navigation", name="Conversations")).to_be_visible()


@pytest.mark.parametrize("size", [{"width": 1280, "height": 800}, PHONE], ids=["desk", "phone"])
async def test_reload(pages: Pages, sandbox: Sandbox, sms: AsyncSmsClient, size: dict[str, int]) -> None:
    """After a reload, the page shows the same conversation and the same sheet."""
    await sms.send(OTHER, "One")
    await sms.send(NUMBER, "Two")
    async with pages.opened(viewport=size) as page:
        await opened(page, sandbox)
        await conversation(page, "One").click()
        await page.reload()
        await live(page)
        await expect(bubbles(page)).to_contain_text("One")
        for key, name in (("3", "Account"), ("2", "Faults")):
            await page.keyboard.press(key)
            await page.reload()
            await live(page)
            await expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
            await expect(page.get_by_role("tabpanel")).to_be_visible()


async def test_two_tabs(pages: Pages, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """What a user does in one tab is also in the other tab."""
    await sms.send(NUMBER, "Hello")
    async with pages.opened() as one, pages.opened() as two:
        await opened(one, sandbox)
        await opened(two, sandbox)
        await one.get_by_role("button", name="STOP").click()
        await expect(bubbles(two).last).to_contain_text("STOP")
        await two.get_by_role("button", name="Pause the clock").click()
        await expect(one.get_by_role("button", name="Let the clock run")).to_be_visible()
        await open_tab(one, "Account")
        await (await open_tab(two, "Account")).get_by_role("button", name="Spend it all").click()
        await expect(one.locator(".money")).to_contain_text("0.00")
        await two.get_by_role("button", name="Clear").click()
        await expect(one.get_by_role("heading", name="Waiting for the first message")).to_be_visible()


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        pytest.param("ten words or so " * 95, 10, id="long"),
        pytest.param("m" * 400, 3, id="one-word"),
        pytest.param("שלום, הקוד שלך הוא 123456", 1, id="right-to-left"),
        pytest.param("👩‍👩‍👧‍👦 🎉 👍🏽", 1, id="emoji"),
        pytest.param("  two\n\n  lines  ", 1, id="spaces"),
    ],
)
async def test_texts(pages: Pages, sandbox: Sandbox, sms: AsyncSmsClient, text: str, segments: int) -> None:
    """Any text is shown as it was sent, from a sender of 11 characters, and fits on a small screen."""
    async with pages.opened(viewport=PHONE) as page:
        await opened(page, sandbox)
        await sms.send(NUMBER, text, source_address="ACME-SHOP24")
        bubble = bubbles(page).locator(".bubble")
        await expect(bubble).to_be_visible()
        assert await bubble.evaluate("each => each.textContent") == text
        await expect(bubble.locator(".cut")).to_have_count(segments - 1)
        await expect(page.locator(".from")).to_have_text("ACME-SHOP24")
        direction = "rtl" if "ש" in text else "ltr"
        assert await bubble.evaluate("each => getComputedStyle(each).direction") == direction
        assert await page.locator("#thread").evaluate("each => each.scrollWidth <= each.clientWidth")


async def test_1000_conversations(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """With 1,000 conversations, the list shows all, and the search finds one of them."""
    await sms.send_bulk([f"7903{number:05}50" for number in range(1000)], "Sale")
    await sms.send(NUMBER, "Your code is 4711")
    await opened(page, sandbox)
    await expect(page.locator(".conversation")).to_have_count(1000)
    await expect(page.get_by_text("1 older conversation: search to find them.")).to_be_visible()
    await page.get_by_label("Search messages").fill("+7 903 005-55-50")
    await expect(page.locator(".who")).to_have_text(["+7 903 005-55-50"])


async def test_only_the_keyboard(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """Without a mouse, a user searches, opens a conversation, answers, and changes the sheet."""
    await sms.send(NUMBER, "Your code is 4711")
    await sms.send(OTHER, "Good morning")
    await opened(page, sandbox)
    await page.keyboard.press("/")
    await page.keyboard.type("4711")
    await page.keyboard.press("Enter")
    await expect(phone_of(page, SHOWN)).to_be_visible()
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    await page.keyboard.press("r")
    await page.keyboard.type("Thanks")
    await page.keyboard.press("Enter")
    await expect(bubbles(page).last).to_contain_text("Thanks")
    assert [each.text for each in sandbox.account.incoming] == ["Thanks"]
    await page.get_by_role("tab", name="Request").focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="Faults")).to_be_focused()
    await expect(page.get_by_role("tabpanel")).to_contain_text("The faulty line")


async def test_zoom_of_200_percent(pages: Pages, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """A window of 1280 by 800 pixels at 200 % still has room for the messages and the reply box."""
    await sms.send(NUMBER, "Hello")
    async with pages.opened(viewport={"width": 640, "height": 400}, device_scale_factor=2) as page:
        await opened(page, sandbox)
        await conversation(page, "Hello").click()
        await expect(bubbles(page).locator(".bubble")).to_be_in_viewport(ratio=1)
        await expect(page.get_by_role("textbox", name="Answer")).to_be_in_viewport(ratio=1)


async def test_motion(pages: Pages, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """A browser that asks for reduced motion gets no animation and no transition."""
    running = "document.getAnimations().length"
    async with pages.opened(reduced_motion="reduce") as page:
        await opened(page, sandbox)
        await sms.send(NUMBER, "One")
        await expect(bubbles(page)).to_have_count(1)
        await sms.send(NUMBER, "Two")
        await expect(bubbles(page)).to_have_count(2)
        assert await page.evaluate(running) == 0
        await open_tab(page, "Faults")
        switch = page.get_by_role("switch").first
        assert await switch.evaluate("each => getComputedStyle(each).transitionDuration") == "0s"


async def test_keys_before_the_first_answer(page: Page, sandbox: Sandbox) -> None:
    """Keys that a user presses while the first answer is on its way do no harm."""
    release = anyio.Event()

    async def late(route: Route) -> None:
        await release.wait()
        await route.continue_()

    await page.route("**/api/v1/state", late)
    await page.goto(address(sandbox))
    for key in ("j", "k", " ", "2", "/", "Enter", "Escape"):
        await page.keyboard.press(key)
    await expect(page.locator("#live")).to_have_text("connecting…")
    release.set()
    await live(page)
    assert sandbox.running
    await expect(page.get_by_role("tab", name="Faults")).to_have_attribute("aria-selected", "true")


async def test_error_of_the_api(page: Page, sandbox: Sandbox, problems: list[str]) -> None:
    """If the control API fails, the page says so, for a command and for the first answer."""

    async def fail(route: Route) -> None:
        await route.fulfill(status=500, body="Internal Server Error")

    await page.route("**/api/v1/state", fail)
    await page.goto(address(sandbox))
    await expect(page.get_by_role("alert")).to_contain_text("status 500")
    await page.route("**/api/v1/events*", fail)
    await page.unroute("**/api/v1/state")
    await expect(page.get_by_role("alert")).to_contain_text("The sandbox sends no events")
    await page.unroute("**/api/v1/events*")
    await live(page)
    await expect(page.get_by_role("alert")).to_have_count(0)
    await page.route("**/api/v1/clock", fail)
    await page.get_by_role("button", name="Pause the clock").click()
    await expect(page.get_by_role("alert")).to_contain_text("status 500")
    await page.get_by_role("button", name="Close").first.click()
    await expect(page.get_by_role("alert")).to_have_count(0)
    without_network_errors(problems, "500")


async def test_answer_that_is_not_taken(page: Page, sandbox: Sandbox, problems: list[str]) -> None:
    """The text of an answer that the sandbox did not take comes back into the box."""
    await opened(page, sandbox, f"#{NUMBER}")
    await page.route("**/api/v1/incoming", lambda route: route.abort())
    box = page.get_by_role("textbox", name="Answer")
    await box.fill("A long answer")
    await box.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("The sandbox does not answer.")
    await expect(box).to_have_value("A long answer")
    await page.unroute("**/api/v1/incoming")
    await box.press("Enter")
    await expect(bubbles(page)).to_contain_text("A long answer")
    await expect(box).to_have_value("")
    without_network_errors(problems)


async def test_draft_of_each_conversation(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """Each conversation keeps the answer that the user began to write."""
    await sms.send(NUMBER, "One")
    await sms.send(OTHER, "Two")
    await opened(page, sandbox, f"#{NUMBER}")
    box = page.get_by_role("textbox", name="Answer")
    await box.fill("A draft")
    await conversation(page, "Two").click()
    await expect(phone_of(page, OTHER_SHOWN)).to_be_visible()
    await expect(box).to_have_value("")
    await conversation(page, "One").click()
    await expect(phone_of(page, SHOWN)).to_be_visible()
    await expect(box).to_have_value("A draft")


async def test_answer_goes_to_the_last_sender(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """Without a choice of the user, an answer goes to the sender of the last message."""
    await opened(page, sandbox)
    for source in ("ACME", "OTHER", "ACME"):
        await sms.send(NUMBER, f"From {source}", source_address=source)
    await expect(bubbles(page)).to_have_count(3)
    await page.get_by_role("button", name="STOP").click()
    await expect(bubbles(page)).to_have_count(4)
    await sms.send(NUMBER, "Last", source_address="OTHER")
    await expect(bubbles(page)).to_have_count(5)
    await page.get_by_role("button", name="👍").click()
    await expect(bubbles(page)).to_have_count(6)
    assert [each.destination_address for each in sandbox.account.incoming] == ["ACME", "OTHER"]


async def test_unread_in_the_list_of_a_phone(pages: Pages, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """At 390 px, a message is unread until the user opens its conversation."""
    await sms.send(NUMBER, "First")
    async with pages.opened(viewport=PHONE) as page:
        await opened(page, sandbox)
        await sms.send(NUMBER, "Second")
        await expect(conversation(page, "Second")).to_contain_text("1 unread")
        await conversation(page, "Second").click()
        await expect(page).to_have_title("SMS sandbox")
        await sms.send(NUMBER, "Third")
        await expect(bubbles(page)).to_have_count(3)
        await expect(page).to_have_title("SMS sandbox")


async def test_late_answer(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """An answer of the control API that comes late does not replace a newer balance."""
    await opened(page, sandbox)
    await open_tab(page, "Account")
    asked, release = anyio.Event(), anyio.Event()

    async def late(route: Route) -> None:
        response = await route.fetch()
        asked.set()
        await release.wait()
        await route.fulfill(response=response)

    await page.route("**/api/v1/account", late, times=1)
    await sms.send(NUMBER, "Hello")
    await asked.wait()
    sandbox.balance = 77
    await expect(page.locator(".money")).to_contain_text("77.00")
    async with page.expect_response("**/api/v1/account"):
        release.set()
    # Time for a wrong drawing.
    await page.evaluate("new Promise(done => setTimeout(done, 100))")
    await expect(page.locator(".money")).to_contain_text("77.00")


async def test_copy_without_https(pages: Pages, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """Under a name that is not loopback, browsers have no `navigator.clipboard`; the page still copies."""
    async with pages.opened(permissions=["clipboard-read"]) as page:
        await page.add_init_script("""
            window.clipboard = navigator.clipboard;
            Object.defineProperty(navigator, "clipboard", {value: undefined});
        """)
        await opened(page, sandbox)
        await sms.send(NUMBER, "Your code is 4711")
        await page.get_by_title("Copy the code").click()
        await expect(page.get_by_text("copied")).to_be_visible()
        assert await page.evaluate("clipboard.readText()") == "4711"
        await expect(page.get_by_title("Copy the code")).to_be_focused()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("place", ["empty page", "Connect"])
async def test_shown_commands(page: Page, sandbox: Sandbox, place: str) -> None:
    """The commands that the page shows for curl send a message and read its code."""
    await opened(page, sandbox)
    sheet = await open_tab(page, "Connect")
    await expect(sheet.locator("pre").first).to_contain_text(f"SMSAPI_BASE_URL={sandbox.base_url}")
    shown = page.locator(".empty") if place == "empty page" else sheet
    send = await shown.locator("pre").filter(has_text="Sms/Send").text_content()
    read = await sheet.locator("pre").filter(has_text="messages/latest").text_content()
    assert send is not None
    assert read is not None
    await anyio.run_process(["sh", "-c", send])
    await expect(bubbles(page)).to_contain_text("Your code is 4711")
    answer = await anyio.run_process(["sh", "-c", read])
    assert json.loads(answer.stdout)["code"] == "4711"


async def test_small_screen_shows_the_latest_message(
    pages: Pages, sandbox: Sandbox, sms: AsyncSmsClient
) -> None:
    """At 390 px, a conversation opens at its latest message, and also shows the answer of the user."""
    for count in range(30):
        await sms.send(NUMBER, f"Message {count}")
    async with pages.opened(viewport=PHONE) as page:
        await opened(page, sandbox)
        await conversation(page, SHOWN).click()
        await expect(bubbles(page).filter(has_text="Message 29")).to_be_in_viewport()
        await page.get_by_role("button", name="Request", exact=True).click()
        await sms.send(NUMBER, "While the request is shown")
        await page.get_by_role("button", name="Chats").click()
        await conversation(page, SHOWN).click()
        await expect(bubbles(page).filter(has_text="While the request")).to_be_in_viewport()
        await page.locator("#thread").evaluate("each => { each.scrollTop = 0; }")
        await page.get_by_role("button", name="STOP").click()
        await expect(bubbles(page).filter(has_text="STOP")).to_be_in_viewport()
