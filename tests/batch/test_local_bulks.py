"""Tests of bulks at the local time of each recipient, which not each gateway can send."""

import logging
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest

from smsapi_async import (
    Accepted,
    AsyncSmsClient,
    InvalidOperation,
    Message,
    Outcome,
    OutcomeUnknown,
    Rejected,
    ResourceNotFound,
    ValidationError,
)
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Dialect, Sandbox, run_sandbox
from tests.client.tools import client_for

pytestmark = pytest.mark.anyio
BULK = "Sms/SendByTimeZoneToAddresses"
SINGLE = "Sms/SendByTimeZone"
NINE = datetime(2030, 1, 28, 9, 0)  # noqa: DTZ001
# The time zones of these numbers are +3, +7 and +10.
NUMBERS = ["79031234567", "79131234567", "79141234567"]
NINE_THERE = [datetime(2030, 1, 28, hour, tzinfo=UTC) for hour in (6, 2)] + [
    datetime(2030, 1, 27, 23, tzinfo=UTC)
]
Support = Literal["available", "absent", "refused"]


@pytest.fixture
async def support() -> Support:
    """Return whether the gateway has the resource. A test can replace the value by a parameter."""
    return "available"


@pytest.fixture
async def sandbox(anyio_backend: str, support: Support) -> AsyncIterator[Sandbox]:
    """Serve a sandbox with or without the resource."""
    async with run_sandbox(dialect=Dialect(bulk_by_time_zone=support)) as running:
        yield running


def batch(count: int, text: str = "Доброе утро") -> list[Message]:
    """Return messages with one text at 9:00 in the time zone of each recipient."""
    return [Message(f"7903{index:05}12", text, send_date=NINE, by_time_zone=True) for index in range(count)]


async def outcomes_of(sms: AsyncSmsClient, messages: Any, **options: Any) -> list[Outcome]:
    """Send a batch, and return all outcomes."""
    async with sms.send_many(messages, linger=60, **options) as outcomes:
        return [outcome async for outcome in outcomes]


def arrived(sandbox: Sandbox) -> Counter[str]:
    """Return how often the sandbox accepted a message to each number."""
    return Counter(message.destination_address for message in sandbox.account.messages)


async def test_a_bulk_arrives_at_the_local_time_of_each_recipient(sandbox: Sandbox) -> None:
    """`send_bulk` with `by_time_zone` makes one request with the local time of each recipient."""
    async with client_for(sandbox) as sms:
        receipts = await sms.send_bulk(NUMBERS, "я" * 71, send_date=NINE, by_time_zone=True)
    assert sandbox.account.count(BULK) == 1
    assert [message.send_date for message in sandbox.account.messages] == NINE_THERE
    assert [receipt.segment_ids for receipt in receipts] == [
        message.segment_ids for message in sandbox.account.messages
    ]
    assert all(receipt.message.by_time_zone for receipt in receipts)


@pytest.mark.parametrize("send_date", [None, datetime(2030, 1, 28, 9, 0, tzinfo=UTC)])
async def test_a_bulk_needs_a_naive_date(sandbox: Sandbox, send_date: Any) -> None:
    """`send_bulk` with `by_time_zone` refuses a date that is missing or has a time zone."""
    async with client_for(sandbox) as sms:
        with pytest.raises(ValidationError) as caught:
            await sms.send_bulk(NUMBERS, "text", send_date=send_date, by_time_zone=True)
    assert caught.value.parameter == "send_date"
    assert sandbox.account.count() == 0


@pytest.mark.parametrize("support", ["absent", "refused"])
async def test_a_gateway_without_the_resource_refuses_clearly(sandbox: Sandbox) -> None:
    """If the gateway does not have the resource, `send_bulk` says so, and that nothing was sent."""
    async with client_for(sandbox) as sms:
        with pytest.raises(
            ResourceNotFound, match="the gateway has no resource Sms/SendByTimeZoneTo"
        ) as caught:
            await sms.send_bulk(NUMBERS, "text", send_date=NINE, by_time_zone=True)
    assert not caught.value.may_have_been_sent
    assert isinstance(caught.value, InvalidOperation)
    assert not sandbox.account.messages


async def test_status_404_alone_is_no_proof(sandbox: Sandbox) -> None:
    """If a proxy replaces the response to a bulk by status 404, the outcome of the bulk is unknown."""
    async with client_for(sandbox, bulk_by_time_zone=True) as sms:
        sandbox.answer_next(BULK, 404, "<html>", accept=True)
        with pytest.raises(OutcomeUnknown):
            await sms.send_bulk(NUMBERS, "text", send_date=NINE, by_time_zone=True)
    assert set(arrived(sandbox).values()) == {1}


async def test_a_refused_recipient_does_not_mean_a_missing_resource(sandbox: Sandbox) -> None:
    """After code 6 because of one recipient, a batch sends all other messages in bulks."""
    async with client_for(sandbox, bulk_by_time_zone=True) as sms:
        with pytest.raises(InvalidOperation) as caught:
            await sms.send_bulk([*NUMBERS, "79031234806"], "text", send_date=NINE, by_time_zone=True)
        assert not isinstance(caught.value, ResourceNotFound)
        refused = Message("79031234806", "Доброе утро", send_date=NINE, by_time_zone=True)
        outcomes = await outcomes_of(sms, [*batch(7), refused])
    assert Counter(type(outcome) for outcome in outcomes) == {Accepted: 7, Rejected: 1}
    assert set(arrived(sandbox).values()) == {1}
    # `send_bulk` made a bulk and a check of the resource. The batch made bulks of 8, 4 and 2 messages with
    # the refused recipient, and one check. The gateway refused all of these requests.
    assert sandbox.account.count(BULK, status=400) == 6


async def test_a_batch_uses_bulks(sandbox: Sandbox) -> None:
    """With `bulk_by_time_zone`, 1,000 messages with one text and one local time need two bulks."""
    async with client_for(sandbox, bulk_by_time_zone=True) as sms:
        outcomes = await outcomes_of(sms, batch(1000))
    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert (sandbox.account.count(BULK, status=200), sandbox.account.count(SINGLE)) == (2, 0)
    assert set(arrived(sandbox).values()) == {1}


async def test_without_the_option_each_message_is_alone(sandbox: Sandbox) -> None:
    """Without `bulk_by_time_zone`, each message at a local time has a request of its own."""
    async with client_for(sandbox) as sms:
        await outcomes_of(sms, batch(5))
    assert (sandbox.account.count(BULK), sandbox.account.count(SINGLE)) == (0, 5)


@pytest.mark.parametrize("support", ["absent", "refused"])
@pytest.mark.parametrize("count", [2, 30])
async def test_a_batch_falls_back_to_single_messages(
    sandbox: Sandbox, count: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If the gateway does not have the resource, a batch sends each message once, and logs one warning."""
    mixed = [*batch(count), *batch(count, "Добрый вечер"), Message("79031234567", "now")]
    async with (
        client_for(sandbox, bulk_by_time_zone=True, concurrency=1) as sms,
        Ledger.sqlite(tmp_path / "run.db") as ledger,
    ):
        with caplog.at_level(logging.WARNING):
            outcomes = await outcomes_of(sms, mixed, ledger=ledger, recipients_per_request=10)
        assert {type(outcome) for outcome in outcomes} == {Accepted}
        again = await outcomes_of(sms, mixed, ledger=ledger)
        assert all(isinstance(outcome, Accepted) and outcome.recorded for outcome in again)
    assert sum(arrived(sandbox).values()) == len(mixed)
    assert sandbox.account.count(SINGLE) == 2 * count
    assert len([record for record in caplog.records if "one by one" in record.message]) == 1


@pytest.mark.parametrize("support", ["absent"])
async def test_the_check_of_the_resource_fails(sandbox: Sandbox) -> None:
    """If the check after status 404 gets no answer, the outcome of the bulk stays unknown."""
    async with client_for(sandbox) as sms:
        await sms.balance()
        # The sandbox has no resource at this path, so the prepared answers are for any path.
        sandbox.answer_next(None, 404, "<html>")
        sandbox.answer_next(None, 502, "<html>", times=10)
        with pytest.raises(OutcomeUnknown) as caught:
            await sms.send_bulk(NUMBERS, "text", send_date=NINE, by_time_zone=True)
    assert caught.value.http_status == 404
