"""Tests that cancel one of two calls of `send` with the same key, at every `await`."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from smsapi_async import Accepted, AsyncSmsClient, Message, NotSent, OutcomeUnknown, Receipt, Unknown
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.batch.test_cancellation import CancelledAt, settled
from tests.batch.test_recorded_send import CODE, KEY, NUMBER, Calls, is_waiting
from tests.client.tools import client_for, client_of_version, until
from tests.ledger.tools import Place

pytestmark = pytest.mark.anyio


async def _send(sms: AsyncSmsClient, ledger: Ledger) -> Receipt:
    return await sms.send(NUMBER, CODE, key=KEY, ledger=ledger)


async def _run_in_scope(sms: AsyncSmsClient, ledger: Ledger, at: int, counts: list[int]) -> None:
    """Send the message, and cancel the send in a scope of AnyIO at its wait with the number `at`."""
    with anyio.CancelScope() as scope:
        counted = CancelledAt(_send(sms, ledger), scope, at)
        try:
            await counted
        except OutcomeUnknown:
            pass
        finally:
            counts.append(counted.waits)


async def _run_in_task(sms: AsyncSmsClient, ledger: Ledger, at: int, times: int, counts: list[int]) -> None:
    """Send the message in a task of asyncio, and call `Task.cancel` at the wait with the number `at`."""

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        counted = CancelledAt(_send(sms, ledger), task, at, times)
        try:
            await counted
        finally:
            counts.append(counted.waits)

    await asyncio.wait([asyncio.ensure_future(run())])


async def _two_sends(sandbox: Sandbox, path: Path, at: int, times: int | None, is_first: bool) -> int:
    """Make two calls with the same key, and cancel one of the calls.

    Args:
        sandbox: the sandbox that receives the message.
        path: the path of the ledger.
        at: the number of the wait at which the call is cancelled.
        times: how often `Task.cancel` is called; None means one cancellation in a scope of AnyIO.
        is_first: whether the first call is cancelled, and not the second call.

    Returns:
        The number of waits of the cancelled call.
    """
    calls, counts = Calls(), list[int]()
    async with client_of_version(sandbox) as sms, Ledger.sqlite(path) as ledger:
        with sandbox.hold("Sms/Send") as gate:
            async with anyio.create_task_group() as group:
                if is_first:
                    gate.release()
                else:
                    group.start_soon(calls.run, lambda: _send(sms, ledger))
                    await gate.arrived()
                if times is None:
                    group.start_soon(_run_in_scope, sms, ledger, at, counts)
                else:
                    group.start_soon(_run_in_task, sms, ledger, at, times, counts)
                if is_first:
                    group.start_soon(calls.run, lambda: _send(sms, ledger))
                else:
                    await until(lambda: counts or ledger._ends)  # type: ignore[attr-defined]
                    gate.release()
        (result,) = calls.results
        await settled(sandbox)
        if isinstance(result, Receipt):
            assert [message.segment_ids for message in sandbox.account.messages] == [result.segment_ids]
        else:
            assert is_first
            assert isinstance(result, OutcomeUnknown)
        (outcome,) = [outcome async for outcome in ledger.outcomes()]
        assert type(outcome) is (Accepted if isinstance(result, Receipt) else Unknown)
    assert len(sandbox.account.messages) <= 1
    return counts[0]


@pytest.mark.parametrize("dialect", ["contract", "latest"])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    ("anyio_backend", "times"), [("asyncio", None), ("trio", None), ("asyncio", 1), ("asyncio", 2)]
)
async def test_a_call_cancelled_at_every_await(
    tmp_path: Path, anyio_backend: str, times: int | None, is_first: bool, dialect: Any
) -> None:
    """If one of two calls is cancelled at any time, the other call ends, and at most one message is sent.

    The other call gets the receipt of the message, or learns that the outcome is unknown.
    """
    at = waits = 0
    while waits >= at:
        at += 1
        async with run_sandbox(dialect=dialect) as sandbox:
            waits = await _two_sends(sandbox, tmp_path / f"{at}.db", at, times, is_first)
    assert at > 3


@pytest.mark.parametrize("is_native", [False, True])
async def test_a_call_cancelled_while_its_request_is_in_flight(
    sandbox: Sandbox, place: Place, anyio_backend: str, is_native: bool
) -> None:
    """If a call is cancelled after its request was sent, a waiting call learns that the outcome is unknown.

    No call sends the message a second time.
    """
    if is_native and anyio_backend == "trio":
        pytest.skip("trio has no Task.cancel")
    calls = Calls()
    async with client_for(sandbox) as sms, place() as ledger:
        with sandbox.hold("Sms/Send") as gate:
            async with anyio.create_task_group() as group:
                scope = anyio.CancelScope()
                cancel = await group.start(_started, sms, ledger, scope, is_native)
                await gate.arrived()
                group.start_soon(calls.run, lambda: _send(sms, ledger))
                await is_waiting(ledger)
                cancel()
                await until(lambda: calls.results)
        assert [type(error) for error in calls.results] == [OutcomeUnknown]
        with pytest.raises(OutcomeUnknown, match="interrupted"):
            await _send(sms, ledger)
    assert len(sandbox.account.messages) == 1


async def _started(
    sms: AsyncSmsClient,
    ledger: Ledger,
    scope: anyio.CancelScope,
    is_native: bool,
    *,
    task_status: anyio.abc.TaskStatus[Any],
) -> None:
    """Send the message, and pass the function that cancels the send to the caller."""
    if is_native:
        task = asyncio.ensure_future(_send(sms, ledger))
        task_status.started(task.cancel)
        await asyncio.wait([task])
        return
    with scope:
        task_status.started(scope.cancel)
        await _send(sms, ledger)


async def test_many_waiting_calls_of_which_some_are_cancelled(
    sandbox: Sandbox, place: Place, anyio_backend: str
) -> None:
    """If the first call and some of the waiting calls are cancelled before the send, another call sends."""
    calls = Calls()
    async with client_for(sandbox) as sms, place() as ledger:
        scopes = [anyio.CancelScope() for _ in range(10)]
        with sandbox.hold("user/sessionid") as gate:
            async with anyio.create_task_group() as group:
                for scope in scopes:
                    group.start_soon(_in_scope, scope, calls, sms, ledger)
                await gate.arrived()
                await is_waiting(ledger)
                for scope in scopes[::2]:
                    scope.cancel()
                gate.release()
    (message,) = sandbox.account.messages
    assert [getattr(result, "segment_ids", result) for result in calls.results] == [message.segment_ids] * 5


async def _in_scope(scope: anyio.CancelScope, calls: Calls, sms: AsyncSmsClient, ledger: Ledger) -> None:
    with scope:
        await calls.run(lambda: _send(sms, ledger))


async def test_a_client_closed_under_a_call(sandbox: Sandbox, place: Place, anyio_backend: str) -> None:
    """A call of a client that is closed before the request is not sent, and another client can send it."""
    calls = Calls()
    async with place() as ledger:
        sms = client_for(sandbox)
        with sandbox.hold("user/sessionid") as gate:
            async with anyio.create_task_group() as group:
                group.start_soon(calls.run, lambda: _send(sms, ledger))
                await gate.arrived()
                await sms.aclose()
        assert [type(error) for error in calls.results] == [NotSent]
        async with client_for(sandbox) as other:
            await _send(other, ledger)
    assert len(sandbox.account.messages) == 1


class HeldThread:
    """Holds the thread of a ledger whenever the thread begins to record claims.

    Attributes:
        thread: the thread of the ledger.
        begun: how often the thread has begun to record claims.
    """

    def __init__(self, ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.thread = ledger._thread
        self.begun = 0
        self._permits = threading.Semaphore(0)
        requests = self.thread._records.requests
        run_together = requests.run_together

        def held(*arguments: Any) -> Any:
            self.begun += 1
            assert self._permits.acquire(timeout=10)
            return run_together(*arguments)

        monkeypatch.setattr(requests, "run_together", held)

    def permit(self, times: int) -> None:
        """Let the thread record claims a number of times."""
        self._permits.release(times)

    def cancel_at_the_end(self, task: "asyncio.Task[Any]", monkeypatch: pytest.MonkeyPatch) -> None:
        """Cancel a task when its claim was recorded, after the callers of later claims were woken."""
        post, tell = self.thread._post, self.thread._tell

        def post_and_cancel(wake: Any) -> None:
            post(lambda: (wake(), task.cancel()))

        monkeypatch.setattr(self.thread, "_post", post_and_cancel)
        monkeypatch.setattr(self.thread, "_tell", lambda jobs: tell(jobs[::-1]))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("moment", ["before", "during", "at the end"])
async def test_task_cancel_while_a_claim_is_recorded(
    sandbox: Sandbox, tmp_path: Path, anyio_backend: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If `Task.cancel` ends a call while its claim is recorded, a call that waits sends the message."""
    calls, other = Calls(), Message("79031234599", "other", key="other")
    async with client_for(sandbox) as sms, Ledger.sqlite(tmp_path / "run.db") as ledger:
        held = HeldThread(ledger, monkeypatch)
        async with anyio.create_task_group() as group:
            group.start_soon(ledger.claim, "token", [("other", other)])
            await until(lambda: held.begun)
            # The claims of both calls wait for the thread, and then share one transaction.
            task = asyncio.ensure_future(_send(sms, ledger))
            await until(lambda: held.thread._waiting)
            group.start_soon(calls.run, lambda: _send(sms, ledger))
            await until(lambda: len(held.thread._waiting) == 2)
            if moment == "before":
                task.cancel()
                await asyncio.wait([task])
            held.permit(1)
            await until(lambda: held.begun == 2)
            if moment == "during":
                task.cancel()
                await asyncio.wait([task])
            if moment == "at the end":
                held.cancel_at_the_end(task, monkeypatch)
            held.permit(100)
        await asyncio.wait([task])
        assert task.cancelled()
    (message,) = sandbox.account.messages
    assert [getattr(result, "segment_ids", result) for result in calls.results] == [message.segment_ids]
