"""Tests of the events: which events a client emits, and when."""

import contextvars
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import pytest

from smsapi_async import (
    AsyncSmsClient,
    BatchHalted,
    InvalidCredentials,
    MemorySessionStore,
    Message,
    NotEnoughCredits,
    OutcomeUnknown,
    RetryPolicy,
    SmsApiError,
    TransportFailed,
)
from smsapi_async.ledger import Ledger, LedgerError, Summary
from smsapi_async.observers import (
    BatchProgress,
    Event,
    InboxRecovered,
    InboxRoundFailed,
    LedgerClaim,
    LoginFailed,
    LoginMade,
    RequestBegun,
    RequestEnded,
    RequestNotMade,
)
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, run_fault_proxy
from tests.client.tools import client_for, port_of, until
from tests.ledger.tools import ACCOUNT, PLACES
from tests.observers.tools import Collected
from tests.postgres.server import shared_server
from tests.postgres.worker.tools import fill

pytestmark = pytest.mark.anyio
NUMBER = "79031234567"
LONG_TEXT = "Завтра с 9 до 12 не будет воды. " * 5  # three segments


@pytest.fixture
async def sandbox(anyio_backend: str) -> AsyncIterator[Sandbox]:
    """Serve a sandbox on a socket during the test."""
    async with run_sandbox() as running:
        yield running


async def test_a_send(sandbox: Sandbox) -> None:
    """A send with a login has three events, with the resource, the segments, the times and the status."""
    seen = Collected()
    async with client_for(sandbox, observers=[seen]) as sms:
        receipt = await sms.send(NUMBER, LONG_TEXT)
    assert [type(event) for event in seen.events] == [LoginMade, RequestBegun, RequestEnded]
    ((begun, ended),) = seen.pairs()
    assert (begun.resource, begun.method, begun.attempt) == ("Sms/Send", "POST", 1)
    assert (begun.server_address, begun.server_port) == ("127.0.0.1", port_of(sandbox))
    assert (begun.recipients, begun.segments) == (1, 3)
    assert (ended.segments, ended.outcome, ended.http_status) == (len(receipt.segment_ids), "accepted", 200)
    assert (ended.code, ended.error_type, ended.failure) == (None, None, None)
    (login,) = seen.of(LoginMade)
    # The send waited for the login.
    assert 0 < login.elapsed <= begun.waited
    assert ended.elapsed > 0


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("€" * 80, 1),
        ("a" * 152 + "€" + "a" * 152 + "€", 3),
        ("я" * 70, 1),
        ("я" * 71, 2),
        ("я" * 66 + "😀" * 2 + "я" * 66, 3),
    ],
)
async def test_the_segments_of_a_text(sandbox: Sandbox, text: str, segments: int) -> None:
    """The number of segments before the send is the number that the gateway bills."""
    seen = Collected()
    async with client_for(sandbox, observers=[seen]) as sms:
        receipt = await sms.send(NUMBER, text)
    assert len(receipt.segment_ids) == segments
    assert [(begun.segments, ended.segments) for begun, ended in seen.pairs()] == [(segments, segments)]


async def test_a_bulk_and_reads(sandbox: Sandbox) -> None:
    """The events of a bulk count its recipients. The events of a read have the outcome `succeeded`."""
    seen = Collected()
    async with client_for(sandbox, observers=[seen]) as sms:
        (receipt, _) = await sms.send_bulk([NUMBER, "79031234568"], LONG_TEXT)
        await sms.balance()
        await sms.state(receipt.segment_ids[0])
        await sms.incoming()
    assert [
        (ended.resource, ended.method, ended.recipients, ended.segments, ended.outcome)
        for _, ended in seen.pairs()
    ] == [
        ("Sms/SendBulk", "POST", 2, 6, "accepted"),
        ("User/Balance", "GET", 0, 0, "succeeded"),
        ("Sms/State", "GET", 0, 0, "succeeded"),
        ("Sms/In", "GET", 0, 0, "succeeded"),
    ]


async def test_a_refusal(sandbox: Sandbox) -> None:
    """A refused send has the outcome `rejected`, with the code, the status and the class of the error."""
    seen = Collected()
    async with client_for(sandbox, observers=[seen]) as sms:
        sandbox.balance = 0
        with pytest.raises(NotEnoughCredits) as caught:
            await sms.send(NUMBER, "hello")
    ((_, ended),) = seen.pairs()
    assert (ended.outcome, ended.code, ended.http_status) == ("rejected", 5, caught.value.http_status)
    assert ended.error_type == "NotEnoughCredits"


async def test_a_refused_session(sandbox: Sandbox) -> None:
    """If the gateway refuses the session, the events show both requests and the new login."""
    seen = Collected()
    async with client_for(sandbox, observers=[seen]) as sms:
        await sms.balance()
        sandbox.advance(timedelta(hours=3))
        await sms.send(NUMBER, "hello")
        assert sms.stats.logins == 2
    assert seen.ended() == [(1, "rejected"), (2, "accepted")]
    assert len(seen.of(LoginMade)) == 2


@pytest.mark.parametrize("call", ["send", "balance"])
async def test_a_refused_login(sandbox: Sandbox, call: str) -> None:
    """A refused login has an event. The call then has one event that says that no request was made."""
    seen = Collected()
    async with client_for(sandbox, observers=[seen], password="wrong") as sms:
        for _ in range(2):
            with pytest.raises(InvalidCredentials):
                await (sms.send(NUMBER, LONG_TEXT) if call == "send" else sms.balance())
        stats = sms.stats
    assert [type(event) for event in seen.events] == [LoginFailed, RequestNotMade, RequestNotMade]
    (login,) = seen.of(LoginFailed)
    assert (login.outcome, login.code, login.attempts) == ("rejected", 4, 1)
    assert (login.error_type, login.http_status) == ("InvalidCredentials", 401)
    assert {(each.outcome, each.code, each.error_type) for each in seen.of(RequestNotMade)} == {
        ("rejected", 4, "InvalidCredentials")
    }
    assert {each.segments for each in seen.of(RequestNotMade)} == {3 if call == "send" else 0}
    assert (stats.logins, stats.logins_failed, stats.by_outcome) == (0, 1, {"rejected": 2})


async def test_a_login_without_a_response(sandbox: Sandbox) -> None:
    """If a login gets no response, its event counts the attempts, and the send is `not_sent`."""
    seen = Collected()
    plan = FaultPlan.script([Fault.CLOSE_AFTER_READ] * 2, resource="user/sessionid")
    async with (
        run_fault_proxy("127.0.0.1", port_of(sandbox), plan) as proxy,
        client_for(
            sandbox,
            base_url=proxy.base_url,
            observers=[seen],
            retry=RetryPolicy(attempts=2, initial=0.001),
        ) as sms,
    ):
        with pytest.raises(Exception, match="the login failed"):
            await sms.send(NUMBER, "hello")
    (login,) = seen.of(LoginFailed)
    assert (login.outcome, login.attempts, login.error_type) == ("failed", 2, "TransportFailed")
    assert [each.outcome for each in seen.of(RequestNotMade)] == ["not_sent"]


async def test_a_session_of_the_store_is_no_login(sandbox: Sandbox) -> None:
    """A client that takes its session from a store has no event of a login."""
    store, seen = MemorySessionStore(), Collected()
    for _ in range(2):
        async with client_for(sandbox, observers=[seen], session_store=store) as sms:
            await sms.balance()
    assert len(seen.of(LoginMade)) == 1


async def test_waiting_and_in_flight(sandbox: Sandbox) -> None:
    """`stats` counts the request in flight and the calls that wait. The second request tells how long."""
    seen = Collected()
    async with client_for(sandbox, observers=[seen], concurrency=1) as sms:
        await sms.balance()
        with sandbox.hold("Sms/Send") as gate:
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(sms.send, NUMBER, "hello")
                await gate.arrived()
                since, during = perf_counter(), sms.stats
                assert (during.in_flight, during.waiting) == (1, 2)
                assert len(seen.of(RequestBegun, resource="Sms/Send")) == 1
                held = perf_counter() - since
                gate.release()
        stats = sms.stats
    assert (stats.in_flight, stats.waiting) == (0, 0)
    assert stats.by_outcome == {"accepted": 3, "succeeded": 1}
    assert stats.by_resource == {"Sms/Send": {"accepted": 3}, "User/Balance": {"succeeded": 1}}
    first, *others = seen.of(RequestEnded, resource="Sms/Send")
    assert first.elapsed >= held
    assert all(other.waited >= held for other in others)


async def test_stats_without_observers(sandbox: Sandbox) -> None:
    """A client without observers counts the same as a client with observers."""
    async with client_for(sandbox) as sms:
        before = sms.stats
        assert (before.in_flight, before.waiting, before.logins, before.by_outcome) == (0, 0, 0, {})
        await sms.send(NUMBER, "hello")
        assert (sms.stats.logins, sms.stats.by_outcome) == (1, {"accepted": 1})
        # The earlier snapshot has not changed.
        assert (before.logins, before.by_outcome) == (0, {})


async def test_a_send_that_never_began(sandbox: Sandbox) -> None:
    """A send whose time has passed in the line has an event, and no request."""
    seen = Collected()
    async with client_for(sandbox, observers=[seen], concurrency=1) as sms:
        await sms.balance()
        with sandbox.hold("Sms/Send") as gate:
            async with anyio.create_task_group() as group:
                group.start_soon(sms.send, NUMBER, "hello")
                await gate.arrived()
                with pytest.raises(Exception, match="timeout"):
                    await sms.send(NUMBER, "hello", timeout=0.01)
                gate.release()
    (event,) = seen.of(RequestNotMade)
    assert (event.resource, event.outcome, event.error_type) == ("Sms/Send", "not_sent", "NotSent")
    assert event.waited >= 0.01
    assert seen.ended() == [(1, "accepted")]


async def test_the_progress_of_a_batch(sandbox: Sandbox) -> None:
    """A batch has events with the counts so far, and a last event with all counts."""
    seen = Collected()
    messages = [Message(f"7903123456{index}", LONG_TEXT) for index in range(4)]
    wrong = Message("7", "hello")
    async with (
        client_for(sandbox, observers=[seen]) as sms,
        sms.send_many([*messages, wrong], recipients_per_request=2) as outcomes,
    ):
        assert len([outcome async for outcome in outcomes]) == 5
    events = seen.of(BatchProgress)
    assert len({event.batch for event in events}) == 1
    assert [event.has_ended for event in events] == [False] * (len(events) - 1) + [True]
    last = events[-1]
    assert (last.accepted, last.rejected, last.unknown, last.pending) == (4, 1, 0, 0)
    assert (last.segments, last.recorded, last.error_type) == (12, 0, None)
    assert all(
        event.accepted + event.rejected + event.unknown + event.pending <= 5 and event.pending >= 0
        for event in events
    )


async def test_many_requests_have_few_events(sandbox: Sandbox) -> None:
    """A batch with many requests has at most 20 events a second, beside its first and its last event."""
    seen = Collected()
    messages = [Message(f"79031234{number:03}", f"text {number}") for number in range(200)]
    async with (
        client_for(sandbox, observers=[seen]) as sms,
        sms.send_many(messages) as outcomes,
    ):
        assert len([outcome async for outcome in outcomes]) == 200
    *_, last = events = seen.of(BatchProgress)
    assert (last.accepted, last.has_ended) == (200, True)
    assert len(events) <= 2 + 20 * last.elapsed


async def test_a_halted_batch(sandbox: Sandbox) -> None:
    """The last event of a halted batch names the class of the error, and counts the pending messages."""
    seen = Collected()
    sandbox.balance = 0
    async with (
        client_for(sandbox, observers=[seen]) as sms,
        sms.send_many([Message(NUMBER, "hello")]) as outcomes,
    ):
        with pytest.raises(BatchHalted):
            [outcome async for outcome in outcomes]
    (last,) = seen.of(BatchProgress, has_ended=True)
    assert (last.error_type, last.pending, last.accepted) == ("NotEnoughCredits", 1, 0)


@pytest.mark.parametrize("engine", PLACES)
async def test_claims_of_a_ledger(sandbox: Sandbox, tmp_path: Any, engine: str) -> None:
    """A batch and a send with a ledger have an event for each claim. Known messages count as recorded."""
    seen, place = Collected(), PLACES[engine](tmp_path)
    messages = [Message(f"7903123456{index}", "hello", key=f"key {index}") for index in range(3)]
    async with client_for(sandbox, observers=[seen]) as sms, place() as ledger:
        await sms.send(NUMBER, "hello", key="one", ledger=ledger)
        for _ in range(2):
            async with sms.send_many(messages, ledger=ledger) as outcomes:
                assert len([outcome async for outcome in outcomes]) == 3
    assert [
        (claim.ledger, claim.messages, claim.claimed, claim.recorded, claim.in_flight, claim.error_type)
        for claim in seen.of(LedgerClaim)
    ] == [
        (engine, 1, 1, 0, 0, None),
        (engine, 3, 3, 0, 0, None),
        (engine, 3, 0, 3, 0, None),
    ]
    last = seen.of(BatchProgress, has_ended=True)[-1]
    assert (last.accepted, last.recorded, last.segments) == (3, 3, 0)


async def test_a_claim_that_fails(sandbox: Sandbox, tmp_path: Any) -> None:
    """A claim that the ledger refuses has an event with the class of the error."""
    seen, ledger = Collected(), Ledger.sqlite(tmp_path / "run.db")
    async with client_for(sandbox, observers=[seen]) as sms:
        with pytest.raises(LedgerError):
            await sms.send(NUMBER, "hello", key="one", ledger=ledger)
    (claim,) = seen.of(LedgerClaim)
    assert (claim.messages, claim.claimed, claim.recorded) == (1, 0, 0)
    assert claim.error_type == "LedgerError"


async def test_a_claim_of_another_sender(sandbox: Sandbox, tmp_path: Any) -> None:
    """The second of two clicks has a claim that says that another sender has claimed the message."""
    seen = Collected()
    async with (
        client_for(sandbox, observers=[seen]) as sms,
        Ledger.sqlite(tmp_path / "run.db") as ledger,
    ):
        with sandbox.hold("Sms/Send") as gate:
            async with anyio.create_task_group() as group:
                for _ in range(2):
                    group.start_soon(lambda: sms.send(NUMBER, "hello", key="one", ledger=ledger))
                await gate.arrived()
                await until(lambda: seen.of(LedgerClaim, in_flight=1))
                gate.release()
    claims = [(claim.claimed, claim.in_flight, claim.recorded) for claim in seen.of(LedgerClaim)]
    assert sorted(claims) == [(0, 0, 1), (0, 1, 0), (1, 0, 0)]
    assert len(sandbox.account.messages) == 1


async def test_the_inbox_fails_and_recovers(sandbox: Sandbox) -> None:
    """A failed round of the inbox has an event, and the next good round has one that counts the failures."""
    seen = Collected()
    plan = FaultPlan.script([Fault.CLOSE_AFTER_READ] * 2, resource="Sms/In")
    async with (
        run_fault_proxy("127.0.0.1", port_of(sandbox), plan) as proxy,
        client_for(sandbox, base_url=proxy.base_url, observers=[seen], retry=RetryPolicy(attempts=1)) as sms,
        sms.watch_incoming(every=0.001, since=sandbox.now() - timedelta(hours=1)) as messages,
    ):
        sandbox.receive(NUMBER, text="hello")
        await anext(messages)
    assert [(each.failures, each.retry_in, each.error_type) for each in seen.of(InboxRoundFailed)] == [
        (1, 0.001, "TransportFailed"),
        (2, 0.001, "TransportFailed"),
    ]
    (recovered,) = seen.of(InboxRecovered)
    assert recovered.failures == 2
    assert recovered.elapsed > 0


async def test_the_inbox_ends(sandbox: Sandbox) -> None:
    """If the login is wrong, the event of the failed round says that no other round follows."""
    seen = Collected()
    async with (
        client_for(sandbox, observers=[seen], password="wrong") as sms,
        sms.watch_incoming() as messages,
    ):
        with pytest.raises(InvalidCredentials):
            await anext(messages)
    (failed,) = seen.of(InboxRoundFailed)
    assert (failed.retry_in, failed.code, failed.http_status) == (None, 4, 401)


FAULTS = [
    (Fault.CLOSE_AFTER_READ, "unknown", None),
    (Fault.RESET_AFTER_PASS, "unknown", None),
    (Fault.GARBAGE_AFTER_PASS, "unknown", None),
    (Fault.TRUNCATE_AFTER_PASS, "unknown", None),
    (Fault.ERROR_500, "unknown", 500),
    (Fault.ERROR_502_AFTER_PASS, "unknown", 502),
    (Fault.REDIRECT_307, "unknown", 307),
    (Fault.TOO_MANY_REQUESTS_429, "rejected", 429),
    (Fault.SLOW_BYTES, "accepted", 200),
]


@pytest.mark.parametrize(("fault", "outcome", "status"), FAULTS)
async def test_the_outcome_after_a_fault(
    sandbox: Sandbox, fault: Fault, outcome: str, status: int | None
) -> None:
    """The outcome in the event is what the send raises, and agrees with the messages of the gateway."""
    seen = Collected()
    plan = FaultPlan.script([fault], resource="Sms/Send")
    async with (
        run_fault_proxy("127.0.0.1", port_of(sandbox), plan, byte_interval=0.0001) as proxy,
        client_for(sandbox, base_url=proxy.base_url, observers=[seen]) as sms,
    ):
        name = None
        try:
            await sms.send(NUMBER, "hello")
        except SmsApiError as error:
            name = type(error).__name__
        assert sms.stats.by_outcome == {outcome: 1}
    ((_, ended),) = seen.pairs()
    assert (ended.outcome, ended.http_status, ended.error_type) == (outcome, status, name)
    assert (ended.failure is None) is (status is not None)
    if outcome == "rejected":
        assert not sandbox.account.messages


async def test_requests_that_were_not_written(sandbox: Sandbox) -> None:
    """While the gateway refuses connections, each attempt has the outcome `not_sent` and its number."""
    seen = Collected()
    async with (
        run_fault_proxy("127.0.0.1", port_of(sandbox), FaultPlan.script([])) as proxy,
        client_for(
            sandbox,
            base_url=proxy.base_url,
            observers=[seen],
            session_store=(store := MemorySessionStore()),
            retry=RetryPolicy(attempts=3, initial=0.001, maximum=0.001),
        ) as sms,
    ):
        async with client_for(sandbox, session_store=store) as other:
            await other.balance()
        proxy.refuse_connections(True)
        with pytest.raises(Exception, match="ConnectError"):
            await sms.send(NUMBER, "hello")
        # The call counts once, although it made three requests.
        assert sms.stats.by_outcome == {"not_sent": 1}
    assert seen.ended() == [(1, "not_sent"), (2, "not_sent"), (3, "not_sent")]
    assert {str(each.failure).split(".")[1] for each in seen.of(RequestEnded)} == {"ConnectError"}
    assert [type(event) for event in seen.events] == [RequestBegun, RequestEnded] * 3


@pytest.mark.parametrize("call", ["send", "balance"])
async def test_a_request_that_takes_too_long(sandbox: Sandbox, call: str) -> None:
    """After the timeout of a call, the event has the outcome and the class of the error of the call."""
    seen, resource = Collected(), "Sms/Send" if call == "send" else "User/Balance"
    async with client_for(sandbox, observers=[seen]) as sms:
        await sms.incoming()
        with sandbox.hold(resource) as gate:
            with pytest.raises((OutcomeUnknown, TransportFailed)) as caught:
                await (
                    sms.send(NUMBER, "hello", timeout=0.05) if call == "send" else sms.balance(timeout=0.05)
                )
            gate.release()
    (ended,) = seen.of(RequestEnded, resource=resource)
    assert ended.outcome == ("unknown" if call == "send" else "failed")
    assert ended.error_type == type(caught.value).__name__


_caller: contextvars.ContextVar[str] = contextvars.ContextVar("_caller", default="nobody")


async def test_context_variables(sandbox: Sandbox) -> None:
    """An observer sees the context variables of the code that made the call or entered the batch."""
    found: dict[str, set[str]] = {}

    def observer(event: Event) -> None:
        found.setdefault(_caller.get(), set()).add(type(event).__name__)

    async def send(name: str) -> None:
        _caller.set(name)
        await sms.send(NUMBER, "hello")

    async def send_many() -> None:
        _caller.set("batch")
        messages = [Message(f"7903123456{index}", f"hello {index}") for index in range(5)]
        async with sms.send_many(messages) as outcomes:
            # The tasks of the batch have the context of the beginning of the block.
            _caller.set("later")
            assert len([outcome async for outcome in outcomes]) == 5
            _caller.set("batch")

    async with client_for(sandbox, observers=[observer]) as sms:
        _caller.set("login")
        await sms.balance()
        async with anyio.create_task_group() as group:
            group.start_soon(send, "first")
            group.start_soon(send, "second")
            group.start_soon(send_many)
    request = {"RequestBegun", "RequestEnded"}
    assert found == {
        "login": {"LoginMade", *request},
        "first": request,
        "second": request,
        "batch": {"BatchProgress", *request},
    }


async def test_the_events_of_send_pending(anyio_backend: str, sandbox: Sandbox, tmp_path: Any) -> None:
    """A worker has an event for each claim, and the progress of its outcomes."""
    seen = Collected()
    messages = [Message(f"7903123456{index}", "hello", key=f"key {index}") for index in range(3)]
    async with (
        client_for(sandbox, observers=[seen]) as sms,
        PLACES["postgres"](tmp_path)() as ledger,
    ):
        await fill(shared_server(), (tmp_path / ACCOUNT).read_text(), ledger, messages)
        summary = await sms.send_pending(ledger, once=True)
    assert summary.accepted == 3
    assert sum(claim.claimed for claim in seen.of(LedgerClaim, ledger="postgres")) == 3
    (last,) = seen.of(BatchProgress, has_ended=True)
    assert (last.accepted, last.segments, last.pending, last.error_type) == (3, 3, 0, None)


async def test_a_worker_that_breaks_has_an_end(anyio_backend: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """If the program's `on_poll` raises an exception, the last event of the worker names its class."""
    seen = Collected()

    def on_poll(summary: Summary) -> None:
        raise ZeroDivisionError

    async with (
        client_for(sandbox, observers=[seen]) as sms,
        PLACES["postgres"](tmp_path)() as ledger,
    ):
        with pytest.raises(ZeroDivisionError):
            await sms.send_pending(ledger, once=True, on_poll=on_poll)
    assert [(end.has_ended, end.error_type) for end in seen.of(BatchProgress)] == [
        (True, "ZeroDivisionError")
    ]


async def test_version_2_has_no_logins(sandbox: Sandbox) -> None:
    """With `api_version=2` there is no login, so a wrong password is a rejected request."""
    seen = Collected()
    async with (
        run_sandbox(dialect="latest") as latest,
        AsyncSmsClient(
            latest.login,
            "wrong",
            base_url=latest.base_url,
            api_version=2,
            source_address="ACME",
            observers=[seen],
        ) as sms,
    ):
        with pytest.raises(InvalidCredentials):
            await sms.balance()
    assert [type(event) for event in seen.events] == [RequestBegun, RequestEnded]
    assert [each.outcome for each in seen.of(RequestEnded)] == ["rejected"]
