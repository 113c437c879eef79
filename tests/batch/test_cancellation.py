"""Tests that cancel a send or a batch at every `await`.

The first test run is cancelled at the first `await`, the second test run at the second `await`, and so on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from datetime import UTC
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

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]
MESSAGE = Message("79031234512", "hello")


class CancelledAt(Awaitable[Any]):
    """An awaitable that runs a coroutine and cancels a scope when the coroutine waits for the n-th time.

    Args:
        coroutine: the coroutine to run.
        scope: the cancel scope to cancel, or the task of asyncio to cancel.
        at: the number n of the wait at which the scope is cancelled. The first wait has the number 1.
        times: the number of successive waits at which the scope is cancelled.

    Attributes:
        waits: the number of times that the coroutine has waited so far.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        scope: "anyio.CancelScope | asyncio.Task[Any]",
        at: int,
        times: int = 1,
    ) -> None:
        self._coroutine = coroutine
        self._scope = scope
        self._at = range(at, at + times)
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
            if self.waits in self._at:
                self._scope.cancel()
            try:
                value = yield waited_for
            except BaseException as error:  # noqa: BLE001 - the coroutine gets the error
                step = partial(inner.throw, error)
            else:
                step = partial(inner.send, value)


@pytest.mark.parametrize("version", [1, 2])
async def test_one_send_cancelled_at_every_await(anyio_backend: str, version: int) -> None:
    """If the client reports a cancelled message as not sent, the sandbox has received no request for it."""
    at = 0
    verdicts = set()
    while True:
        at += 1
        async with run_sandbox(dialect="latest") as sandbox, client_for(sandbox, api_version=version) as sms:
            evidence = Evidence()
            request = send_request(prepared(MESSAGE, "ACME"), UTC)
            with anyio.CancelScope() as scope:
                counted = CancelledAt(sms._caller.send(request, evidence), scope, at)
                await counted
            await settled(sandbox)
            arrived = sandbox.account.count("Sms/Send")
            assert arrived <= 1
            if scope.cancelled_caught and evidence.proves_not_sent():
                assert arrived == 0
            if not scope.cancelled_caught:
                assert arrived == 1
            verdicts.add((scope.cancelled_caught, evidence.proves_not_sent()))
            if counted.waits < at:
                break
    # The send waits for the response, and in version 1 for the login, whose own waits belong to another task.
    assert at > 2
    # The pair (True, False) means that the send was cancelled, but may have been sent. The pair is optional,
    # because it needs a cancellation during the wait for the response, and the number of waits varies.
    assert verdicts - {(True, False)} == {(True, True), (False, False)}


async def test_one_send_cancelled_while_it_waits_for_the_response(anyio_backend: str) -> None:
    """If a send is cancelled after its request has arrived, the outcome of the send is unknown."""
    async with run_sandbox() as sandbox, client_for(sandbox) as sms:
        evidence = Evidence()
        with sandbox.hold("Sms/Send") as gate:
            async with anyio.create_task_group() as group:
                group.start_soon(sms._caller.send, send_request(prepared(MESSAGE, "ACME"), UTC), evidence)
                await gate.arrived()
                group.cancel_scope.cancel()
        assert not evidence.proves_not_sent()
        assert sandbox.account.count("Sms/Send") == 1


@pytest.mark.parametrize("version", [1, 2])
async def test_a_batch_cancelled_at_every_await(anyio_backend: str, tmp_path: Path, version: int) -> None:
    """If a batch is cancelled at any `await`, the ledger and the account of the sandbox agree.

    If the sandbox has accepted the message, the ledger contains the outcome accepted or unknown.
    """
    at = 0
    while True:
        at += 1
        async with run_sandbox(dialect="latest") as sandbox, client_for(sandbox, api_version=version) as sms:
            path = tmp_path / f"{at}.db"
            with anyio.CancelScope() as scope:
                counted = CancelledAt(_send_one(sms, path), scope, at)
                await counted
            await settled(sandbox)
            arrived = len(sandbox.account.messages)
            assert arrived <= 1
            async with Ledger.sqlite(path) as ledger:
                outcomes = [outcome async for outcome in ledger.outcomes()]
            if arrived:
                assert [type(outcome) for outcome in outcomes] in ([Accepted], [Unknown])
            else:
                assert [type(outcome) for outcome in outcomes] in ([], [Unknown])
            # The next run of the batch must not send a message a second time if it was accepted before.
            await _send_one(sms, path)
            assert len(sandbox.account.messages) == (0 if arrived == 0 and outcomes else 1)
            if counted.waits < at:
                break
    # The task waits until the ledger is open, an outcome has come, the batch has ended, and the ledger is
    # closed.
    assert at > 4


async def _send_one(sms: Any, path: Path) -> None:
    async with Ledger.sqlite(path) as ledger, sms.send_many([MESSAGE], ledger=ledger, grace=0.01) as outcomes:
        async for _ in outcomes:
            pass


async def settled(sandbox: Sandbox) -> None:
    """Make a request to the sandbox, and wait for the response.

    After the response to the new request, all earlier requests have arrived at the sandbox.
    """
    async with client_for(sandbox) as other:
        await other.balance()
