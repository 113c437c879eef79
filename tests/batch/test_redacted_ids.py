"""Tests of a redacted ledger with a gateway whose segment ids contain the numbers of the recipients."""

import logging
from pathlib import Path

import pytest

from smsapi_async import AsyncSmsClient, Message, ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.outcomes import Accepted
from smsapi_async.sandbox import Dialect, Sandbox
from smsapi_async.states import Phase
from smsapi_async.tracking import Delivery, Schedule
from tests.client.tools import client_for
from tests.ledger.tools import Place

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("dialect", [Dialect(id_style="number")])]
NUMBERS = [str(79031234500 + place) for place in range(40)]
LONG = "One text for everybody. " * 10
QUICK = Schedule(first=0.001, maximum=0.001)


def _messages() -> list[Message]:
    """Return messages for single sends and for bulk requests, with different numbers of segments."""
    return [Message("+" + number, LONG if place % 2 else "Hi") for place, number in enumerate(NUMBERS)]


async def _send(sms: AsyncSmsClient, ledger: Ledger) -> list[Accepted]:
    async with sms.send_many(_messages(), ledger=ledger) as outcomes:
        found = [outcome async for outcome in outcomes if isinstance(outcome, Accepted)]
    return sorted(found, key=lambda outcome: outcome.message.destination_address)


def _holds_no_number(directory: Path) -> bool:
    content = b"".join(file.read_bytes() for file in directory.iterdir())
    return not any(number[1:].encode() in content for number in NUMBERS)


async def _tracked(sms: AsyncSmsClient, ledger: Ledger, sent: list[Accepted]) -> list[Delivery]:
    receipts = [outcome.receipt for outcome in sent]
    async with sms.track(receipts, ledger=ledger, schedule=QUICK) as deliveries:
        return [delivery async for delivery in deliveries if delivery.is_final]


@pytest.mark.parametrize("is_later", [False, True])
async def test_a_batch(sandbox: Sandbox, tmp_path: Path, is_later: bool) -> None:
    """A later run sends nothing and has the whole ids, and deliveries are recorded.

    The receipts of both runs can be tracked. The file contains no number.
    """
    async with client_for(sandbox) as sms:
        async with Ledger.sqlite(tmp_path / "run.db", redact=True) as ledger:
            sent = again = await _send(sms, ledger)
        async with Ledger.sqlite(tmp_path / "run.db") as ledger:
            if is_later:
                again = await _send(sms, ledger)
            sandbox.advance(minutes=5)
            finals = await _tracked(sms, ledger, again)
            summary = await ledger.deliveries_summary()
            records = await ledger.records(_messages())
    assert {outcome.recorded for outcome in again} == {is_later}
    assert [outcome.segment_ids for outcome in again] == [outcome.segment_ids for outcome in sent]
    assert all(number in id_ for number, each in zip(NUMBERS, sent, strict=True) for id_ in each.segment_ids)
    assert len(sandbox.account.messages) == len(NUMBERS) == len(finals) == summary.delivered
    assert [each and each.segment_ids for each in records] == [each.segment_ids for each in sent]
    assert {each.delivery.phase for each in records if each and each.delivery} == {Phase.DELIVERED}
    assert _holds_no_number(tmp_path)


async def test_ids_with_placeholders_are_not_requested(
    sandbox: Sandbox, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """`track` with the ledger makes no request, and says so; an id with a placeholder is refused."""
    caplog.set_level(logging.WARNING)
    async with (
        client_for(sandbox) as sms,
        place(redact=True) as ledger,
    ):
        await _send(sms, ledger)
        before = len(sandbox.account.arrivals)
        async with sms.track(ledger) as deliveries:
            assert [delivery async for delivery in deliveries] == []
        (outcome, *_) = [each async for each in ledger.outcomes() if isinstance(each, Accepted)]
        with pytest.raises(ValidationError, match="placeholder"):
            await sms.state(outcome.segment_ids[0])
        with pytest.raises(ValidationError, match="placeholder"):
            await _tracked(sms, ledger, [outcome])
        assert len(sandbox.account.arrivals) == before
    warnings = [each.getMessage() for each in caplog.records]
    assert len(warnings) == 1
    assert f"{len(NUMBERS)} accepted messages cannot be tracked" in warnings[0]
