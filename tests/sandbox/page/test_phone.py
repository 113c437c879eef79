"""Tests of the conversations and of the phone on the page, in a real browser."""

import json
import re
from collections.abc import Callable
from functools import partial
from time import monotonic
from urllib.parse import quote

import anyio
import httpx
from playwright.async_api import Page, expect

from smsapi_async import AsyncSmsClient
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.sandbox.page.conftest import Pages, client_of
from tests.sandbox.page.looks import address, bubbles, conversation, live, open_tab, opened, phone_of

NUMBER = "79031234567"
SHOWN = "+7 903 123-45-67"
# A promise that is kept when 500 conversations are drawn.
_WHEN_500 = """() => new Promise(done => {
  const count = () => document.querySelectorAll(".conversation").length;
  const check = () => count() === 500 && requestAnimationFrame(done);
  new MutationObserver(check).observe(document.getElementById("conversations"), {childList: true});
})"""
HOSTILE = "<img src=x onerror=\"document.title='bad'\"><script>document.title='bad'</script>"


async def test_empty_page(page: Page, sandbox: Sandbox) -> None:
    """The page of a new sandbox says how to point a client here; the sample then opens a conversation."""
    await opened(page, sandbox)
    await expect(page.get_by_role("heading", name="Waiting for the first message")).to_be_visible()
    await expect(page.locator(".empty pre").first).to_contain_text(f"SMSAPI_BASE_URL={sandbox.base_url}")
    await page.get_by_role("button", name="Send a sample message").click()
    await expect(bubbles(page)).to_contain_text("Your code is")
    (message,) = sandbox.account.messages
    assert message.destination_address == NUMBER
    await page.keyboard.press("s")
    await expect(bubbles(page)).to_have_count(2)
    assert sandbox.account.logins == 1


async def test_sample_after_the_session(page: Page, sandbox: Sandbox, problems: list[str]) -> None:
    """The sample logs in again if its session has ended, by the clock or by the control API."""
    await opened(page, sandbox)
    ends: list[Callable[[], object]] = [
        sandbox.clear,
        sandbox.expire_sessions,
        partial(sandbox.advance, hours=3),
    ]
    for count, end in enumerate(ends):
        end()
        await page.keyboard.press("s")
        await expect(bubbles(page)).to_have_count(count + 1)
        assert sandbox.account.logins == count + 1
    await expect(page.locator("#problem")).to_be_hidden()
    # The browser logs each refused request.
    problems[:] = [each for each in problems if "401" not in each]


async def test_message_within_half_a_second(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """A message is on the page at most 500 ms after `send` returned."""
    await opened(page, sandbox)
    times: list[float] = []
    for count in range(1, 6):
        await sms.send(NUMBER, f"Message {count}")
        sent = monotonic()
        await bubbles(page).filter(has_text=f"Message {count}").wait_for()
        times.append(monotonic() - sent)
    # One quiet moment of a busy machine is enough.
    assert min(times) < 0.5
    await expect(conversation(page, SHOWN)).to_contain_text("Message 5")


async def test_reply_reaches_the_client(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """An answer typed on the phone is in `incoming()`, and the page then says that it was read."""
    await opened(page, sandbox)
    await sms.send(NUMBER, "Did you get your order?")
    box = page.get_by_role("textbox", name="Answer")
    await box.fill("Да, спасибо")
    await box.press("Enter")
    await expect(bubbles(page).filter(has_text="Да, спасибо")).to_contain_text("not read yet")
    await page.get_by_role("button", name="STOP").click()
    await expect(bubbles(page)).to_have_count(3)
    found = await sms.incoming()
    assert {(each.source_address, each.destination_address, each.text) for each in found} == {
        (NUMBER, "ACME", "Да, спасибо"),
        (NUMBER, "ACME", "STOP"),
    }
    await expect(bubbles(page).filter(has_text="STOP")).to_contain_text("read by Sms/In")
    await expect(box).to_have_value("")


async def test_answer_to_the_chosen_sender(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """If several source addresses wrote to a number, the user chooses which one gets the answer."""
    await sms.send(NUMBER, "One")
    await sms.send(NUMBER, "Two", source_address="OTHER")
    await opened(page, sandbox)
    await expect(page.get_by_label("Answer to").locator("option")).to_have_text(["to OTHER", "to ACME"])
    await page.get_by_label("Answer to").select_option("ACME")
    await page.get_by_role("button", name="👍").click()
    await expect(bubbles(page)).to_have_count(3)
    assert [(each.destination_address, each.text) for each in sandbox.account.incoming] == [("ACME", "👍")]


async def test_pause_and_advance(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """A paused clock keeps a message where it is; one minute later the message is delivered or expired."""
    await opened(page, sandbox)
    await page.get_by_role("button", name="Pause the clock").click()
    await expect(page.get_by_role("button", name="Let the clock run")).to_be_visible()
    await expect(page.get_by_role("group", name="The gateway's clock")).to_contain_text("paused")
    assert not sandbox.running
    await sms.send(NUMBER, "Hello")
    await sms.send("79031234946", "Lost", validity=1)
    await expect(conversation(page, SHOWN)).to_contain_text("not in the database yet")
    before = sandbox.now()
    await page.get_by_role("button", name="Move the clock one minute forward").click()
    await expect(conversation(page, SHOWN)).to_contain_text("delivered")
    assert (sandbox.now() - before).total_seconds() == 60
    await page.keyboard.press("m")
    await conversation(page, "Lost").click()
    await expect(bubbles(page)).to_contain_text("expired")
    await page.get_by_role("button", name="Failed").click()
    await expect(page.locator(".conversation")).to_have_count(1)
    await page.keyboard.press("Escape")
    await page.locator("body").press(" ")
    await expect(page.get_by_role("button", name="Pause the clock")).to_be_visible()
    assert sandbox.running


async def test_speed_of_the_clock(page: Page, sandbox: Sandbox) -> None:
    """The user makes the clock faster, and the page's clock follows."""
    await opened(page, sandbox)
    shown = page.locator("#now")
    await page.get_by_label("Speed of the clock").select_option("3600")
    before = await shown.get_attribute("datetime")
    assert before is not None
    await expect(shown).not_to_have_attribute("datetime", re.compile(re.escape(before[:13])))
    assert sandbox.speed == 3600


async def test_segments_code_and_hint(pages: Pages, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """The phone shows the cuts, the price, the character that costs a segment, and a code to copy."""
    text = "Your code is 902644. It’s valid for 10 minutes. Never tell it to anyone, not even to us."
    async with pages.opened(permissions=["clipboard-read", "clipboard-write"]) as page:
        await opened(page, sandbox)
        await sms.send(NUMBER, text)
        item = bubbles(page)
        await expect(item.locator(".bubble")).to_have_text(text)
        await expect(item.locator(".cut")).to_have_count(1)
        await expect(item).to_contain_text("’ makes it 2 segments instead of 1")
        await expect(item.locator(".facts")).to_contain_text(re.compile(r"2 segments.*UCS-2.*3\.00"))
        await item.get_by_title("Copy the code").click()
        await expect(item.get_by_text("copied")).to_be_visible()
        assert await page.evaluate("navigator.clipboard.readText()") == "902644"
        await sms.send("79031110000", "Your PIN: 5512")
        await conversation(page, "5512").click()
        await expect(bubbles(page)).to_contain_text("5512")
        await page.keyboard.press("c")
        await expect(page.get_by_text("copied")).to_be_visible()
        assert await page.evaluate("navigator.clipboard.readText()") == "5512"


async def test_html_stays_text(
    page: Page, sandbox: Sandbox, sms: AsyncSmsClient, problems: list[str]
) -> None:
    """HTML in messages, addresses, requests, errors and searches stays text everywhere on the page."""
    await opened(page, sandbox)
    await sms.send(NUMBER, HOSTILE)
    await expect(bubbles(page).locator(".bubble")).to_have_text(HOSTILE)
    await expect(conversation(page, SHOWN)).to_contain_text(HOSTILE)
    sheet = page.get_by_role("tabpanel")
    await expect(sheet.locator("dd").filter(has_text=HOSTILE)).to_be_visible()
    await page.get_by_role("textbox", name="Answer").fill(HOSTILE)
    await page.get_by_role("button", name="Send the answer").click()
    await expect(bubbles(page).last.locator(".bubble")).to_have_text(HOSTILE)
    sandbox.receive(NUMBER, text=HOSTILE, destination_address="<b>x</b>", prefix="<b>x</b>")
    await expect(bubbles(page)).to_have_count(3)
    await expect(bubbles(page).last).to_contain_text("keyword <b>x</b>")
    sandbox.answer_next("User/Balance", 200, HOSTILE, {"X-Note": "<b>x</b>"})
    async with httpx.AsyncClient() as http:
        await http.get(f"{sandbox.base_url}/User/Balance", params={HOSTILE: HOSTILE})
    await sheet.get_by_role("button", name="User/Balance").click()
    await expect(sheet.locator("dt").filter(has_text=HOSTILE)).to_be_visible()
    await expect(sheet.locator("pre").last).to_contain_text(HOSTILE)
    await page.get_by_label("Search messages").fill("<img src=x onerror=alert(1)>")
    await expect(conversation(page, SHOWN)).to_have_count(0)
    await open_tab(page, "Faults")
    await sheet.get_by_text("The whole plan as JSON").click()
    await sheet.get_by_label("The fault plan in JSON").fill(json.dumps({HOSTILE: 1}))
    await sheet.get_by_role("button", name="Save the plan").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await page.goto(f"{address(sandbox)}#{quote(HOSTILE + NUMBER)}")
    assert await page.locator("img, main script, b:text-is('x')").count() == 0
    assert await page.title() == "SMS sandbox"
    # Chromium reports the refused plan.
    problems[:] = [each for each in problems if "422" not in each]


async def _time_to_draw(page: Page, sms: AsyncSmsClient) -> float:
    """Send a bulk, and return the seconds between the end of the call and the drawing of all recipients."""
    drawn: list[float] = []

    async def watch() -> None:
        await page.evaluate(_WHEN_500)
        drawn.append(monotonic())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await sms.send_bulk([f"7903{number:07}" for number in range(500)], "Sale")
        sent = monotonic()
    return drawn[0] - sent


async def test_500_recipients(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """A bulk of 500 recipients is drawn at most 1.5 s after the send, and the page still answers."""
    await opened(page, sandbox)
    times: list[float] = []
    # One quiet moment of a busy machine is enough.
    while not times or (min(times) >= 1.5 and len(times) < 3):
        sandbox.clear()
        await expect(page.locator("#totals")).to_have_text("0 messages, 0 segments")
        times.append(await _time_to_draw(page, sms))
    assert min(times) < 1.5
    await expect(page.locator("#totals")).to_have_text("500 messages, 500 segments")
    await expect(page.get_by_role("tabpanel")).to_contain_text("500 messages")
    await page.keyboard.press("j")
    await expect(page.locator(".conversation[aria-current=true]")).to_have_count(1)


async def test_long_conversation(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """A long conversation begins with its latest messages; a link or a button shows the earlier messages."""
    receipts = [await sms.send(NUMBER, f"Message {count}") for count in range(450)]
    await opened(page, sandbox)
    await expect(bubbles(page)).to_have_count(200)
    await expect(bubbles(page).last).to_be_in_viewport()
    await page.get_by_role("button", name="Show 200 earlier").click()
    await expect(bubbles(page)).to_have_count(400)
    await page.goto(f"{address(sandbox)}#{NUMBER}/{receipts[3].segment_ids[0]}")
    marked = page.locator(".item[aria-current=true]")
    await expect(marked).to_contain_text("Message 3")
    await expect(marked).to_be_in_viewport()


async def test_limit_of_the_sandbox(pages: Pages) -> None:
    """The page removes what the sandbox removes: with `keep=5`, it shows the latest five messages."""
    async with run_sandbox(keep=5) as sandbox, client_of(sandbox) as sms, pages.opened() as page:
        await opened(page, sandbox)
        await sms.send("79031110000", "Oldest")
        for count in range(7):
            await sms.send(NUMBER, f"Message {count}")
        await expect(page.locator("#totals")).to_have_text("5 messages, 5 segments")
        await conversation(page, "Message 6").click()
        await expect(bubbles(page).locator(".bubble")).to_have_text(
            [f"Message {count}" for count in range(2, 7)]
        )
        await expect(conversation(page, "Oldest")).to_have_count(0)


async def test_restart(pages: Pages, problems: list[str]) -> None:
    """On a phone, too, the page says that the sandbox stopped; then it shows the new sandbox only."""
    async with pages.opened(viewport={"width": 390, "height": 844}) as page:
        async with run_sandbox() as first, client_of(first) as sms:
            port = int(address(first).rsplit(":", 1)[1].strip("/"))
            await opened(page, first)
            await sms.send(NUMBER, "Before the restart")
            await expect(bubbles(page)).to_contain_text("Before the restart")
        await expect(page.locator("#live")).to_have_text("connecting…")
        await expect(page.get_by_role("alert")).to_contain_text("The sandbox does not answer.")
        await expect(page.get_by_role("alert")).to_be_in_viewport()
        async with run_sandbox(port=port) as second, client_of(second) as sms:
            await live(page)
            await expect(page.get_by_role("alert")).to_have_count(0)
            await expect(page.get_by_text("Before the restart")).to_have_count(0)
            await sms.send(NUMBER, "After the restart")
            await expect(bubbles(page)).to_contain_text("After the restart")
    # Chromium reports the lost stream and each attempt to connect.
    problems[:] = [each for each in problems if "net::ERR_" not in each]


async def test_unread_after_a_restart(pages: Pages, problems: list[str]) -> None:
    """Messages that a new sandbox accepted before the page connected again are unread."""
    async with pages.opened() as page:
        async with run_sandbox() as first, client_of(first) as sms:
            port = int(address(first).rsplit(":", 1)[1].strip("/"))
            await opened(page, first)
            for _ in range(3):
                await sms.send(NUMBER, "Before the restart")
            await expect(bubbles(page)).to_have_count(3)
            await page.route("**/api/v1/state", lambda route: route.abort())
        async with run_sandbox(port=port) as second, client_of(second) as sms:
            await sms.send("79031110000", "Early")
            await page.unroute("**/api/v1/state")
            await live(page)
            await expect(conversation(page, "Early")).to_contain_text("1 unread")
    problems[:] = [each for each in problems if "net::ERR_" not in each]


async def test_answer_box_on_a_phone(pages: Pages, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """On a narrow page with several source addresses, the answer box still has one line."""
    for source in ("ACME", "79160000000"):
        await sms.send(NUMBER, "Hello", source_address=source)
    async with pages.opened(viewport={"width": 390, "height": 844}) as page:
        await page.goto(f"{address(sandbox)}#{NUMBER}")
        box = page.get_by_role("textbox", name="Answer")
        await expect(box).to_be_visible()
        size = await box.bounding_box()
        assert size is not None
        assert size["height"] < 45
        assert size["width"] > 250


async def test_unread(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """Messages of other conversations are counted in the list and in the title until the user opens them."""
    await opened(page, sandbox)
    await sms.send(NUMBER, "Open")
    await expect(bubbles(page)).to_have_count(1)
    for _ in range(2):
        await sms.send("79031110000", "In the background")
    await expect(page).to_have_title("(2) SMS sandbox")
    await expect(conversation(page, "In the background")).to_contain_text("2 unread")
    await conversation(page, "In the background").click()
    await expect(page).to_have_title("SMS sandbox")
    await expect(page.locator(".badge")).to_have_count(0)


async def test_deep_links(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """`#number` opens a conversation, and `#number/message` marks a message by any of its ids."""
    first = await sms.send(NUMBER, "Я" * 100)
    for count in range(25):
        await sms.send(NUMBER, f"Message {count}")
    await sms.send("79031110000", "Latest")
    await opened(page, sandbox, f"#{NUMBER}/{first.segment_ids[1]}")
    marked = page.locator(".item[aria-current=true]")
    await expect(marked).to_contain_text("ЯЯЯ")
    await expect(marked).to_be_in_viewport()
    # The page is open: the link changes its place and does not load the page again.
    await page.goto(f"{address(sandbox)}#%2B79031110000")
    # `goto` returns when the browser has the new address. The page draws the other phone afterwards.
    await expect(phone_of(page, "+7 903 111-00-00")).to_be_visible()
    await expect(bubbles(page)).to_contain_text("Latest")
    await conversation(page, SHOWN).click()
    assert page.url.endswith(f"#{NUMBER}")
    await page.goto(f"{address(sandbox)}#79990000000")
    await expect(phone_of(page, "+7 999 000-00-00")).to_be_visible()
    await page.get_by_role("button", name="STOP").click()
    await expect(bubbles(page)).to_contain_text("STOP")
    assert [each.source_address for each in sandbox.account.incoming] == ["79990000000"]


async def test_search(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """The search finds words, numbers, states, codes and links, and `-word` excludes."""
    await sms.send("79031110001", "Your code is 4711")
    await sms.send("79031110002", "Good morning, see https://acme.example/1")
    await sms.send("79031110942", "Good night", source_address="OTHER")
    sandbox.advance(minutes=1)
    await opened(page, sandbox)
    await page.keyboard.press("/")
    found = {
        "good": ["09-42", "00-02"],
        "GOOD -night": ["00-02"],
        "has:code": ["00-01"],
        "has:link": ["00-02"],
        "to:+79031110001": ["00-01"],
        "from:other": ["09-42"],
        "state:rejected": ["09-42"],
        "state:0 text:good": ["00-02"],
        "nothing": [],
    }
    for query, endings in found.items():
        await page.locator("*:focus").fill(query)
        await expect(page.locator(".who")).to_have_text([re.compile(f"{each}$") for each in endings])
    await expect(page.get_by_text("Nothing matches.")).to_be_visible()


async def test_keys_and_theme(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """Keys move between conversations and switch the colours; the page remembers the colours."""
    await sms.send("79031110001", "One")
    await sms.send("79031110002", "Two")
    await opened(page, sandbox)
    await expect(bubbles(page)).to_contain_text("Two")
    await page.keyboard.press("j")
    await expect(bubbles(page)).to_contain_text("One")
    await page.keyboard.press("k")
    await expect(bubbles(page)).to_contain_text("Two")
    await page.keyboard.press("r")
    await expect(page.get_by_role("textbox", name="Answer")).to_be_focused()
    await page.keyboard.type("d m j")
    await expect(page.get_by_role("textbox", name="Answer")).to_have_value("d m j")
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    await page.keyboard.press("Escape")
    scheme = "getComputedStyle(document.documentElement).colorScheme"
    await page.keyboard.press("d")
    assert await page.evaluate(scheme) == "dark"
    await page.reload()
    await live(page)
    assert await page.evaluate(scheme) == "dark"
    await page.get_by_role("button", name="Switch between light and dark").click()
    assert await page.evaluate(scheme) == "light"


async def test_draft_and_place_survive_events(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """Arriving messages take neither the typed answer nor the focus, and do not scroll a read thread."""
    for count in range(30):
        await sms.send(NUMBER, f"Message {count}")
    await opened(page, sandbox)
    await expect(bubbles(page)).to_have_count(30)
    thread = page.locator("#thread")
    await expect(bubbles(page).last).to_be_in_viewport()
    await thread.evaluate("each => { each.scrollTop = 0; }")
    box = page.get_by_role("textbox", name="Answer")
    await box.fill("A draft")
    await sms.send(NUMBER, "Message 30")
    await sms.send("79031110001", "Elsewhere")
    await expect(bubbles(page)).to_have_count(31)
    await expect(box).to_have_value("A draft")
    await expect(box).to_be_focused()
    assert await thread.evaluate("each => each.scrollTop") == 0


async def test_clear_and_reset(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """Clear empties the lists and keeps the balance; reset also gives the balance back."""
    await opened(page, sandbox)
    await sms.send(NUMBER, "Hello")
    await expect(bubbles(page)).to_have_count(1)
    await page.get_by_role("button", name="Clear").click()
    await expect(page.locator("#totals")).to_have_text("0 messages, 0 segments")
    await expect(page.get_by_role("heading", name="Waiting for the first message")).to_be_visible()
    assert "#" not in page.url
    account = await open_tab(page, "Account")
    await expect(account).to_contain_text("9,998.50")
    await account.get_by_role("button", name="Reset the sandbox").click()
    await expect(account).to_contain_text("10,000.00")
    await sms.send(NUMBER, "Again")
    await expect(bubbles(page)).to_contain_text("Again")
