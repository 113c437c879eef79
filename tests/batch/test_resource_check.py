"""Tests of what can go wrong while a batch finds out whether the gateway can send bulks at a local time."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from smsapi_async import (
    Accepted,
    InvalidOperation,
    Message,
    Outcome,
    OutcomeUnknown,
    SmsApiError,
    Unknown,
)
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Dialect, Gate, Sandbox, run_sandbox
from tests.batch.test_local_bulks import BULK, NINE, NUMBERS, SINGLE, batch, outcomes_of
from tests.client.tools import client_for, until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sandbox(anyio_backend: str) -> AsyncIterator[Sandbox]:
    """Serve a sandbox with the resource."""
    async with run_sandbox(dialect=Dialect(bulk_by_time_zone="available")) as running:
        yield running


async def test_status_404_after_an_accepted_bulk(sandbox: Sandbox) -> None:
    """If a proxy answers with 404 for some time, no message is sent twice: the resource was there before."""
    outcomes: list[Outcome] = []
    async with client_for(sandbox, bulk_by_time_zone=True, concurrency=1) as sms:

        async def messages() -> AsyncIterator[Message]:
            for message in batch(10):
                yield message
            await until(lambda: len(outcomes) == 10)
            sandbox.answer_next(BULK, 404, "<html>", times=3, accept=True)
            for message in batch(20)[10:]:
                yield message

        async with sms.send_many(messages(), recipients_per_request=10) as stream:
            async for outcome in stream:
                outcomes.append(outcome)
    assert [type(outcome) for outcome in outcomes] == [Accepted] * 10 + [Unknown] * 10
    sent = Counter(message.destination_address for message in sandbox.account.messages)
    assert set(sent.values()) == {1}


@pytest.mark.parametrize("is_all", [True, False])
async def test_a_proxy_that_answers_with_404(sandbox: Sandbox, is_all: bool) -> None:
    """If a proxy passes bulks on and answers with 404, the batch sends each message once, without bulks."""
    async with client_for(sandbox, bulk_by_time_zone=True) as sms:
        await sms.balance()
        sandbox.answer_next(BULK, 404, "<html>", times=10, accept=True)
        if is_all:
            sandbox.answer_next("User/Balance", 404, "<html>", times=10)
        outcomes = await outcomes_of(sms, [*batch(3), *batch(2, "text")], recipients_per_request=2)
    assert [type(outcome) for outcome in outcomes] == [Accepted] * 5
    sent = Counter((message.destination_address, message.text) for message in sandbox.account.messages)
    assert set(sent.values()) == {1}
    assert sandbox.account.count(SINGLE) == 5


async def test_a_login_that_is_refused_during_the_check(sandbox: Sandbox) -> None:
    """A refused login does not prove that the gateway has the resource: the batch sends single messages."""
    async with client_for(sandbox, bulk_by_time_zone=True, login_cool_down=timedelta(0)) as sms:
        sandbox.refuse_next("User/SessionId", 4)
        outcomes = await outcomes_of(sms, batch(3))
    assert [type(outcome) for outcome in outcomes] == [Accepted] * 3
    assert (sandbox.account.count(BULK), sandbox.account.count(SINGLE)) == (0, 3)


async def test_one_check_for_each_batch(sandbox: Sandbox, tmp_path: Path) -> None:
    """A batch makes one check before its first bulk, and none if the ledger knows all outcomes."""
    messages = [*batch(20), *batch(20, "text")]
    async with client_for(sandbox, bulk_by_time_zone=True) as sms, Ledger.sqlite(tmp_path / "l.db") as ledger:
        await outcomes_of(sms, messages, ledger=ledger, recipients_per_request=10)
        assert sandbox.account.count(BULK) == 1 + 4
        again = await outcomes_of(sms, messages, ledger=ledger, recipients_per_request=10)
    assert all(outcome.recorded for outcome in again)
    assert sandbox.account.count(BULK) == 1 + 4
    assert (sandbox.account.count(SINGLE), len(sandbox.account.messages)) == (0, 40)


@pytest.mark.parametrize("is_left", [True, False])
async def test_a_batch_that_ends_during_the_check(sandbox: Sandbox, tmp_path: Path, is_left: bool) -> None:
    """If a batch ends during the check, its messages are pending, and the next run sends them."""
    async with client_for(sandbox, bulk_by_time_zone=True) as sms, Ledger.sqlite(tmp_path / "l.db") as ledger:
        gate = sandbox.hold(BULK)
        async with anyio.create_task_group() as group:

            async def run() -> None:
                async with sms.send_many(batch(3), ledger=ledger, linger=0.01, grace=0.1) as outcomes:
                    if is_left:
                        await gate.arrived()
                    else:
                        group.start_soon(cancel)
                        await anext(outcomes)

            async def cancel() -> None:
                await gate.arrived()
                group.cancel_scope.cancel()

            group.start_soon(run)
        summary = await ledger.summary()
        assert (summary.unknown, summary.sending, summary.pending) == (0, 0, 3)
        gate.release()
        outcomes = await outcomes_of(sms, batch(3), ledger=ledger)
    assert [type(outcome) for outcome in outcomes] == [Accepted] * 3
    assert len(sandbox.account.messages) == 3


@pytest.mark.parametrize("status", [404, 400])
async def test_the_timeout_of_a_bulk_includes_the_check(sandbox: Sandbox, status: int) -> None:
    """`send_bulk` raises the error of the bulk if its timeout passes during the check."""
    body = '{"Code": 6, "Desc": "no"}' if status == 400 else "<html>"
    sandbox.answer_next(BULK, status, body)
    bulk = sandbox.hold(BULK)

    async def hold_the_check() -> None:
        await bulk.arrived()
        gates.append(sandbox.hold(BULK))
        bulk.release()

    gates: list[Gate] = []
    async with client_for(sandbox) as sms, anyio.create_task_group() as group:
        await sms.balance()
        group.start_soon(hold_the_check)
        with anyio.fail_after(10), pytest.raises(SmsApiError) as caught:
            await sms.send_bulk(NUMBERS, "text", send_date=NINE, by_time_zone=True, timeout=0.5)
        assert type(caught.value) is (OutcomeUnknown if status == 404 else InvalidOperation)
        await gates[0].arrived()
        gates[0].release()
