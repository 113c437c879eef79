"""Gates: answers held back."""

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
    """A held send is accepted and billed at once, and answered when the gate is released."""
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
    """A gate used as a block is released at its end, also by an exception."""
    caller = await logged_in()
    gate = caller.sandbox.hold()
    assert repr(gate) == "<Gate every resource: holding, 0 arrived>"
    with pytest.raises(KeyError), gate:
        raise KeyError
    assert gate.is_released
    assert repr(gate) == "<Gate every resource: released, 0 arrived>"
    assert (await caller.get("User/Balance")).status_code == 200


async def test_released_gate_makes_room_for_the_next() -> None:
    """A second gate on a resource holds what comes after the first was released."""
    caller = await logged_in()
    caller.sandbox.hold("Sms/Send").release()
    with caller.sandbox.hold("Sms/Send") as gate:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller.send)
            await gate.arrived()
            assert gate.caught == 1
            gate.release()


async def test_arrived_counts_over_a_socket() -> None:
    """Over a socket, in whatever loop the waiter runs, `arrived(n)` returns when n requests are held."""
    async with run_sandbox(start=START) as sandbox, httpx.AsyncClient() as client:
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
    """A waiter for two is not woken by one; a cancelled waiter leaves nothing behind."""
    gate = Gate("Sms/Send")
    with anyio.move_on_after(0) as scope:
        gate.catch()
        await gate.arrived(2)
    assert scope.cancelled_caught
    gate.catch()
    await gate.arrived(2)


async def test_signal_from_another_thread() -> None:
    """A signal set by a thread wakes a task that waits for it."""
    signal = Signal()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(signal.wait)
        await anyio.lowlevel.checkpoint()
        thread = threading.Thread(target=signal.set)
        thread.start()
    thread.join()
    await signal.wait()


def test_signal_outlives_a_loop(anyio_backend: str) -> None:
    """Setting a signal whose waiter's loop has ended is no error."""
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
    signal._wakers.extend(kept)
    signal.set()
    assert signal.is_set


async def test_latency_delays_an_answer_but_not_the_acceptance() -> None:
    """With latency a message is accepted before its answer goes out."""
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
    """A handle for a resource that does not exist is refused, so that a typing error cannot hide."""
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
    """A gate holds a scripted answer as well."""
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
