"""Tests that a segment id that contains the phone number shows no phone number."""

import logging
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rich.pretty import pretty_repr

from smsapi_async import (
    Accepted,
    AsyncSmsClient,
    Message,
    RetryPolicy,
    Schedule,
    SegmentIdsUnattributed,
    SmsApiError,
)
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Dialect, Sandbox, run_sandbox
from tests.client.tools import NUMBER, TEXT, client_for

pytestmark = pytest.mark.anyio
OTHER = "79161234567"


@pytest.fixture
async def sandbox(anyio_backend: str) -> AsyncIterator[Sandbox]:
    """Serve a sandbox whose segment ids contain the number of the recipient."""
    async with run_sandbox(dialect=Dialect.LATEST, speed=1000) as running:
        yield running


async def _batch(sms: AsyncSmsClient, ledger: Ledger, shown: list[Any]) -> None:
    """Send a batch, track its messages, and read the ledger."""
    messages = [Message(NUMBER, TEXT), Message(OTHER, TEXT)]
    async with sms.send_many(messages, ledger=ledger) as outcomes:
        shown += [outcome async for outcome in outcomes]
    async with sms.track(ledger, schedule=Schedule(first=0.01)) as deliveries:
        shown += [delivery async for delivery in deliveries]
    shown += [outcome async for outcome in ledger.outcomes()]
    shown += await ledger.records(messages)
    shown += [outcome.message for outcome in shown if isinstance(outcome, Accepted)]


async def test_results(sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No result and no log record shows a segment id, and the attributes have the whole id."""
    caplog.set_level(logging.DEBUG)
    shown: list[Any] = []
    async with client_for(sandbox, api_version=2) as sms, Ledger.sqlite(tmp_path / "run.db") as ledger:
        receipt = await sms.send(NUMBER, TEXT)
        state = await sms.state(receipt.segment_ids[0])
        shown += [receipt, state, await sms.send_bulk([NUMBER, OTHER], TEXT)]
        await _batch(sms, ledger, shown)
    assert NUMBER in receipt.segment_ids[0]
    assert state.segment_id == receipt.segment_ids[0]
    assert len(shown) > 8
    _assert_masked(sandbox, [*map(repr, shown), *map(str, shown), *map(pretty_repr, shown), caplog.text])


async def test_errors(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """No error shows a segment id, also if the gateway repeats the id."""
    caplog.set_level(logging.DEBUG)
    shown = []
    async with client_for(sandbox, api_version=2, retry=RetryPolicy(attempts=1)) as sms:
        (receipt,) = await sms.send_bulk([NUMBER], TEXT)
        (segment_id,) = receipt.segment_ids
        for code in (2, 6, 7, 8, 9):
            sandbox.refuse_next("Sms/State", code, f"no message {segment_id}")
            with pytest.raises(SmsApiError) as caught:
                await sms.state(segment_id)
            shown += [str(caught.value), repr(caught.value), repr(vars(caught.value))]
            shown += traceback.format_exception(caught.value)
        sandbox.answer_next("Sms/SendBulk", body=f'["{segment_id}", "{segment_id}", "{segment_id}"]')
        with pytest.raises(SegmentIdsUnattributed) as undivided:
            await sms.send_bulk([NUMBER, OTHER], TEXT)
        assert undivided.value.segment_ids == (segment_id,) * 3
        shown += [str(undivided.value), repr(undivided.value)]
    _assert_masked(sandbox, [*shown, caplog.text])


def _assert_masked(sandbox: Sandbox, shown: list[str]) -> None:
    ids = [each for message in sandbox.account.messages for each in message.segment_ids]
    secrets = {NUMBER, NUMBER[1:], OTHER, OTHER[1:], TEXT, sandbox.password, *ids}
    assert not [(secret, text) for secret in secrets for text in shown if secret in text]
