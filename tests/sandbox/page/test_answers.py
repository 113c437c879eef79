"""Tests of the answers that a user prepares or holds on the page, in a real browser."""

import anyio
import httpx
import pytest
from playwright.async_api import Page, expect

from smsapi_async import AsyncSmsClient, RequestRejected
from smsapi_async.sandbox import Sandbox
from tests.sandbox.page.looks import bubbles, open_tab, opened

NUMBER = "79031234567"


async def test_refusals(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """The user refuses the next requests to any resource, with a text and a count."""
    await opened(page, sandbox)
    sheet = await open_tab(page, "Account")
    await sheet.get_by_label("Resource of the refusal").select_option("every request")
    await sheet.get_by_label("Code").select_option("8")
    await sheet.get_by_label("Text of the error").fill("Under repair")
    refusal = sheet.locator("section").filter(has=page.get_by_role("heading", name="Refuse the next request"))
    await refusal.get_by_label("Number of requests").fill("2")
    await refusal.get_by_role("button", name="Refuse it").click()
    await expect(sheet.get_by_role("listitem")).to_have_text("every requestcode 82 times")
    await expect(page.get_by_role("tab", name="Account")).to_contain_text("1")
    async with httpx.AsyncClient(base_url=sandbox.base_url) as http:
        for path in ("/User/SessionId", "/Sms/In"):
            assert "Under repair" in (await http.get(path)).text
    await expect(sheet.get_by_role("listitem")).to_have_count(0)
    # The form keeps its values for the next refusal.
    await expect(sheet.get_by_label("Text of the error")).to_have_value("Under repair")


async def test_stored_answer(page: Page, sandbox: Sandbox) -> None:
    """The user writes the next answer: status, body, header fields, count, and whether it is processed."""
    await opened(page, sandbox)
    sheet = await open_tab(page, "Account")
    await sheet.get_by_label("Resource of the answer").select_option("User/Balance")
    await sheet.get_by_label("Status of the answer").fill("503")
    await sheet.get_by_text("Body, header fields, acceptance").click()
    await sheet.get_by_label("Body of the answer").fill("<h1>No</h1>")
    await sheet.get_by_label("Header fields of the answer").fill("Retry-After: 7\nX-Note: a: b")
    await sheet.get_by_role("checkbox").check()
    await sheet.get_by_role("button", name="Store it").click()
    await expect(sheet.get_by_role("listitem")).to_have_text("User/Balancestatus 503, acceptedonce")
    async with httpx.AsyncClient(base_url=sandbox.base_url) as http:
        answer = await http.get("/User/Balance")
    assert (answer.status_code, answer.text) == (503, "<h1>No</h1>")
    assert (answer.headers["retry-after"], answer.headers["x-note"]) == ("7", "a: b")
    await expect(sheet.get_by_role("listitem")).to_have_count(0)


async def test_wrong_answers(page: Page, sandbox: Sandbox, problems: list[str]) -> None:
    """A stored answer that no response can be is not stored, and the page says why."""
    await opened(page, sandbox)
    sheet = await open_tab(page, "Account")
    await sheet.get_by_text("Body, header fields, acceptance").click()
    for headers, status, reason in (
        ("no field", "200", "like Retry-After: 5"),
        ("Content-Length: 5", "200", "headers has a field that a response cannot have"),
        ("", "99", "status must be at least 200"),
    ):
        await sheet.get_by_label("Header fields of the answer").fill(headers)
        await sheet.get_by_label("Status of the answer").fill(status)
        await sheet.get_by_role("button", name="Store it").click()
        await expect(page.get_by_role("alert")).to_contain_text(reason)
    assert sandbox.prepared == []
    # Chromium reports the refused requests.
    problems[:] = [each for each in problems if "422" not in each]


@pytest.mark.parametrize("place", ["Account", "Request"])
async def test_held_answers(page: Page, sandbox: Sandbox, sms: AsyncSmsClient, place: str) -> None:
    """The user holds the answers of a resource, sees the held request, and releases its answer."""
    await opened(page, sandbox)
    sheet = await open_tab(page, "Account")
    await sheet.get_by_role("button", name="Hold them").click()
    await expect(sheet.get_by_role("listitem")).to_contain_text("Sms/Send0 held answers")
    done: list[str] = []

    async def send() -> None:
        await sms.send(NUMBER, "Hello")
        done.append("sent")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await expect(bubbles(page)).to_contain_text("Hello")
        await expect(sheet.get_by_role("listitem")).to_contain_text("1 held answer")
        assert done == []
        if place == "Account":
            await sheet.get_by_role("button", name="Release the answers of Sms/Send").click()
        else:
            await open_tab(page, "Request")
            await expect(sheet.locator(".tag.warn")).to_have_text("held")
            await sheet.get_by_role("button", name="Release the answers").click()
    assert done == ["sent"]
    assert sandbox.gates == []
    await expect(page.locator("#tab-account .count")).to_be_hidden()


async def test_remove_all(page: Page, sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """One button removes the prepared answers and releases the held ones; requests are normal again."""
    await opened(page, sandbox)
    sandbox.refuse_next("Sms/Send", 5, times=3)
    sandbox.hold("Sms/In")
    sheet = await open_tab(page, "Account")
    await expect(sheet.get_by_role("listitem")).to_have_count(2)
    with pytest.raises(RequestRejected):
        await sms.send(NUMBER, "Refused")
    await sheet.get_by_role("button", name="remove all").click()
    await expect(sheet.get_by_role("listitem")).to_have_count(0)
    await sms.send(NUMBER, "Hello")
    assert list(await sms.incoming()) == []
