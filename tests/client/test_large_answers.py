"""Tests of a send whose whole response has arrived, and is so large that a worker thread decodes it."""

import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio import to_thread
from anyio.abc import TaskStatus

from smsapi_async import Accepted, AsyncSmsClient, Message
from smsapi_async.calls import caller
from smsapi_async.sandbox import Sandbox
from tests.client.tools import NUMBER, TEXT, client_for, recorded_scopes, until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("transport")]
IDS = tuple(str(579700854169272358 + index) for index in range(20_000))


@asynccontextmanager
async def client_of_large_answers(sandbox: Sandbox) -> AsyncIterator[AsyncSmsClient]:
    """Yield a client with a session, and let the sandbox respond to a send with a body of 400 kB."""
    async with client_for(sandbox) as sms:
        await sms.balance()
        sandbox.answer_next("Sms/Send", body=json.dumps(IDS), accept=True)
        yield sms


@asynccontextmanager
async def exhausted(limiter: anyio.CapacityLimiter) -> AsyncIterator[None]:
    """Hold all threads of a limiter, as many long calls in threads do."""
    borrowers = [object() for _ in range(int(limiter.total_tokens))]
    for borrower in borrowers:
        limiter.acquire_on_behalf_of_nowait(borrower)
    try:
        yield
    finally:
        for borrower in borrowers:
            limiter.release_on_behalf_of(borrower)


def is_waited_for(limiter: anyio.CapacityLimiter) -> bool:
    """Return whether a call waits for a thread of the limiter."""
    return limiter.statistics().tasks_waiting > 0


async def test_the_program_uses_all_its_threads(sandbox: Sandbox) -> None:
    """A send ends with its ids, even if the program uses all threads for other work."""
    threads = to_thread.current_default_thread_limiter()
    received: list[tuple[str, ...]] = []

    async def send(sms: AsyncSmsClient) -> None:
        received.append((await sms.send(NUMBER, TEXT)).segment_ids)

    async with (
        client_of_large_answers(sandbox) as sms,
        exhausted(threads),
        anyio.create_task_group() as group,
    ):
        group.start_soon(send, sms)
        await until(lambda: received or is_waited_for(threads))
        group.cancel_scope.cancel()
    assert received == [IDS]


async def _hold_while(
    limiter: anyio.CapacityLimiter,
    end: Callable[[], anyio.CancelScope],
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Hold all threads until a response waits for a thread and the scope that `end` returns is cancelled."""
    async with exhausted(limiter):
        task_status.started()
        await until(lambda: is_waited_for(limiter))
        scope = end()
        await until(lambda: scope.cancel_called)


async def test_a_timeout_that_ends_while_the_answer_is_decoded(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A send whose timeout ends after the whole response arrived returns the receipt with the ids."""
    scopes = recorded_scopes(monkeypatch, caller)

    def end_the_timeout() -> anyio.CancelScope:
        scopes[0].deadline = -math.inf
        return scopes[0]

    async with client_of_large_answers(sandbox) as sms, anyio.create_task_group() as group:
        await group.start(_hold_while, sms._caller._decoding, end_the_timeout)
        receipt = await sms.send(NUMBER, TEXT, timeout=3600)
    assert receipt.segment_ids == IDS


async def test_a_batch_left_while_an_answer_is_decoded(sandbox: Sandbox) -> None:
    """A batch that is left without a grace, after the whole response arrived, still gives `Accepted`."""
    left = anyio.Event()

    def leave() -> anyio.CancelScope:
        left.set()
        (scope,) = batch._chunk_sender._in_flight
        return scope

    async with client_of_large_answers(sandbox) as sms, anyio.create_task_group() as group:
        await group.start(_hold_while, sms._caller._decoding, leave)
        batch = sms.send_many([Message(NUMBER, TEXT)], linger=0.001, grace=0)
        async with batch:
            await left.wait()
    (outcome,) = batch.unread
    assert isinstance(outcome, Accepted)
    assert outcome.segment_ids == IDS
