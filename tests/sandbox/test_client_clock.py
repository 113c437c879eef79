"""The clock of the sandbox that pauses, runs, changes its speed, and serves a client."""

import math
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import anyio
import anyio.lowlevel
import httpx
import pytest

from smsapi_async import AsyncSmsClient, Timeouts
from smsapi_async.sandbox import Sandbox, client_clock, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan
from tests.sandbox.support import START, Caller

pytestmark = pytest.mark.anyio


def client(sandbox: Sandbox, base_url: str | None = None, timeout: float | None = None) -> AsyncSmsClient:
    """Return a client with the clock of the sandbox."""
    return AsyncSmsClient(
        sandbox.login,
        sandbox.password,
        base_url=base_url or sandbox.base_url,
        source_address="ACME",
        clock=sandbox.clock,
        timeouts=Timeouts() if timeout is None else Timeouts(read=timeout, total=timeout),
    )


@pytest.fixture
def real_time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list whose only item is the real time in seconds, which a test may set."""
    seconds = [100.0]
    monkeypatch.setattr("smsapi_async.sandbox.gateway_clock.time.monotonic", lambda: seconds[0])
    return seconds


def test_pause_run_and_speed(real_time: list[float]) -> None:
    """The clock stands still during a pause, and runs with the last speed after the pause."""
    sandbox = Sandbox(start=START)
    assert (sandbox.running, sandbox.speed) == (False, 1.0)
    real_time[0] += 10
    assert sandbox.now() == START
    sandbox.run()
    real_time[0] += 10
    assert sandbox.now() == START + timedelta(seconds=10)
    sandbox.speed = 60
    real_time[0] += 1
    assert sandbox.now() == START + timedelta(seconds=70)
    sandbox.pause()
    real_time[0] += 100
    assert (sandbox.running, sandbox.speed, sandbox.now()) == (False, 60, START + timedelta(seconds=70))
    sandbox.advance(seconds=30)
    sandbox.speed = 2
    assert not sandbox.running
    sandbox.run()
    real_time[0] += 5
    assert sandbox.now() == START + timedelta(seconds=110)
    sandbox.run(speed=0.5)
    real_time[0] += 5
    assert sandbox.now() == START + timedelta(seconds=112.5)
    assert sandbox.clock.now() == sandbox.now()
    assert sandbox.clock.monotonic() == 112.5


@pytest.mark.parametrize("speed", [-1, math.nan, math.inf])
def test_no_such_speed(speed: float) -> None:
    """A negative speed or a speed that is no number raises `ValueError` and changes nothing."""
    sandbox = Sandbox(start=START)
    with pytest.raises(ValueError, match="speed"):
        sandbox.run(speed=speed)
    with pytest.raises(ValueError, match="speed"):
        sandbox.speed = speed
    with pytest.raises(ValueError, match="speed"):
        Sandbox(speed=speed)
    assert (sandbox.running, sandbox.speed) == (False, 1.0)


def test_reset_sets_the_clock_to_its_start(real_time: list[float]) -> None:
    """After a reset the clock shows its start again, but the monotonic seconds go on."""
    sandbox = Sandbox(start=START, speed=3)
    sandbox.run(speed=60)
    real_time[0] += 10
    sandbox.reset()
    assert (sandbox.now(), sandbox.running, sandbox.speed) == (START, False, 3)
    assert sandbox.clock.monotonic() == 600
    running = Sandbox()
    running.pause()
    running.advance(days=400)
    running.reset()
    assert running.running
    assert abs(running.now() - datetime.now(UTC)) < timedelta(days=1)


def test_the_clock_ends_with_the_calendar() -> None:
    """The clock stops at the end of the year 9999, without an error."""
    sandbox = Sandbox(start=START)
    sandbox.advance(timedelta.max)
    sandbox.run(speed=1e300)
    assert sandbox.now() == sandbox.now() == datetime(9999, 12, 30, tzinfo=UTC)
    sandbox.pause()
    sandbox.advance(timedelta.max)
    assert sandbox.now().year == 9999


async def test_a_message_at_the_end_of_the_calendar(anyio_backend: str) -> None:
    """At the end of the calendar the gateway still accepts messages. They expire at once."""
    async with run_sandbox(start=START) as sandbox, client(sandbox) as sms:
        sandbox.advance(timedelta.max)
        receipt = await sms.send("79031234567", "Hello")
        assert [each.changes[-1][1] for each in sandbox.segments(receipt.segment_ids[0])] == [46]


@pytest.mark.parametrize("number", ["79031234567", "79031234946"])
async def test_a_client_with_this_clock_takes_no_real_time(number: str, anyio_backend: str) -> None:
    """With a frozen clock, `wait_delivered` moves the clock, and needs much less than the five seconds."""
    async with run_sandbox(start=START) as sandbox, client(sandbox) as sms:
        began = time.monotonic()
        receipt = await sms.send(number, "Hello")
        delivery = await sms.wait_delivered(receipt)
        assert time.monotonic() - began < 3
        assert delivery.is_final
        assert delivery.states[0] is not None
        assert timedelta(seconds=5) <= sandbox.now() - START < timedelta(minutes=2)


async def test_a_slow_response_does_not_end_the_wait_for_a_delivery(anyio_backend: str) -> None:
    """The clock does not jump over the two days of `wait_delivered` while a response is delayed."""
    async with run_sandbox(start=START, latency=0.35) as sandbox, client(sandbox) as sms:
        delivery = await sms.wait_delivered(await sms.send("79031234567", "Hello"))
        assert delivery.is_final
        assert delivery.states[0] is not None
        assert sandbox.now() - START < timedelta(minutes=2)


@pytest.mark.parametrize(
    "fault", [Fault.HANG_AFTER_PASS, Fault.HANG_AFTER_READ, Fault.ACCEPT_THEN_SILENCE, Fault.SLOW_BYTES]
)
async def test_the_faulty_line_does_not_end_the_wait_for_a_delivery(fault: Fault, anyio_backend: str) -> None:
    """The clock does not jump over the two days of `wait_delivered` while the faulty line is silent."""
    async with run_sandbox(start=START, faults_port=0) as sandbox, client(sandbox, timeout=1) as sms:
        receipt = await sms.send("79031234567", "Hello")
        proxy = sandbox.proxy
        assert proxy is not None
        proxy.plan = FaultPlan.script([fault], resource="Sms/State")
        async with client(sandbox, base_url=sandbox.faults_url, timeout=0.6) as tracker:
            delivery = await tracker.wait_delivered(receipt)
        assert next(each.fault for each in proxy.history if each.resource in {"", "Sms/State"}) is fault
    assert delivery.is_final
    assert delivery.states[0] is not None
    assert sandbox.now() - START < timedelta(minutes=10)


async def test_a_held_response_does_not_end_the_wait_for_a_delivery(anyio_backend: str) -> None:
    """The clock does not jump over the two days of `wait_delivered` while a response is held."""
    async with run_sandbox(start=START) as sandbox, client(sandbox) as sms:
        receipt = await sms.send("79031234567", "Hello")
        gate = sandbox.hold("Sms/State")
        threading.Timer(0.6, gate.release).start()
        assert (await sms.wait_delivered(receipt)).states[0] is not None
    assert sandbox.now() - START < timedelta(minutes=10)


async def test_an_idle_connection_does_not_stop_the_clock(anyio_backend: str) -> None:
    """After the response, a connection of the faulty line that stays open does not delay a sleep."""
    kinds = [Fault.STALE_KEEP_ALIVE, Fault.UNSOLICITED_408, Fault.LATE_ANSWER, Fault.PASS]
    async with run_sandbox(start=START, faults=FaultPlan.script(kinds)) as sandbox:
        for _ in kinds:
            async with httpx.AsyncClient() as http:
                await http.get(f"{sandbox.faults_url}/User/Balance")
                with anyio.fail_after(4):
                    await sandbox.clock.sleep(86_400)
    assert not sandbox.clock._open


@pytest.mark.parametrize(("seconds", "longest"), [(2000, 5), (2001, 150)])
def test_a_request_stops_the_clock_for_a_limited_time(
    seconds: float, longest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request without a response delays a sleep of up to 2,000 s by 5 s, and a longer one by 150 s."""
    real = [100.0]
    monkeypatch.setattr(client_clock, "time", SimpleNamespace(monotonic=lambda: real[0]))
    clock = Sandbox(start=START).clock
    end = timedelta(seconds=seconds)
    clock._ends.append(end)
    closed = clock.request_opened()
    real[0] += longest - 1
    assert clock._step(end, began=0, quiet=0.25) is not None
    real[0] += 1.3
    assert clock._step(end, began=0, quiet=0.25) is None
    closed()
    closed()
    assert not clock._open


async def test_two_days_of_polls_take_few_real_seconds(anyio_backend: str) -> None:
    """A client that polls every half hour for a message that is never delivered ends soon in real time."""
    sandbox = Sandbox(start=START)
    began = time.monotonic()
    for _ in range(12):
        await sandbox.clock.sleep(1800)
    assert time.monotonic() - began < 2
    assert sandbox.now() == START + timedelta(hours=6)


async def test_many_waits_at_the_same_time(anyio_backend: str) -> None:
    """The clock does not jump past the waits of other tasks: no session expires, each message is final."""
    async with run_sandbox(start=START) as sandbox, client(sandbox) as sms:

        async def deliver(number: str) -> None:
            delivery = await sms.wait_delivered(await sms.send(number, "Hello"))
            assert delivery.is_final

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for index in range(20):
                    tasks.start_soon(deliver, f"79031234{500 + index}")
        assert sandbox.account.logins == 1
        assert sandbox.now() - START < timedelta(minutes=10)


@pytest.mark.parametrize("seconds", [(3600, 5, 0, 60, 5), (4, 1, 3, 2), (0.2, 0.1)])
async def test_the_earliest_sleep_ends_first(seconds: tuple[float, ...], anyio_backend: str) -> None:
    """With a frozen clock, the sleeps end in the order of their ends, and each at its own time."""
    clock = Sandbox(start=START).clock
    ends: list[tuple[float, float]] = []

    async def sleep(each: float) -> None:
        await clock.sleep(each)
        ends.append((each, (clock.now() - START).total_seconds()))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for each in seconds:
                tasks.start_soon(sleep, each)
    assert ends == [(each, each) for each in sorted(seconds)]


async def test_short_sleeps_go_before_a_long_one(anyio_backend: str) -> None:
    """A task that sleeps for a day does not move the clock while another task sleeps again and again."""
    clock = Sandbox(start=START).clock
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(clock.sleep, 86_400)
            for _ in range(10):
                await clock.sleep(0.5)
            assert clock.now() == START + timedelta(seconds=5)
    assert clock.now() == START + timedelta(days=1)


async def test_a_cancelled_sleep_does_not_stop_the_others(anyio_backend: str) -> None:
    """When the earliest sleep is cancelled, the clock moves to the end of the next sleep."""
    sandbox = Sandbox(start=START)
    scope = anyio.CancelScope()

    async def cancelled() -> None:
        with scope:
            await sandbox.clock.sleep(86_400)
            pytest.fail("the sleep ended")

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sandbox.clock.sleep, 2 * 86_400)
            tasks.start_soon(cancelled)
            while len(sandbox.clock._ends) < 2:
                await anyio.lowlevel.checkpoint()
            await anyio.sleep(0.01)
            scope.cancel()
    assert sandbox.now() == START + timedelta(days=2)
    assert not sandbox.clock._ends


async def test_a_sleep_ends_when_the_clock_passes_its_end(anyio_backend: str) -> None:
    """If the test moves the clock past the end of a sleep, or lets it run fast, the sleep ends."""
    sandbox = Sandbox(start=START)
    sandbox.run(speed=0.001)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sandbox.clock.sleep, 7200)
            await anyio.wait_all_tasks_blocked()
            threading.Timer(0.01, sandbox.advance, kwargs={"hours": 3}).start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sandbox.clock.sleep, 7200)
            await anyio.wait_all_tasks_blocked()
            sandbox.run(speed=1_000_000)
        async with anyio.create_task_group() as tasks:
            sandbox.speed = 0.001
            tasks.start_soon(sandbox.clock.sleep, 7200)
            await anyio.wait_all_tasks_blocked()
            before = sandbox.now()
            sandbox.pause()
    assert sandbox.now() - before <= timedelta(hours=2)


async def test_a_running_clock_sleeps_in_real_time(anyio_backend: str) -> None:
    """With a running clock, a sleep takes its seconds divided by the speed, and never ends early."""
    clock = Sandbox(speed=100).clock
    before, began = clock.now(), time.monotonic()
    await clock.sleep(3)
    assert time.monotonic() - began >= 0.029
    assert clock.now() - before >= timedelta(seconds=3)


async def test_a_sleep_has_no_rounding(anyio_backend: str) -> None:
    """A tiny sleep moves the clock, so a client that sleeps until a time never sleeps without an end."""
    clock = Sandbox(start=START).clock
    before = clock.monotonic()
    await clock.sleep(1e-9)
    assert clock.monotonic() > before
    await clock.sleep(-5)
    with anyio.move_on_after(0.01):
        await clock.sleep(math.inf)
        pytest.fail("the sleep ended")


async def test_a_request_delays_the_move_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sleep of a day moves the clock only after 0.25 real seconds without a request."""
    seconds = [100.0]
    monkeypatch.setattr(client_clock, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    sandbox = Sandbox(start=START)
    end = timedelta(days=1)
    sandbox.clock._ends.append(end)
    seconds[0] = 100.2
    await Caller(sandbox).log_in()
    for seconds[0] in (100.3, 100.44):
        assert sandbox.clock._step(end, began=100.0, quiet=0.25) is not None
    assert sandbox.now() == START
    seconds[0] = 100.46
    assert sandbox.clock._step(end, began=100.0, quiet=0.25) is None
    assert sandbox.now() == START + timedelta(days=1)
