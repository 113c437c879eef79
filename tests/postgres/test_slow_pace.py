"""Tests of requests that wait for longer than a claim in the ledger lasts, because the pace is slow."""

from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import pytest

from smsapi_async import Accepted, AsyncSmsClient
from smsapi_async.ledger import Ledger, Summary
from smsapi_async.ledger.postgres import claims
from smsapi_async.sandbox import run_sandbox
from tests.client.tools import client_for
from tests.ledger.tools import Place
from tests.postgres.server import Server
from tests.postgres.worker.tools import fill, messages

pytestmark = pytest.mark.anyio
CLAIM_SECONDS, INTERVAL, COUNT = 1.5, 0.15, 12


class SlowPace:
    """A pace that allows one request after another, with an interval between two requests."""

    def __init__(self) -> None:
        self._turn = anyio.Lock()

    async def wait(self) -> None:
        """Return when one request may begin."""
        async with self._turn:
            await anyio.sleep(INTERVAL)


async def _send_many(sms: AsyncSmsClient, ledger: Ledger) -> None:
    async with sms.send_many(messages(COUNT), ledger=ledger) as outcomes:
        assert all([isinstance(outcome, Accepted) async for outcome in outcomes])


async def _send_pending(sms: AsyncSmsClient, ledger: Ledger) -> None:
    await sms.send_pending(ledger, once=True)


async def _send(sms: AsyncSmsClient, ledger: Ledger) -> None:
    async with anyio.create_task_group() as group:
        for each in messages(COUNT):
            group.start_soon(
                partial(
                    sms.send,
                    each.destination_address,
                    each.text,
                    source_address=each.source_address,
                    key=each.key,
                    ledger=ledger,
                )
            )


@pytest.mark.parametrize("send", [_send_many, _send_pending, _send])
async def test_no_message_is_unknown(
    send: Callable[[AsyncSmsClient, Ledger], Awaitable[None]],
    place: Place,
    server: Server,
    account: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All messages are accepted once, although most requests wait for longer than a claim lasts."""
    async with (
        run_sandbox() as sandbox,
        client_for(sandbox, pace=SlowPace(), concurrency=COUNT) as sms,
        place() as ledger,
    ):
        if send is _send_pending:
            await fill(server, account, ledger, messages(COUNT))
        monkeypatch.setattr(claims, "CLAIM_SECONDS", CLAIM_SECONDS)
        await send(sms, ledger)
        assert await ledger.summary() == Summary(accepted=COUNT, segments=COUNT)
        assert len(sandbox.account.messages) == COUNT
