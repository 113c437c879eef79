"""Tests of single sends with a ledger: all calls with one key send one message."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from smsapi_async import (
    AsyncSmsClient,
    InvalidCredentials,
    Message,
    NotEnoughCredits,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Receipt,
    RequestRejected,
    RetryPolicy,
    SmsApiError,
    ValidationError,
)
from smsapi_async.ledger import Ledger, LedgerError
from smsapi_async.sandbox import Dialect, Sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, run_fault_proxy
from tests.client.tools import client_for, port_of, until
from tests.ledger.tools import Place

pytestmark = pytest.mark.anyio
NUMBER = "79031234512"
CODE = "Your code is 4711"
KEY = "login attempt 17"
Send = Callable[..., Awaitable[Receipt]]


def _send(sms: AsyncSmsClient, **options: Any) -> Awaitable[Receipt]:
    return sms.send(NUMBER, CODE, **options)


def _send_by_time_zone(sms: AsyncSmsClient, **options: Any) -> Awaitable[Receipt]:
    return sms.send_by_time_zone(NUMBER, CODE, send_date=datetime(2030, 1, 1, 9), **options)  # noqa: DTZ001


both_sends = pytest.mark.parametrize("send", [_send, _send_by_time_zone])


@pytest.fixture
async def ledger(place: Place, anyio_backend: str) -> AsyncIterator[Ledger]:
    """Open a new ledger during the test."""
    async with place() as opened:
        yield opened


@pytest.fixture
async def sms(sandbox: Sandbox) -> AsyncIterator[AsyncSmsClient]:
    """Open a client for the sandbox during the test."""
    async with client_for(sandbox) as client:
        yield client


class Calls:
    """Calls of a send that run at the same time.

    Attributes:
        results: the receipt or the error of each call that has ended.
    """

    def __init__(self) -> None:
        self.results: list[Receipt | SmsApiError] = []

    async def run(self, send: Callable[[], Awaitable[Receipt]]) -> None:
        """Call a function, and add its receipt or its error to the results."""
        try:
            self.results.append(await send())
        except SmsApiError as error:
            self.results.append(error)


async def is_waiting(ledger: Ledger) -> None:
    """Wait until a call waits for another call with the same key."""
    await until(lambda: ledger._ends)  # type: ignore[attr-defined]


@both_sends
@pytest.mark.parametrize("key", [KEY, None])
async def test_a_second_click_sends_nothing(
    sandbox: Sandbox, sms: AsyncSmsClient, place: Place, send: Send, key: str | None
) -> None:
    """A user who clicks again, also after a restart of the server, gets the receipt of the first message."""
    receipts = []
    for _ in range(2):
        async with place() as ledger:
            receipts += [await send(sms, key=key, ledger=ledger) for _ in range(2)]
    assert receipts == [receipts[0]] * 4
    assert [message.segment_ids for message in sandbox.account.messages] == [receipts[0].segment_ids]
    assert receipts[0].message.key == key


@both_sends
async def test_another_key_is_another_message(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger, send: Send
) -> None:
    """A second login attempt with the same code and its own key gets a message of its own."""
    receipts = [await send(sms, key=key, ledger=ledger) for key in ("one", "two", None)]
    assert len({receipt.segment_ids for receipt in receipts}) == len(sandbox.account.messages) == 3


@both_sends
async def test_twenty_calls_at_once(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger, send: Send
) -> None:
    """Twenty calls with one key at the same time send one message, and all of them get its receipt."""
    calls = Calls()
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(calls.run, lambda: send(sms, key=KEY, ledger=ledger))
    (message,) = sandbox.account.messages
    assert len(calls.results) == 20
    assert {getattr(result, "segment_ids", result) for result in calls.results} == {message.segment_ids}


async def test_a_wait_ends_with_the_timeout(sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger) -> None:
    """A call that waits longer than its timeout says that the outcome is unknown, and sends nothing.

    A call without a timeout waits for the receipt.
    """
    calls = Calls()
    with sandbox.hold("Sms/Send") as gate:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(calls.run, lambda: sms.send(NUMBER, CODE, key=KEY, ledger=ledger))
            await gate.arrived()
            with pytest.raises(OutcomeUnknown, match="timeout") as caught:
                await sms.send(NUMBER, CODE, key=KEY, ledger=ledger, timeout=0.02)
            gate.release()
    assert caught.value.may_have_been_sent
    (message,) = sandbox.account.messages
    assert {getattr(result, "segment_ids", result) for result in calls.results} == {message.segment_ids}


@pytest.mark.parametrize("code", [1, 2, 6, 7])
@pytest.mark.parametrize("is_waiting_call", [False, True])
async def test_the_recorded_refusal(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger, code: int, is_waiting_call: bool
) -> None:
    """A later or a waiting call raises the same refusal as the first call, and makes no request."""
    sandbox.refuse_next("Sms/Send", code, "no such luck")
    calls = Calls()
    with sandbox.hold("Sms/Send") as gate:
        async with anyio.create_task_group() as group:
            group.start_soon(calls.run, lambda: sms.send(NUMBER, CODE, key=KEY, ledger=ledger))
            await gate.arrived()
            if is_waiting_call:
                group.start_soon(calls.run, lambda: sms.send(NUMBER, CODE, key=KEY, ledger=ledger))
                await is_waiting(ledger)
            gate.release()
    if not is_waiting_call:
        await calls.run(lambda: sms.send(NUMBER, CODE, key=KEY, ledger=ledger))
    first, second = calls.results
    assert isinstance(first, RequestRejected)
    assert (type(first), str(first), first.args) == (type(second), str(second), second.args)  # type: ignore[union-attr]
    assert first.description == "no such luck"
    assert sandbox.account.count("Sms/Send") == 1


@pytest.mark.parametrize(
    ("status", "body"), [(500, b""), (500, b'{"Code": 9, "Desc": "try later"}'), (200, b"[]")]
)
async def test_the_recorded_unknown_outcome(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger, status: int, body: bytes
) -> None:
    """After an unknown outcome, each further call says so with the same reason, and sends nothing."""
    sandbox.answer_next("Sms/Send", status, body)
    shown = set()
    for _ in range(3):
        with pytest.raises(OutcomeUnknown) as caught:
            await sms.send(NUMBER, CODE, key=KEY, ledger=ledger)
        shown.add((str(caught.value), caught.value.code))
    assert len(shown) == 1
    assert sandbox.account.count("Sms/Send") == 1


async def test_a_refused_message_can_be_freed(sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger) -> None:
    """After `retry_rejected`, a call with the key of a refused message sends the message."""
    sandbox.refuse_next("Sms/Send", 6)
    with pytest.raises(RequestRejected):
        await sms.send(NUMBER, CODE, key=KEY, ledger=ledger)
    assert await ledger.retry_rejected() == 1
    await sms.send(NUMBER, CODE, key=KEY, ledger=ledger)
    assert len(sandbox.account.messages) == 1


def _refuse_to_connect(sandbox: Sandbox) -> AsyncSmsClient:
    assert sandbox.proxy is None
    return client_for(sandbox, base_url="http://127.0.0.1:9/rest", retry=RetryPolicy(attempts=1))


def _too_many_requests(sandbox: Sandbox) -> AsyncSmsClient:
    sandbox.answer_next("Sms/Send", 429, times=3)
    return client_for(sandbox, retry=RetryPolicy(attempts=1))


def _no_credits(sandbox: Sandbox) -> AsyncSmsClient:
    sandbox.refuse_next("Sms/Send", 5)
    return client_for(sandbox)


def _wrong_password(sandbox: Sandbox) -> AsyncSmsClient:
    return client_for(sandbox, password="wrong")


FREED: dict[type[SmsApiError], Callable[[Sandbox], AsyncSmsClient]] = {
    NotSent: _refuse_to_connect,
    RateLimited: _too_many_requests,
    NotEnoughCredits: _no_credits,
    InvalidCredentials: _wrong_password,
}
"""The errors after which a message can be sent again, and a client whose sends raise the error."""


@pytest.mark.parametrize("kind", FREED)
async def test_the_next_call_sends_a_message_that_was_not_sent(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger, kind: type[SmsApiError]
) -> None:
    """After an error that proves that nothing was sent, the next call with the key sends the message."""
    async with FREED[kind](sandbox) as failing:
        with pytest.raises(kind):
            await failing.send(NUMBER, CODE, key=KEY, ledger=ledger)
    assert (await ledger.states([Message(NUMBER, CODE, source_address="ACME", key=KEY)])) == ["pending"]
    sandbox._scripts.clear()
    receipt = await sms.send(NUMBER, CODE, key=KEY, ledger=ledger)
    assert [message.segment_ids for message in sandbox.account.messages] == [receipt.segment_ids]


@pytest.mark.parametrize("kind", [NotEnoughCredits, InvalidCredentials, NotSent])
async def test_a_waiting_call_sends_a_message_that_was_not_sent(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger, kind: type[SmsApiError]
) -> None:
    """If the first call fails before the message is sent, a call that waits for it sends the message."""
    await sms.balance()
    # The client of the case `NotSent` is closed while it waits for its login.
    failing = client_for(sandbox) if kind is NotSent else FREED[kind](sandbox)
    first, second = Calls(), Calls()
    with sandbox.hold("Sms/Send" if kind is NotEnoughCredits else "user/sessionid") as gate:
        async with anyio.create_task_group() as group:
            group.start_soon(first.run, lambda: failing.send(NUMBER, CODE, key=KEY, ledger=ledger))
            await gate.arrived()
            group.start_soon(second.run, lambda: sms.send(NUMBER, CODE, key=KEY, ledger=ledger))
            await is_waiting(ledger)
            if kind is NotSent:
                await failing.aclose()
            gate.release()
    await failing.aclose()
    assert [type(error) for error in first.results] == [kind]
    (message,) = sandbox.account.messages
    assert [getattr(receipt, "segment_ids", None) for receipt in second.results] == [message.segment_ids]


@pytest.mark.parametrize("fault", [Fault.CLOSE_AFTER_PASS, Fault.RESET_AFTER_PASS, Fault.CLOSE_AFTER_READ])
async def test_a_connection_that_breaks_during_the_response(
    sandbox: Sandbox, ledger: Ledger, fault: Fault
) -> None:
    """If the connection breaks after the request, no later call sends the message a second time."""
    plan = FaultPlan.script([fault], resource="Sms/Send")
    async with (
        run_fault_proxy("127.0.0.1", port_of(sandbox), plan) as proxy,
        client_for(sandbox, base_url=proxy.base_url) as broken,
    ):
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                await broken.send(NUMBER, CODE, key=KEY, ledger=ledger)
    assert len(sandbox.account.messages) == fault.reaches_gateway


@pytest.mark.parametrize(
    "other",
    [(NUMBER, CODE + "!", {}), ("79031234513", CODE, {}), (NUMBER, CODE, {"source_address": "Other"})],
)
@pytest.mark.parametrize("is_in_flight", [False, True])
async def test_another_message_under_the_same_key(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger, other: Any, is_in_flight: bool
) -> None:
    """If the key already belongs to another message, the error names the parameter `key`; nothing is sent."""
    number, text, options = other
    calls = Calls()
    with sandbox.hold("Sms/Send") as gate:
        async with anyio.create_task_group() as group:
            group.start_soon(calls.run, lambda: sms.send(NUMBER, CODE, key=KEY, ledger=ledger))
            await gate.arrived()
            if not is_in_flight:
                gate.release()
                await until(lambda: calls.results)
            with pytest.raises(ValidationError, match="another key") as caught:
                await sms.send(number, text, key=KEY, ledger=ledger, **options)
            gate.release()
    assert caught.value.parameter == "key"
    assert len(sandbox.account.messages) == 1


async def test_a_key_needs_a_ledger(sandbox: Sandbox, sms: AsyncSmsClient) -> None:
    """A key without a ledger would protect nothing, so the call raises an error and sends nothing."""
    for send in (_send, _send_by_time_zone):
        with pytest.raises(ValidationError, match="ledger") as caught:
            await send(sms, key=KEY)
        assert caught.value.parameter == "key"
    assert sandbox.account.count() == 0


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        ("destination_address", {"destination_address": "8 903 123-45-12"}),
        ("text", {"text": ""}),
        ("source_address", {"source_address": "a sender that is too long"}),
        ("validity", {"validity": -1}),
        ("key", {"key": ""}),
        ("key", {"key": 17}),
        ("key", {"key": "sha256:AAAAAAAAAAAAAAAAAAAAAA:79031234512"}),
        ("timeout", {"timeout": -1}),
        ("ledger", {"ledger": "run.db"}),
    ],
)
async def test_invalid_input_is_not_recorded(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger, parameter: str, values: Any
) -> None:
    """A wrong parameter is named by the error. Nothing is sent or recorded, so a corrected call sends."""
    given = {"destination_address": NUMBER, "text": CODE, "key": KEY, "ledger": ledger} | values
    number, text = given.pop("destination_address"), given.pop("text")
    with pytest.raises(ValidationError) as caught:
        await sms.send(number, text, **given)
    assert caught.value.parameter == parameter
    assert await ledger.summary() == type(await ledger.summary())()
    assert sandbox.account.count() == 0
    await sms.send(NUMBER, CODE, key=KEY, ledger=ledger)


@pytest.mark.parametrize("way", ["closed", "read only", "renamed", "deleted"])
async def test_what_cannot_be_recorded_is_not_sent(
    sandbox: Sandbox, sms: AsyncSmsClient, tmp_path: Path, way: str
) -> None:
    """If the ledger cannot record a message, the call raises a `LedgerError` and makes no request."""
    path = tmp_path / "run.db"
    async with Ledger.sqlite(path):
        pass
    ledger = Ledger.sqlite(path, read_only=way == "read only")
    if way != "closed":
        await ledger.__aenter__()
    if way == "renamed":
        path.rename(tmp_path / "moved.db")
    if way == "deleted":
        path.unlink()
    with pytest.raises(LedgerError):
        await sms.send(NUMBER, CODE, key=KEY, ledger=ledger)
    assert sandbox.account.count("Sms/Send") == 0
    await ledger.aclose()


async def test_a_receipt_that_cannot_be_recorded(
    sandbox: Sandbox, sms: AsyncSmsClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If the ledger fails after the message was sent, the call returns the receipt, and logs a warning.

    In the ledger, the outcome is unknown, so the message is not sent a second time.
    """
    path, moved, calls = tmp_path / "run.db", tmp_path / "moved.db", Calls()
    ledger = Ledger.sqlite(path)
    await ledger.__aenter__()
    with sandbox.hold("Sms/Send") as gate, caplog.at_level(logging.WARNING):
        async with anyio.create_task_group() as group:
            group.start_soon(calls.run, lambda: sms.send(NUMBER, CODE, key=KEY, ledger=ledger))
            await gate.arrived()
            path.rename(moved)
            gate.release()
    (receipt,) = calls.results
    assert isinstance(receipt, Receipt)
    assert [message.segment_ids for message in sandbox.account.messages] == [receipt.segment_ids]
    assert "was not recorded" in caplog.text
    moved.rename(path)
    await ledger.aclose()
    async with Ledger.sqlite(path) as again:
        with pytest.raises(OutcomeUnknown):
            await sms.send(NUMBER, CODE, key=KEY, ledger=again)
    assert len(sandbox.account.messages) == 1


def _bytes_in(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.iterdir())


@pytest.mark.parametrize("dialect", [Dialect(), Dialect(id_style="number")], ids=["digits", "number"])
async def test_a_redacted_ledger(
    sandbox: Sandbox, sms: AsyncSmsClient, tmp_path: Path, dialect: Dialect
) -> None:
    """A redacted ledger also recognises the second click, and its file contains no number and no text.

    The receipt of the second click has the whole segment ids, also if the ids contain the number.
    """
    receipts = []
    for _ in range(2):
        async with Ledger.sqlite(tmp_path / "run.db", redact=True) as ledger:
            for key in (KEY, None):
                receipts += [await sms.send("+" + NUMBER, CODE, key=key, ledger=ledger) for _ in range(2)]
    assert len({receipt.segment_ids for receipt in receipts}) == len(sandbox.account.messages) == 2
    stored = _bytes_in(tmp_path)
    assert NUMBER[1:].encode() not in stored
    assert CODE.encode() not in stored
    assert all(
        (NUMBER in id_) is (dialect.id_style == "number") for each in receipts for id_ in each.segment_ids
    )


async def test_a_batch_and_a_send_share_a_message(
    sandbox: Sandbox, sms: AsyncSmsClient, ledger: Ledger
) -> None:
    """A message that `send` has sent is recorded for a batch with the same ledger, and also vice versa."""
    receipt = await sms.send(NUMBER, CODE, key=KEY, ledger=ledger)
    message = Message(NUMBER, CODE, source_address="ACME", key=KEY)
    async with sms.send_many([message], ledger=ledger) as outcomes:
        (outcome,) = [outcome async for outcome in outcomes]
    assert outcome.recorded
    assert getattr(outcome, "segment_ids", None) == receipt.segment_ids
    second = Message("79031234513", CODE, source_address="ACME", key="second")
    async with sms.send_many([second], ledger=ledger) as outcomes:
        (outcome,) = [outcome async for outcome in outcomes]
    again = await sms.send("79031234513", CODE, key="second", ledger=ledger)
    assert again.segment_ids == getattr(outcome, "segment_ids", None)
    assert len(sandbox.account.messages) == 2
