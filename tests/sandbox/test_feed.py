"""The numbered events of the sandbox, and the wait for a message."""

import threading
from datetime import timedelta

import anyio
import pytest

from smsapi_async.sandbox import Feed, Sandbox, run_sandbox
from smsapi_async.sandbox.faults import FaultPlan
from tests.sandbox.support import START, logged_in

pytestmark = pytest.mark.anyio


def kinds(sandbox: Sandbox, after: int = 0) -> list[str]:
    """Return the kinds of the events after an event."""
    events = sandbox.feed.since(after)
    assert events is not None
    return [event.kind for event in events]


async def test_each_change_is_an_event() -> None:
    """Requests, messages and changes by a test become events, in their order, with consecutive numbers."""
    caller = await logged_in()
    sandbox = caller.sandbox
    assert kinds(sandbox) == ["request", "answer"]
    before = sandbox.feed.last
    await caller.send("79031234700")
    assert kinds(sandbox, before) == ["request", "message", "incoming", "answer"]
    before = sandbox.feed.last
    sandbox.receive("79031234567", text="Hi")
    sandbox.advance(seconds=1)
    sandbox.balance = 5
    sandbox.expire_sessions()
    sandbox.set_state(1, 46)
    sandbox.clear()
    assert kinds(sandbox, before) == ["incoming", "clock", "account", "account", "state", "cleared"]
    sandbox.reset()
    assert kinds(sandbox)[-1] == "reset"
    events = sandbox.feed.since(0)
    assert events is not None
    assert [event.number for event in events] == list(range(1, sandbox.feed.last + 1))


async def test_an_event_has_the_object() -> None:
    """The event of a message has the message, and the event of a request has the request."""
    caller = await logged_in()
    await caller.send()
    events = caller.sandbox.feed.since(2)
    assert events is not None
    (message,) = caller.sandbox.account.messages
    arrival = caller.sandbox.account.arrivals[1]
    assert [event.data for event in events] == [arrival, message, arrival]
    assert "79031234567" not in repr(events)


@pytest.mark.parametrize(
    ("number", "found"),
    [(5, []), (4, [5]), (2, [3, 4, 5]), (1, None), (0, None), (6, None), (-1, None)],
)
def test_gaps(number: int, found: list[int] | None) -> None:
    """If the feed has removed an event, or does not know the number, the caller gets None."""
    feed = Feed(limit=3)
    for _ in range(5):
        feed.append("clock")
    events = feed.since(number)
    assert (None if events is None else [event.number for event in events]) == found


async def test_all_events_of_a_new_feed(anyio_backend: str) -> None:
    """A feed without events has no gap, and a wait after an unknown number returns at once."""
    feed = Feed()
    assert feed.since(0) == []
    with anyio.fail_after(5):
        assert await feed.wait(7)


async def test_a_wait_ends_with_an_event_of_another_thread(anyio_backend: str) -> None:
    """Tasks of asyncio and of trio wake when another thread adds an event."""
    feed = Feed()
    thread = threading.Timer(0.01, feed.append, ["clock"])
    thread.start()
    with anyio.fail_after(5):
        assert await feed.wait(0)
    thread.join()
    assert feed.last == 1


async def test_a_wait_ends_with_the_feed(anyio_backend: str) -> None:
    """When the feed ends, all waits return False, also the later ones and those of threads."""
    feed = Feed()
    ended: list[bool] = []

    async def wait() -> None:
        ended.append(await feed.wait(0))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert not ended
            feed.end()
        assert not await feed.wait(0)
    assert not feed.wait_in_thread(0)
    assert ended == [False, False]
    feed.reopen()
    assert not feed.wait_in_thread(0, timeout=0.001)


async def test_a_cancelled_wait_leaves_nothing(anyio_backend: str) -> None:
    """A wait that is cancelled does not disturb the next event."""
    feed = Feed()
    with anyio.move_on_after(0.01):
        await feed.wait(0)
    feed.append("clock")
    assert await feed.wait(0)
    assert not feed._wakers


def test_a_thread_waits() -> None:
    """A thread without an event loop waits for the next event."""
    feed = Feed()
    threading.Timer(0.01, feed.append, ["clock"]).start()
    assert feed.wait_in_thread(0, timeout=5)


async def test_waits_end_with_the_sandbox(anyio_backend: str) -> None:
    """A task that waits for events or for a message does not outlive the server of the sandbox."""
    ends: list[str] = []

    async def wait(sandbox: Sandbox) -> None:
        await sandbox.feed.wait(sandbox.feed.last)
        ends.append("feed")

    async def expect(sandbox: Sandbox) -> None:
        with pytest.raises(RuntimeError, match="stopped"):
            await sandbox.accepted()
        ends.append("message")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks, run_sandbox() as sandbox:
            tasks.start_soon(wait, sandbox)
            tasks.start_soon(expect, sandbox)
            await anyio.wait_all_tasks_blocked()
    assert sorted(ends) == ["feed", "message"]
    assert not sandbox.feed.is_ended


async def test_accepted(anyio_backend: str) -> None:
    """`accepted` waits for the newest message that fulfils all conditions, and ignores earlier numbers."""
    caller = await logged_in()
    sandbox = caller.sandbox
    await caller.send("79031234567", "Your code is 1")
    first = await sandbox.accepted("+7 903 123-45-67", "CODE")
    assert (first.number, first.text) == (1, "Your code is 1")
    await caller.send("79031234567", "Your code is 2")
    assert (await sandbox.accepted("79031234567")).text == "Your code is 2"
    assert await sandbox.accepted() is await sandbox.accepted(after=first.number)

    async def send() -> None:
        await caller.send("79030000000", "Your code is 9")
        await caller.send("79031234567", "Hello")
        await caller.send("79031234567", "Your code is 3")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        found = await sandbox.accepted("79031234567", "code", after=2, timeout=5)
    assert (found.number, found.text) == (5, "Your code is 3")
    with pytest.raises(TimeoutError):
        await sandbox.accepted("79039999999", timeout=0.01)


async def test_pushes_and_faults_are_events(anyio_backend: str) -> None:
    """The beginning and the end of a push, and a new fault plan, become events."""
    async with run_sandbox(start=START, faults_port=0, push_url="http://127.0.0.1:9/sms") as sandbox:
        assert sandbox.proxy is not None
        sandbox.proxy.plan = FaultPlan()
        sandbox.receive("79031234567", text="Hi")
        await sandbox.wait_for_pushes()
        sandbox.advance(timedelta(seconds=0))
        found = kinds(sandbox)
    assert found[:2] == ["faults", "incoming"]
    assert found.count("push") == 2
