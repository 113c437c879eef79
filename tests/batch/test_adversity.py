"""Tests of conditions in which an earlier version of a batch lost an outcome or sent a message twice."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import anyio.lowlevel
import httpx
import pytest

from smsapi_async import (
    Accepted,
    BatchHalted,
    ClientClosed,
    MemorySessionStore,
    Message,
    NotSent,
    Outcome,
    OutcomeUnknown,
    Rejected,
    Session,
    Unknown,
)
from smsapi_async.ledger import LedgerInUse
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import FaultPlan
from tests.batch.test_send_many import messages, number, outcomes_of
from tests.client.tools import NUMBER, TEXT, ManualClock, client_for
from tests.ledger.tools import Place

pytestmark = pytest.mark.anyio


def own_texts(count: int) -> list[Message]:
    """Return `count` messages with different texts and different keys."""
    return [Message(number(index), f"text {index}", key=str(index)) for index in range(count)]


async def test_a_second_way_that_does_not_report_proves_nothing(sandbox: Sandbox) -> None:
    """If the caller's transport falls back to a second connection, the outcome of a failed send is unknown.

    The outcome is unknown because the transport may have sent the request over the second connection.
    """

    class FailsOver(httpx.AsyncBaseTransport):
        def __init__(self) -> None:
            self.first = httpx.AsyncHTTPTransport()
            self.second = httpx.ASGITransport(sandbox.app)

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "GET":
                return await self.second.handle_async_request(request)
            try:
                return await self.first.handle_async_request(request)
            except httpx.ConnectError:
                await self.second.handle_async_request(request)
                raise httpx.ReadError("the answer was lost", request=request) from None

        async def aclose(self) -> None:
            await self.first.aclose()

    async with client_for(sandbox, base_url="http://127.0.0.1:9/rest", transport=FailsOver()) as sms:
        with pytest.raises(OutcomeUnknown):
            await sms.send(NUMBER, TEXT)
    assert len(sandbox.account.messages) == 1


@pytest.mark.parametrize("left_after", [1, 3])
async def test_no_outcome_is_dropped_when_the_loop_is_left(sandbox: Sandbox, left_after: int) -> None:
    """If the caller leaves the loop over the outcomes early, no outcome is lost.

    Each accepted message has an outcome that the caller has received, or an outcome in `unread`.
    """
    given: list[Outcome] = []
    async with client_for(sandbox, concurrency=4) as sms, sms.send_many(own_texts(40)) as outcomes:
        async for outcome in outcomes:
            given.append(outcome)
            # During this request, the outcomes of other messages of the batch arrive.
            await sms.balance()
            if len(given) == left_after:
                break
    known = [outcome.key or outcome.message.key for outcome in [*given, *outcomes.unread]]
    assert len(known) == len(set(known)) == len(sandbox.account.messages)
    assert len(known) + outcomes.pending <= 40


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_no_outcome_is_dropped_by_asyncios_own_cancellation(anyio_backend: str) -> None:
    """If `asyncio.Task.cancel` cancels the task at any time, no outcome is lost.

    Each accepted message has an outcome that the caller has received, or an outcome in `unread`.
    """
    for moment in range(1, 25):
        async with run_sandbox() as sandbox, client_for(sandbox, concurrency=4) as sms:
            await sms.balance()
            given: list[Outcome] = []
            batch = sms.send_many(own_texts(12), grace=60)

            async def consume(batch: Any = batch, given: list[Outcome] = given) -> None:
                async with batch:
                    async for outcome in batch:
                        given.append(outcome)

            task = asyncio.ensure_future(consume())
            while len(sandbox.account.arrivals) < moment and not task.done():
                await anyio.lowlevel.checkpoint()
            task.cancel()
            await asyncio.wait([task])
            accepted = [outcome for outcome in [*given, *batch.unread] if isinstance(outcome, Accepted)]
            assert (
                len(accepted)
                == len({outcome.message for outcome in accepted})
                == len(sandbox.account.messages)
            )


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_worker_that_is_cancelled_itself_leaves_an_unknown(
    sandbox: Sandbox, anyio_backend: str
) -> None:
    """If `asyncio.Task.cancel` cancels all tasks of a batch, the messages in flight become unknown.

    A message in flight must not be pending, because the gateway may have accepted the message.
    """
    async with client_for(sandbox, concurrency=2) as sms:
        await sms.balance()
        batch = sms.send_many(own_texts(2), linger=0.001)

        async def consume() -> None:
            async with batch:
                async for _ in batch:
                    pass

        before = asyncio.all_tasks()
        with sandbox.hold("Sms/Send") as gate:
            main = asyncio.ensure_future(consume())
            await gate.arrived(2)
            for task in asyncio.all_tasks() - before:
                task.cancel()
            await asyncio.wait([main])
    assert [type(outcome) for outcome in batch.unread] == [Unknown, Unknown]
    assert batch.pending == 0


async def test_a_bad_message_is_given_also_when_the_batch_halts(sandbox: Sandbox) -> None:
    """A batch that halts (stops early) still returns the outcomes of the invalid messages it has read."""
    sandbox.refuse_next("Sms/Send", 5, times=100)
    batch = [own_texts(1)[0], *(Message("not a number", "x", key=f"bad {index}") for index in range(20))]
    given: list[Outcome] = []
    async with client_for(sandbox, concurrency=1) as sms:
        with pytest.raises(BatchHalted) as caught:
            async with sms.send_many(batch, lookahead=1, linger=0.001) as outcomes:
                async for outcome in outcomes:
                    given.append(outcome)
    assert len({outcome.message for outcome in given}) == len(given)
    assert {type(outcome) for outcome in given} <= {Rejected}
    assert outcomes.unread == []
    assert caught.value.pending == 21 - len(given)


async def test_a_client_closed_under_a_batch_leaves_nothing_in_doubt(sandbox: Sandbox, place: Place) -> None:
    """If the client is closed during a batch, the batch halts (stops early).

    After the halt, the messages that were not sent stay pending. Only the request that was in flight can have
    an unknown outcome.
    """
    sms = client_for(sandbox, concurrency=1)
    async with place() as ledger:
        with pytest.raises(BatchHalted) as caught:
            async with sms.send_many(own_texts(20), ledger=ledger) as outcomes:
                async for _ in outcomes:
                    await sms.aclose()
        summary = await ledger.summary()
    assert isinstance(caught.value.cause, ClientClosed | OutcomeUnknown | NotSent)
    assert summary.accepted <= len(sandbox.account.messages) <= summary.accepted + summary.unknown
    assert summary.unknown <= 1
    assert summary.sending == 0
    assert summary.pending > 0


async def test_a_refused_login_is_not_the_messages_fault(sandbox: Sandbox, place: Place) -> None:
    """If the gateway refuses the login, no message becomes rejected, and the next run sends all messages."""
    sandbox.refuse_next("user/sessionid", 2)
    async with place() as ledger:
        async with client_for(sandbox) as sms:
            with pytest.raises(BatchHalted) as caught:
                await outcomes_of(sms, messages(10), ledger=ledger)
        assert isinstance(caught.value.cause, NotSent)
        async with client_for(sandbox) as sms:
            assert Counter(map(type, await outcomes_of(sms, messages(10), ledger=ledger))) == {Accepted: 10}
    assert len(sandbox.account.messages) == 10


async def test_a_store_that_is_broken_costs_a_login_and_no_message(sandbox: Sandbox) -> None:
    """If the session store fails, the client logs in once and sends the messages."""

    class Broken:
        async def load(self) -> Session | None:
            raise ConnectionError("no Redis here")

        async def save(self, _: Session) -> None:
            raise ConnectionError("no Redis here")

    async with client_for(sandbox, session_store=Broken()) as sms:
        await sms.send(NUMBER, TEXT)
        await sms.send(NUMBER, TEXT)
    assert len(sandbox.account.messages) == 2
    assert sandbox.account.logins == 1


async def test_nothing_is_begun_after_the_block_was_left(sandbox: Sandbox) -> None:
    """If the block ends while the batch waits because of HTTP status 429, no further request starts."""
    sandbox.answer_next("Sms/Send", status=429, headers={"Retry-After": "200"})
    async with client_for(sandbox) as sms:
        await sms.balance()
        async with sms.send_many(messages(1), linger=0.001) as outcomes:
            while sandbox.account.count("Sms/Send", status=429) == 0:
                await sms.balance()
            await anyio.wait_all_tasks_blocked()
        assert outcomes.pending == 1
    assert sandbox.account.count("Sms/Send") == 1


async def test_an_endless_retry_after_halts(sandbox: Sandbox) -> None:
    """If ``Retry-After`` demands a wait of one hour, the batch halts (stops early) instead of waiting."""
    sandbox.answer_next("Sms/Send", status=429, headers={"Retry-After": "3600"})
    clock = ManualClock()
    async with client_for(sandbox, clock=clock) as sms:
        with pytest.raises(BatchHalted, match="too many requests"):
            await outcomes_of(sms, messages(1))
    assert clock.waits == []


async def test_the_reason_for_a_halt_survives_a_broken_ledger(
    sandbox: Sandbox, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the ledger fails after a batch has halted, `BatchHalted` still contains the reason of the halt."""

    async def broken(*_: object, **__: object) -> None:
        raise LedgerInUse("the file is locked")

    sandbox.refuse_next("Sms/Send", 5, times=100)
    async with client_for(sandbox) as sms, place() as ledger:
        monkeypatch.setattr(ledger, "record_pending", broken)
        with pytest.raises(BatchHalted, match="code 5"):
            await outcomes_of(sms, own_texts(3), ledger=ledger)


async def test_the_hour_that_comes_twice(sandbox: Sandbox) -> None:
    """Two messages with equal local send dates, but different UTC send dates, do not share a bulk request.

    At the end of summer time, one local hour occurs twice, so that two UTC times have the same local time.
    """
    first = datetime(2030, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    second = first.replace(fold=1)
    batch = [Message(number(1), "x", send_date=first), Message(number(2), "x", send_date=second)]
    async with client_for(sandbox) as sms:
        await outcomes_of(sms, batch)
    dates = {message.destination_address: message.send_date for message in sandbox.account.messages}
    assert (dates[number(2)] - dates[number(1)]).total_seconds() == 3600  # type: ignore[operator]


async def test_a_source_that_takes_a_halt_amiss(sandbox: Sandbox) -> None:
    """The caller gets `BatchHalted` even if the iterable of messages raises an error after the halt."""
    sandbox.refuse_next("Sms/Send", 5, times=100)

    def source() -> Iterator[Message]:
        yield from own_texts(5000)

    async def touchy() -> Any:
        try:
            for message in source():
                await anyio.lowlevel.checkpoint()
                yield message
        except BaseException:  # noqa: BLE001 - this iterable replaces every exception
            raise ValueError("how dare you") from None

    async with client_for(sandbox, concurrency=1) as sms:
        with pytest.raises(BatchHalted):
            await outcomes_of(sms, touchy(), lookahead=1)


async def test_an_error_code_beyond_all_bounds(sandbox: Sandbox, place: Place) -> None:
    """If the gateway returns an error code too large for the database, the outcome is recorded as unknown."""
    sandbox.answer_next("Sms/Send", status=500, body=b'{"Code": 99999999999999999999, "Desc": ""}')
    async with client_for(sandbox) as sms, place() as ledger:
        assert [type(outcome) for outcome in await outcomes_of(sms, messages(1), ledger=ledger)] == [Unknown]
        assert (await ledger.summary()).unknown == 1


class _WaitsBetweenAttempts(ManualClock):
    """A clock that sets the event `waiting` when a wait starts, and lets other tasks run during the wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = anyio.Event()

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.waiting.set()
        for _ in range(200):
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("is_own", [True, False])
async def test_a_batch_left_between_two_attempts_begins_no_other(anyio_backend: str, is_own: bool) -> None:
    """If the block ends between two attempts, no further attempt starts, and the message stays pending."""
    store, clock = MemorySessionStore(), _WaitsBetweenAttempts()
    async with run_sandbox(faults=FaultPlan.script([])) as sandbox, httpx.AsyncClient() as client:
        assert sandbox.proxy is not None
        async with client_for(sandbox, session_store=store, clock=clock) as sms:
            await sms.balance()
        sandbox.proxy.refuse_connections(True)
        options = {} if is_own else {"client": client}
        async with client_for(sandbox, session_store=store, clock=clock, **options) as sms:
            async with sms.send_many(own_texts(1)) as outcomes:
                await clock.waiting.wait()
                sandbox.proxy.refuse_connections(False)
            assert (outcomes.unread, outcomes.pending) == ([], 1)
        assert sandbox.account.count("Sms/Send") == 0
