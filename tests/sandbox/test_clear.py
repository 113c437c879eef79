"""The methods that remove messages, reset the sandbox, and change the state of a message."""

from datetime import timedelta
from decimal import Decimal

import anyio
import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan
from tests.sandbox.support import START, Caller, logged_in

pytestmark = pytest.mark.anyio


async def statistics(caller: Caller) -> dict[str, int]:
    """Return the statistics of the days around `START`."""
    answer = await caller.get(
        "Sms/Statistics", startDateTime="2026-03-09T00:00:00", endDateTime="2026-03-12T00:00:00"
    )
    found: dict[str, int] = answer.json()
    return found


async def test_clear() -> None:
    """`clear` removes messages and requests; the balance, the session, the clock and the numbers stay."""
    caller = await logged_in()
    sandbox = caller.sandbox
    (segment_id,) = await caller.send("79031234700")
    sandbox.record_history(at=START, states=[0])
    sandbox.advance(seconds=10)
    balance, now = sandbox.balance, sandbox.now()
    sandbox.clear()
    account = sandbox.account
    assert (account.messages, account.arrivals, account.incoming, account.pushes) == ([], [], [], [])
    assert (account.count(), account.logins) == (0, 0)
    assert (sandbox.balance, sandbox.now(), sandbox.open_sessions) == (balance, now, 1)
    assert (await statistics(caller))["TotalWithErrors"] == 0
    assert (await caller.state(segment_id))["State"] == 255
    (again,) = await caller.send()
    (message,) = account.messages
    assert (again != segment_id, message.number, message.arrival) == (True, 2, account.arrivals[-1].index)
    assert account.arrival(message.arrival) is account.arrivals[-1]


async def test_reset() -> None:
    """After `reset` the sandbox answers as a new sandbox with the same arguments."""
    sandbox = Sandbox(balance=7, price="0.50", latency=0, source_addresses=["ACME"], start=START)
    caller = await logged_in(sandbox)
    await caller.send()
    for name, value in {"balance": 1, "price": 2, "latency": 5, "source_addresses": None}.items():
        setattr(sandbox, name, value)
    sandbox.push_to("http://127.0.0.1:9/sms")
    sandbox.advance(hours=1)
    sandbox.refuse_next(None, 7, times=5)
    gate = sandbox.hold()
    sandbox.reset()
    assert (sandbox.balance, sandbox.price, sandbox.latency) == (Decimal(7), Decimal("0.50"), 0.0)
    assert (sandbox.source_addresses, sandbox.now()) == (("ACME",), START)
    assert (gate.is_released, sandbox.gates, sandbox.prepared) == (True, [], [])
    assert (sandbox.open_sessions, sandbox.account.sessions, sandbox.account.messages) == (0, 0, [])
    assert (await caller.get("User/Balance")).json()["Code"] == 3
    await caller.log_in()
    await caller.send()
    assert sandbox.account.messages[0].number == 2


async def test_reset_of_the_faults_and_the_held_responses(anyio_backend: str) -> None:
    """`reset` begins again with the fault plan of the start, and the held requests get their responses."""
    plan = FaultPlan.random(weights={Fault.REFUSE: 1})
    async with run_sandbox(faults=plan, faults_port=0) as sandbox:
        caller = Caller(sandbox)
        gate = sandbox.hold("User/SessionId")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller.log_in)
            await gate.arrived()
            assert [each.resource for each in sandbox.gates] == ["User/SessionId"]
            assert sandbox.proxy is not None
            sandbox.proxy.plan = FaultPlan()
            sandbox.reset()
            assert (sandbox.proxy.plan, sandbox.proxy.history) == (plan, [])


async def test_clear_ends_the_pushes(anyio_backend: str) -> None:
    """After `clear` the sandbox pushes no message that was removed."""
    async with run_sandbox(start=START, push_url="http://127.0.0.1:9/sms") as sandbox:
        sandbox.receive("79031234567", text="Hi")
        await sandbox.wait_for_pushes()
        sandbox.receive("79031234567", text="Later", at=START + timedelta(hours=1))
        sandbox.clear()
        sandbox.advance(hours=2)
        await sandbox.wait_for_pushes()
        assert sandbox.account.pushes == []


@pytest.mark.parametrize("state", [46, -98, 42, 0, -1, 12345])
async def test_a_state_is_changed(state: int) -> None:
    """From now on Sms/State returns the new state; the earlier states and the other messages stay."""
    caller = await logged_in()
    (segment_id,) = await caller.send()
    (other,) = await caller.send()
    caller.sandbox.advance(seconds=3)
    caller.sandbox.set_state(segment_id, state)
    assert (await caller.state(segment_id))["State"] == state
    (segment,) = caller.sandbox.segments(segment_id)
    assert [each for _, each in segment.changes][:4] == [255, -2, -1, state]
    assert [at - START for at, _ in segment.changes][:4] == [timedelta(seconds=each) for each in range(4)]
    caller.sandbox.advance(seconds=10)
    assert (await caller.state(segment_id))["State"] == state
    assert (await caller.state(other))["State"] == 0


async def test_the_statistics_follow() -> None:
    """Sms/Statistics counts the state that a test has set."""
    caller = await logged_in()
    await caller.send()
    caller.sandbox.advance(seconds=10)
    assert (await statistics(caller))["Delivered"] == 1
    caller.sandbox.set_state(1, 46)
    found = await statistics(caller)
    assert (found["Delivered"], found["Expired"]) == (0, 1)


@pytest.mark.parametrize(("state", "last"), [(-98, 46), (-2, 46), (0, 0), (255, 255), (42, 42)])
async def test_the_validity_applies_to_the_new_state(state: int, last: int) -> None:
    """A segment with a new state that is not final expires at the end of its validity."""
    caller = await logged_in()
    (segment_id,) = await caller.send(Validity=10)
    caller.sandbox.advance(minutes=1)
    caller.sandbox.set_state(1, state)
    caller.sandbox.advance(minutes=9)
    assert (await caller.state(segment_id))["State"] == last


async def test_a_message_has_all_its_segments_changed() -> None:
    """A message or its number stands for all segments, and a segment id for one segment."""
    caller = await logged_in()
    first, second = await caller.send(text="ы" * 100)
    sandbox = caller.sandbox
    sandbox.advance(seconds=10)
    assert [each.text for each in sandbox.segments(1)] == ["ы" * 67, "ы" * 33]
    assert [each.id for each in sandbox.segments(second)] == [first, second]
    sandbox.set_state(second, 42)
    assert [(await caller.state(each))["State"] for each in (first, second)] == [0, 42]
    sandbox.set_state(sandbox.account.messages[0], 46)
    assert [(await caller.state(each))["State"] for each in (first, second)] == [46, 46]
    sandbox.set_state(1, 41)
    assert [(await caller.state(each))["State"] for each in (first, second)] == [41, 41]


@pytest.mark.parametrize("key", ["5", 2, 0])
async def test_no_such_message(key: str | int) -> None:
    """An unknown or removed message raises `LookupError`."""
    sandbox = (await logged_in()).sandbox
    with pytest.raises(LookupError):
        sandbox.set_state(key, 0)
    with pytest.raises(LookupError):
        sandbox.segments(key)


@pytest.mark.parametrize("state", ["delivered", None, True, 1.5])
async def test_a_state_that_is_no_number(state: object) -> None:
    """A state that is no int raises `TypeError`, and the message keeps its state."""
    caller = await logged_in()
    await caller.send()
    before = caller.sandbox.segments(1)[0].changes
    with pytest.raises(TypeError, match="must be an int"):
        caller.sandbox.set_state(1, state)  # type: ignore[arg-type]
    assert caller.sandbox.segments(1)[0].changes == before
