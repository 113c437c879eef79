"""Tests of the panel of the page: requests, faults and the account, in a real browser."""

import json
import re

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute, SocketStream
from playwright.async_api import Page, expect

from smsapi_async import AsyncSmsClient, OutcomeUnknown, RequestRejected
from smsapi_async.sandbox import Sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, Rule
from tests.sandbox.page.conftest import client_of
from tests.sandbox.page.looks import bubbles, conversation, open_tab, opened

NUMBER = "79031234567"


async def test_request(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """The panel shows the request of a message: as it came, as it was read, and as it was answered."""
    await opened(page, sandbox)
    receipt = await sms.send(NUMBER, "Привет, мир")
    sheet = page.get_by_role("tabpanel")
    await expect(sheet).to_contain_text("Sms/Send")
    await expect(sheet.locator("dd").filter(has_text="Привет, мир")).to_be_visible()
    await expect(sheet.locator("pre").first).to_contain_text("POST /rest/Sms/Send")
    await expect(sheet.locator("pre").last).to_contain_text(
        re.compile(f"HTTP/1.1 200.*{receipt.segment_ids[0]}", re.DOTALL)
    )
    await page.get_by_role("button", name="The request before").click()
    await expect(sheet.locator("b").first).to_have_text("User/SessionId")


async def test_refused_request(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """A refused request has no conversation, but is in the list of the latest requests with its code."""
    await opened(page, sandbox)
    with pytest.raises(RequestRejected):
        await sms.send("79031234806", "Hello")
    sheet = page.get_by_role("tabpanel")
    await expect(sheet.get_by_role("listitem").filter(has_text="Sms/Send")).to_contain_text("code 6")
    await expect(sheet).to_contain_text("400 · code 6")


async def test_held_answer(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """A request whose answer a test holds is on the page as held, and gets its status afterwards."""
    await opened(page, sandbox)
    gate = sandbox.hold("Sms/Send")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sms.send, NUMBER, "Hello")
        sheet = page.get_by_role("tabpanel")
        await expect(sheet.locator(".tag.warn")).to_have_text("held")
        await expect(sheet).to_contain_text("The sandbox holds the answer")
        gate.release()
        await expect(sheet.locator(".tag.good")).to_have_text("200")
    await expect(sheet).not_to_contain_text("The sandbox holds the answer")


async def test_change_of_state(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """The user changes the state of a message, also to a state of the newer table."""
    await opened(page, sandbox)
    receipt = await sms.send(NUMBER, "Hello")
    for state, label in ((46, "expired"), (-20, "sent to the phone"), (-200, "error"), (8, "system error")):
        await page.get_by_label("Change the state").select_option(str(state))
        await expect(bubbles(page).locator(".facts")).to_contain_text(label)
        assert (await sms.state(receipt.segment_ids[0])).state == state


async def test_cut_line(page: Page, sandbox: Sandbox) -> None:
    """A fault switched on in the page gives `OutcomeUnknown`; the page shows that the message was sent."""
    await opened(page, sandbox)
    sheet = await open_tab(page, "Faults")
    await expect(sheet.locator("pre").first).to_contain_text(f"SMSAPI_BASE_URL={sandbox.faults_url}")
    await sheet.get_by_role("switch", name="Cut the line after sending").click()
    await expect(sheet.get_by_role("group", name="Fault 1: Cut the line after sending")).to_be_visible()
    await expect(page.get_by_role("tab", name="Faults")).to_contain_text("1")
    async with client_of(sandbox, sandbox.faults_url) as sms:
        with pytest.raises(OutcomeUnknown):
            await sms.send(NUMBER, "Was it sent?")
        await expect(conversation(page, "Was it sent?")).to_be_visible()
        await expect(bubbles(page)).to_contain_text("reset-after-pass")
        await expect(
            sheet.get_by_role("listitem").filter(has_text="Sms/Send: reset-after-pass")
        ).to_contain_text("passed on")
        # The rule was for one request.
        await sms.send(NUMBER, "It was.")
    await expect(bubbles(page)).to_have_count(2)


async def test_plan_of_faults(page: Page, sandbox: Sandbox) -> None:
    """The user edits the kind, the resource and the count of a rule, and adds a rule of any kind."""
    await opened(page, sandbox)
    assert sandbox.proxy is not None
    sheet = await open_tab(page, "Faults")
    await sheet.get_by_role("switch", name="Too many requests").click()
    rule = sheet.get_by_role("group", name="Fault 1: ")
    await rule.get_by_label("Resource").select_option("")
    await expect(rule.get_by_label("Resource")).to_have_value("")
    await rule.get_by_label("How many requests").fill("3")
    await rule.get_by_label("Retry-After in seconds").fill("2")
    await rule.get_by_label("Retry-After in seconds").blur()
    await expect(rule.get_by_label("Retry-After in seconds")).to_have_value("2")
    await sheet.get_by_label("Another kind of fault").select_option("truncate-after-pass")
    await sheet.get_by_role("button", name="Add").click()
    await expect(sheet.get_by_role("group", name="Fault 2: Half an answer")).to_be_visible()
    assert sandbox.proxy.plan.rules == (
        Rule(fault=Fault.TOO_MANY_REQUESTS_429, times=3, retry_after=2),
        Rule(fault=Fault.TRUNCATE_AFTER_PASS, resource="Sms/Send", times=1),
    )
    offered = (
        await rule.get_by_label("Kind of fault")
        .locator("option")
        .evaluate_all("all => all.map(e => e.value)")
    )
    assert set(offered) == set(Fault)
    await rule.get_by_role("switch").click()
    await expect(sheet.get_by_role("group", name="Fault 1: Half an answer")).to_be_visible()
    await sheet.get_by_role("button", name="all off").click()
    await expect(sheet.get_by_role("group", name="Fault")).to_have_count(0)
    assert sandbox.proxy.plan == FaultPlan()


async def test_plan_as_json(page: Page, sandbox: Sandbox, problems: list[str]) -> None:
    """The whole plan can be edited as JSON; an invalid plan is not saved, and the page says why."""
    await opened(page, sandbox)
    assert sandbox.proxy is not None
    sheet = await open_tab(page, "Faults")
    await sheet.get_by_text("The whole plan as JSON").click()
    box, save = (
        sheet.get_by_label("The fault plan in JSON"),
        sheet.get_by_role("button", name="Save the plan"),
    )
    await box.fill('{"faults": ["nonsense"]}')
    await save.click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(box).to_have_value('{"faults": ["nonsense"]}')
    assert sandbox.proxy.plan == FaultPlan()
    # Chromium reports each status from 400.
    problems[:] = [each for each in problems if "422" not in each]
    await box.fill(json.dumps({"faults": ["pass", "garbage"], "resource": "Sms/Send"}))
    await save.click()
    await expect(box).to_have_value(re.compile(r'"garbage"\n'))
    assert sandbox.proxy.plan == FaultPlan.script([Fault.PASS, Fault.GARBAGE], resource="Sms/Send")
    await expect(sheet).to_contain_text("The plan also contains a list of faults")
    await expect(page.get_by_role("tab", name="Faults")).to_contain_text("2")


async def test_expire_sessions(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """After "Expire all sessions", the client logs in again with the next send."""
    await opened(page, sandbox)
    await sms.send(NUMBER, "One")
    sheet = await open_tab(page, "Account")
    await sheet.get_by_role("button", name="Expire all sessions").click()
    await expect(sheet.locator("dd").first).to_have_text("0")
    await sms.send(NUMBER, "Two")
    await expect(sheet.locator("dd").last).to_have_text("2")
    assert sandbox.account.logins == 2


async def test_account(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """The user changes the balance, the price and the delay, and refuses the next request."""
    await opened(page, sandbox)
    sheet = await open_tab(page, "Account")
    await sheet.get_by_role("button", name="Spend it all").click()
    await expect(sheet).to_contain_text("0.00")
    with pytest.raises(RequestRejected) as refused:
        await sms.send(NUMBER, "Hello")
    assert refused.value.code == 5
    await sheet.get_by_label("Another balance").fill("12,5")
    await sheet.get_by_role("button", name="Set the balance").click()
    await expect(sheet).to_contain_text("12.50")
    await sheet.get_by_label("Another price").fill("2.5")
    await sheet.get_by_role("button", name="Set the price").click()
    await expect(sheet).to_contain_text("2.50 a segment")
    await sheet.get_by_role("button", name="0.2 s").click()
    await expect(sheet.get_by_role("button", name="0.2 s")).to_have_attribute("aria-pressed", "true")
    await sheet.get_by_label("Code").select_option("7")
    await sheet.get_by_role("button", name="Refuse it").click()
    await expect(sheet.get_by_role("listitem")).to_have_text("Sms/Sendcode 7once")
    with pytest.raises(RequestRejected) as refused:
        await sms.send(NUMBER, "Hello")
    assert refused.value.code == 7
    await expect(sheet.get_by_role("listitem")).to_have_count(0)
    assert (str(sandbox.balance), str(sandbox.price), sandbox.latency) == ("12.5", "2.5", 0.2)


async def test_pushes(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """The page shows each attempt to push an answer to the application, with its result."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - this is not Django

    async def fail(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, fail)
        sandbox.push_to(f"http://127.0.0.1:{port}/")
        await opened(page, sandbox)
        await sms.send(NUMBER, "Hello")
        await page.get_by_role("button", name="STOP").click()
        await expect(bubbles(page).last).to_contain_text("push 1: 500")
        sandbox.advance(seconds=61)
        await expect(bubbles(page).last).to_contain_text("push 2: 500")
        tasks.cancel_scope.cancel()


async def test_password_of_a_real_account(page: Page, sandbox: Sandbox) -> None:
    """A password that is not the sandbox's is nowhere on the page."""
    await opened(page, sandbox)
    async with httpx.AsyncClient() as http:
        await http.get(f"{sandbox.base_url}/User/SessionId?login=real&password=hunter-22")
    await expect(page.get_by_role("tabpanel").locator("b").first).to_have_text("User/SessionId")
    await expect(page.get_by_role("tabpanel")).to_contain_text("login=real")
    assert "hunter" not in await page.content()
