"""Tests of the calls of the client for the eight resources of the gateway, over a socket."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from smsapi_async import AsyncSmsClient, Phase, State
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import NUMBER, client_for

pytestmark = pytest.mark.anyio
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


async def test_balance_is_exact_money(sandbox: Sandbox) -> None:
    """The balance is a `Decimal` with exactly the digits in the response of the gateway."""
    sandbox.balance = Decimal("0.30")
    async with client_for(sandbox) as sms:
        assert await sms.balance() == Decimal("0.30")


async def test_send_returns_an_id_per_segment(sandbox: Sandbox) -> None:
    """The receipt of a long text contains one segment id for each segment."""
    text = "Привет! " * 20
    async with client_for(sandbox) as sms:
        receipt = await sms.send("+" + NUMBER, text, validity=timedelta(minutes=10))
    [message] = sandbox.account.messages
    assert receipt.segment_ids == tuple(message.segment_ids)
    assert len(receipt.segment_ids) == 3
    assert (message.destination_address, message.text, message.source_address) == (NUMBER, text, "ACME")
    assert message.validity == 10
    assert receipt.message.destination_address == NUMBER
    assert receipt.accepted_at.tzinfo is UTC


async def test_send_date_is_the_moment_that_was_meant(sandbox: Sandbox) -> None:
    """If `send_date` is a datetime with a time zone, the gateway receives the same point in time."""
    moment = datetime(2030, 1, 28, 23, 30, tzinfo=UTC)
    async with client_for(sandbox) as sms:
        await sms.send(NUMBER, "later", send_date=moment)
        await sms.send_bulk([NUMBER], "later", send_date=moment)
    assert [message.send_date for message in sandbox.account.messages] == [moment, moment]


async def test_send_by_time_zone_means_the_recipients_clock(sandbox: Sandbox) -> None:
    """`send_by_time_zone` takes a `send_date` without a time zone as the local time of the recipient."""
    async with client_for(sandbox) as sms:
        await sms.send_by_time_zone("79131234567", "morning", send_date=datetime(2030, 1, 28, 9, 0))  # noqa: DTZ001
    [message] = sandbox.account.messages
    assert message.send_date == datetime(2030, 1, 28, 2, 0, tzinfo=UTC)


async def test_bulk_keeps_the_order_of_its_receipts(sandbox: Sandbox) -> None:
    """`send_bulk` makes one request for all recipients, and returns the receipts in their order."""
    numbers = [NUMBER, "+79161234567", NUMBER]
    async with client_for(sandbox) as sms:
        receipts = await sms.send_bulk(numbers, "я" * 71)
    assert sandbox.account.count("Sms/SendBulk") == 1
    assert [receipt.message.destination_address for receipt in receipts] == [NUMBER, "79161234567", NUMBER]
    accepted = [tuple(message.segment_ids) for message in sandbox.account.messages]
    assert [receipt.segment_ids for receipt in receipts] == accepted
    assert len({segment_id for receipt in receipts for segment_id in receipt.segment_ids}) == 6


async def test_ids_with_a_plus_survive_the_way_back(anyio_backend: str) -> None:
    """The client can request the state of a segment even if the segment id contains a plus sign."""
    async with run_sandbox(id_style="alphanumeric", start=START) as sandbox, client_for(sandbox) as sms:
        receipts = [await sms.send(NUMBER, "x" * 161) for _ in range(20)]
        ids = [segment_id for receipt in receipts for segment_id in receipt.segment_ids]
        assert any("+" in segment_id for segment_id in ids)
        sandbox.advance(hours=1)
        assert {(await sms.state(segment_id)).state for segment_id in ids} == {State.DELIVERED}


async def test_state_moves_from_unknown_to_delivered(anyio_backend: str) -> None:
    """A segment that was just sent has the state 255 (unknown to the gateway).

    The state of a delivered segment contains a price and a creation date.
    """
    async with run_sandbox(start=START) as sandbox, client_for(sandbox) as sms:
        [segment_id] = (await sms.send(NUMBER, "hello")).segment_ids
        first = await sms.state(segment_id)
        assert first.state is State.NOT_IN_DATABASE
        assert not first.is_final
        assert first.price is None
        sandbox.advance(minutes=1)
        last = await sms.state(segment_id)
    assert last.state is State.DELIVERED
    assert last.is_final
    assert last.price == Decimal("1.50")
    assert last.creation_date is not None
    assert abs(last.creation_date - START) < timedelta(seconds=2)


async def test_incoming_messages_between_two_moments(anyio_backend: str) -> None:
    """`incoming` returns only the messages of the given period.

    Each incoming message contains the text, the phone number and a creation date with a time zone.
    """
    async with run_sandbox(start=START) as sandbox, client_for(sandbox) as sms:
        sandbox.receive(NUMBER, text="yes", destination_address="79160000000", at=START - timedelta(hours=1))
        sandbox.receive(NUMBER, text="no", destination_address="79160000000", at=START + timedelta(days=1))
        inbox = await sms.incoming(since=START - timedelta(days=1), until=START)
    assert [(message.text, message.source_address) for message in inbox] == [("yes", NUMBER)]
    assert inbox[0].creation_date == START - timedelta(hours=1)


async def test_statistics_over_a_year_count_each_message_once(anyio_backend: str) -> None:
    """For a long period, `statistics` makes several requests and counts each message once."""
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    end = begin + timedelta(days=365)
    async with run_sandbox(start=datetime(2026, 3, 1, tzinfo=UTC)) as sandbox, client_for(sandbox) as sms:
        for days in (0, 90, 180, 270, 360):
            for seconds in (-1, 0, 1):
                sandbox.record_history(at=begin + timedelta(days=days, seconds=seconds), states=[0])
        statistics = await sms.statistics(begin, end)
    assert statistics.total == 14  # the period does not contain the first of the 15 messages
    assert statistics.delivered == 14
    assert sandbox.account.count("Sms/Statistics", status=200) == 5


async def test_statistics_of_ninety_days_is_one_request(sandbox: Sandbox) -> None:
    """For a period of 90 days, `statistics` makes only one request."""
    async with client_for(sandbox) as sms:
        await sms.statistics(START, START + timedelta(days=90))
    assert sandbox.account.count("Sms/Statistics", status=200) == 1


async def test_a_failing_window_is_one_plain_error(sandbox: Sandbox) -> None:
    """If one of its requests fails, `statistics` raises the error of the request, not an exception group."""
    from smsapi_async import InvalidArgument  # noqa: PLC0415

    sandbox.refuse_next("Sms/Statistics", 2)
    async with client_for(sandbox) as sms:
        with pytest.raises(InvalidArgument):
            await sms.statistics(START, START + timedelta(days=400))


async def test_from_env_needs_only_the_environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_env` reads login, password, base URL and source address from environment variables."""
    monkeypatch.setenv("SMSAPI_LOGIN", sandbox.login)
    monkeypatch.setenv("SMSAPI_PASSWORD", sandbox.password)
    monkeypatch.setenv("SMSAPI_BASE_URL", sandbox.base_url)
    monkeypatch.setenv("SMSAPI_SOURCE_ADDRESS", "FROMENV")
    async with AsyncSmsClient.from_env() as sms:
        await sms.send(NUMBER, "hello")
    assert [message.source_address for message in sandbox.account.messages] == ["FROMENV"]


FINAL_STATES = [
    ("012", 0, Phase.DELIVERED),
    ("910", 10, Phase.FAILED),
    ("911", 11, Phase.FAILED),
    ("941", 41, Phase.FAILED),
    ("942", 42, Phase.FAILED),
    ("946", 46, Phase.FAILED),
    ("947", 47, Phase.FAILED),
    ("997", -97, Phase.FAILED),
    ("948", 48, Phase.FAILED),
    ("969", 69, Phase.FAILED),
    ("999", 99, Phase.UNKNOWN),
    ("955", 255, Phase.ENROUTE),
    ("901", -1, Phase.ENROUTE),
    ("902", -2, Phase.ENROUTE),
    ("998", -98, Phase.ENROUTE),
]


@pytest.mark.parametrize(("ending", "code", "phase"), FINAL_STATES)
async def test_each_state_of_the_table(anyio_backend: str, ending: str, code: int, phase: Phase) -> None:
    """For each message state in the contract, `state` returns the number and the phase of the state."""
    async with run_sandbox(start=START) as sandbox, client_for(sandbox) as sms:
        [segment_id] = (await sms.send("79031234" + ending, "hello")).segment_ids
        sandbox.advance(minutes=1)
        state = await sms.state(segment_id)
    assert (state.state, state.phase) == (code, phase)
    assert state.is_final is (phase in {Phase.DELIVERED, Phase.FAILED})
