"""A gate of the sandbox holds responses until the gate is released."""

import threading
from collections.abc import Callable

import anyio
import anyio.lowlevel
import httpx
import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.gate import Gate, Signal
from tests.sandbox.support import START, Caller, logged_in, message

pytestmark = pytest.mark.anyio


async def test_held_request_is_processed_and_unanswered() -> None:
    """A gate holds only the response to a send. The sandbox accepts and bills the message at once."""
    caller = await logged_in()
    gate = caller.sandbox.hold("sms/send")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(caller.send)
        await gate.arrived(1)
        assert len(caller.sandbox.account.messages) == 1
        assert caller.sandbox.account.arrivals[-1].status is None
        assert (await caller.get("User/Balance")).text == "9998.50"
        gate.release()
    assert caller.sandbox.account.arrivals[1].status == 200
    assert len(await caller.send()) == 1


async def test_context_manager_releases() -> None:
    """The end of a `with` block releases the gate, even after an exception."""
    caller = await logged_in()
    gate = caller.sandbox.hold()
    assert repr(gate) == "<Gate every resource: holding, 0 arrived>"
    with pytest.raises(KeyError), gate:
        raise KeyError
    assert gate.is_released
    assert repr(gate) == "<Gate every resource: released, 0 arrived>"
    assert (await caller.get("User/Balance")).status_code == 200


async def test_released_gate_makes_room_for_the_next() -> None:
    """After the first gate for `Sms/Send` is released, a second gate for `Sms/Send` holds responses."""
    caller = await logged_in()
    caller.sandbox.hold("Sms/Send").release()
    with caller.sandbox.hold("Sms/Send") as gate:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller.send)
            await gate.arrived()
            assert gate.caught == 1
            gate.release()


async def test_arrived_counts_over_a_socket() -> None:
    """`arrived(n)` returns when n requests have reached the gate, also if the sandbox runs on a socket."""
    async with run_sandbox(start=START) as sandbox, httpx.AsyncClient(timeout=60) as client:
        url = f"{sandbox.base_url}/user/sessionid?login=sandbox&password=sandbox-password"
        gate = sandbox.hold("User/SessionId")
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(client.get, url)
            await gate.arrived(5)
            assert sandbox.account.logins == 5
            await gate.arrived(2)
            gate.release()
        assert sandbox.account.count("user/sessionid", status=200) == 5


async def test_arrived_waits_for_enough() -> None:
    """After one request, `arrived(2)` still waits.

    If the call of `arrived(2)` is cancelled, the next call of `arrived` still works.
    """
    gate = Gate("Sms/Send")
    with anyio.move_on_after(0) as scope:
        gate.catch()
        await gate.arrived(2)
    assert scope.cancelled_caught
    gate.catch()
    await gate.arrived(2)


async def test_signal_from_another_thread() -> None:
    """A task that waits for a signal continues when another thread sets the signal."""
    signal = Signal()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(signal.wait)
        await anyio.lowlevel.checkpoint()
        thread = threading.Thread(target=signal.set)
        thread.start()
    thread.join()
    await signal.wait()


def test_signal_outlives_a_loop(anyio_backend: str) -> None:
    """A signal can be set without an error after the event loop of a waiting task has ended."""
    signal = Signal()
    kept: list[Callable[[], object]] = []

    async def wait() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(signal.wait)
            await anyio.wait_all_tasks_blocked()
            kept.extend(signal._wakers)
            tasks.cancel_scope.cancel()

    anyio.run(wait, backend=anyio_backend)
    assert signal._wakers == []
    # The cancelled task has removed its waker (the function that wakes the task) from the signal. The next
    # line adds the waker again, as if the event loop had ended before the task could remove the waker.
    signal._wakers.extend(kept)
    signal.set()
    assert signal.is_set


async def test_latency_delays_an_answer_but_not_the_acceptance() -> None:
    """With `latency`, the sandbox accepts a message before it sends the response."""
    sandbox = Sandbox(start=START)
    caller = await logged_in(sandbox)
    sandbox.latency = 3600
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(caller.send)
        await anyio.wait_all_tasks_blocked()
        assert len(sandbox.account.messages) == 1
        assert sandbox.account.arrivals[-1].status is None
        tasks.cancel_scope.cancel()
    sandbox.latency = 0.001
    assert len(await caller.send()) == 1


@pytest.mark.parametrize("resource", ["Sms/Sent", "rest"])
async def test_unknown_resource_is_refused(resource: str) -> None:
    """The sandbox refuses an unknown resource name, so that a test with a misspelt name fails."""
    sandbox = Sandbox()
    uses: list[Callable[[], object]] = [
        lambda: sandbox.hold(resource),
        lambda: sandbox.answer_next(resource),
        lambda: sandbox.refuse_next(resource, 9),
        lambda: sandbox.account.count(resource),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="unknown resource"):
            use()


async def test_scripted_answer_can_be_held() -> None:
    """A gate holds a scripted response until the gate is released."""
    caller = Caller(Sandbox())
    caller.sandbox.answer_next("Sms/Send", 503)
    gate = caller.sandbox.hold("Sms/Send")
    answers = []

    async def send() -> None:
        answers.append(await caller.post("Sms/Send", message()))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await gate.arrived()
        assert answers == []
        gate.release()
    assert [answer.status_code for answer in answers] == [503]
