"""Cancellation at every await: counted, not sampled."""

from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from smsapi_async import Accepted, Message, Unknown
from smsapi_async.http.exchange import Evidence
from smsapi_async.ledger import Ledger
from smsapi_async.protocol.encoding import prepared, send_request
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import client_for

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
MESSAGE = Message("79031234512", "hello")


class CancelledAt(Awaitable[Any]):
    """Runs a coroutine and cancels a scope when it waits for the n-th time."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], scope: anyio.CancelScope, at: int) -> None:
        self._coroutine = coroutine
        self._scope = scope
        self._at = at
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._coroutine.__await__()
        step: Callable[[], Any] = partial(next, inner)
        while True:
            try:
                waited_for = step()
            except StopIteration as stop:
                return stop.value
            self.waits += 1
            if self.waits == self._at:
                self._scope.cancel()
            try:
                value = yield waited_for
            except BaseException as error:  # noqa: BLE001 - handed on to the coroutine
                step = partial(inner.throw, error)
            else:
                step = partial(inner.send, value)


async def test_one_send_cancelled_at_every_await(anyio_backend: str) -> None:
    """Wherever a send is cancelled, "not sent" is only said of a message that did not arrive."""
    at = 0
    verdicts = set()
    while True:
        at += 1
        async with run_sandbox() as sandbox, client_for(sandbox) as sms:
            evidence = Evidence()
            request = send_request(prepared(MESSAGE, "ACME"))
            with anyio.CancelScope() as scope:
                counted = CancelledAt(sms._caller.send(request, evidence), scope, at)
                await counted
            await _settled(sandbox)
            arrived = sandbox.account.count("Sms/Send")
            assert arrived <= 1
            if scope.cancelled_caught and evidence.proves_not_sent():
                assert arrived == 0
            if not scope.cancelled_caught:
                assert arrived == 1
            verdicts.add((scope.cancelled_caught, evidence.proves_not_sent()))
            if counted.waits < at:
                break
    assert at > 5
    assert verdicts == {(True, True), (True, False), (False, False)}


async def test_a_batch_cancelled_at_every_await(anyio_backend: str, tmp_path: Path) -> None:
    """Wherever the loop over a batch is cancelled, its ledger says afterwards what the gateway says."""
    at = 0
    while True:
        at += 1
        async with run_sandbox() as sandbox, client_for(sandbox) as sms:
            path = tmp_path / f"{at}.db"
            with anyio.CancelScope() as scope:
                counted = CancelledAt(_send_one(sms, path), scope, at)
                await counted
            await _settled(sandbox)
            arrived = len(sandbox.account.messages)
            assert arrived <= 1
            async with Ledger.sqlite(path) as ledger:
                outcomes = [outcome async for outcome in ledger.outcomes()]
            if arrived:
                assert [type(outcome) for outcome in outcomes] in ([Accepted], [Unknown])
            else:
                assert [type(outcome) for outcome in outcomes] in ([], [Unknown])
            # Whatever was interrupted, the next run brings it to its end without sending twice.
            await _send_one(sms, path)
            assert len(sandbox.account.messages) == (0 if arrived == 0 and outcomes else 1)
            if counted.waits < at:
                break
    assert at > 5


async def _send_one(sms: Any, path: Path) -> None:
    async with Ledger.sqlite(path) as ledger, sms.send_many([MESSAGE], ledger=ledger, grace=0.01) as outcomes:
        async for _ in outcomes:
            pass


async def _settled(sandbox: Sandbox) -> None:
    """Whatever had been written before has arrived when a later request has been answered."""
    async with client_for(sandbox) as other:
        await other.balance()
