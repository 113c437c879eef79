# mypy: disallow-any-expr
"""The sandbox and its fault proxy: the types of their attributes, methods and parameters."""

import ssl
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import assert_type

from smsapi_async import AsyncSmsClient
from smsapi_async.sandbox import (
    AcceptedMessage,
    AcceptedSegment,
    Account,
    Answer,
    Arrival,
    Dialect,
    FaultsPortError,
    Feed,
    FeedEvent,
    Gate,
    Incoming,
    Journey,
    JourneyRule,
    PushAttempt,
    Sandbox,
    SandboxClock,
    default_journey,
    run_sandbox,
)
from smsapi_async.sandbox.faults import (
    Fault,
    FaultPlan,
    FaultPlanError,
    FaultProxy,
    HistoryEntry,
    Rule,
    run_fault_proxy,
)


async def serving(plan: FaultPlan, moment: datetime) -> None:
    async with run_sandbox(Sandbox(), port=8099, host="127.0.0.1", faults=plan) as sandbox:
        assert_type(sandbox, Sandbox)
        assert_type(sandbox.base_url, str)
        assert_type(sandbox.proxy, FaultProxy | None)
    with run_sandbox(start=moment, faults=Path("plan.toml")) as sandbox:
        assert_type(sandbox, Sandbox)
        assert_type(sandbox.last_message_to("79031234567").code, str | None)
        assert_type(sandbox.code_to("79031234567"), str)
    try:
        run_sandbox(port=8099, faults_port=8100, keep=1000)
    except FaultsPortError as error:
        assert_type(error, FaultsPortError)
    run_sandbox(faults=5)  # type: ignore[arg-type]


def construction(moment: datetime, rule: JourneyRule) -> None:
    Sandbox("login", "password", 100, "1.50", start=moment, journey=rule, latency=0.1)
    Sandbox(balance=Decimal(5), speed=20, expired_session_code=3, id_style="alphanumeric")
    Sandbox(expired_session_code=5)  # type: ignore[arg-type]
    Sandbox(id_style="letters")  # type: ignore[arg-type]
    Sandbox(price=1.5)  # type: ignore[arg-type]
    Sandbox(dialect="latest", source_addresses=["ACME"])
    Sandbox(dialect=Dialect.LATEST.with_(version_2=False), source_addresses=None)
    Sandbox(dialect="newest")  # type: ignore[arg-type]


def dialects() -> None:
    assert_type(Dialect.CONTRACT, Dialect)
    assert_type(Dialect.LATEST.gateway_time_zone, tzinfo)
    Dialect(gateway_time_zone=timedelta(hours=3), id_style="number", most_recipients=None)
    Dialect(id_style="letters")  # type: ignore[arg-type]
    Dialect(version=2)  # type: ignore[call-arg]


def control(sandbox: Sandbox, moment: datetime) -> None:
    assert_type(sandbox.login, str)
    assert_type(sandbox.password, str)
    assert_type(sandbox.now(), datetime)
    assert_type(sandbox.balance, Decimal)
    assert_type(sandbox.price, Decimal)
    assert_type(sandbox.latency, float)
    assert_type(sandbox.dialect, Dialect)
    assert_type(sandbox.source_addresses, tuple[str, ...] | None)
    sandbox.source_addresses = ["ACME"]
    sandbox.balance = "5.00"
    sandbox.price = 2
    sandbox.advance(hours=2)
    sandbox.advance(timedelta(hours=2))
    assert_type(
        sandbox.receive("79031234567", text="text", destination_address="79160000000", at=moment), int | str
    )
    sandbox.receive(source_address="79031234567", text="text")
    sandbox.receive("79031234567", "text")  # type: ignore[call-arg]
    sandbox.record_history(at=moment, states=[0, 46])
    sandbox.record_history(at=moment, states={0: 5})
    sandbox.expire_sessions()
    sandbox.answer_next("Sms/Send", 500, "<html>", {"Content-Type": "text/html"}, 2, accept=True)
    sandbox.refuse_next(None, 5)
    assert_type(sandbox.release_held("Sms/Send"), int)
    assert_type(sandbox.drop_prepared(), int)
    with sandbox.hold("Sms/Send") as gate:
        assert_type(gate, Gate)
        assert_type(gate.caught, int)
        assert_type(gate.held, int)
        assert_type(gate.is_released, bool)
        gate.release()


async def clocks(sandbox: Sandbox) -> None:
    sandbox.pause()
    sandbox.run()
    sandbox.run(speed=20)
    assert_type(sandbox.speed, float)
    sandbox.speed = 2
    assert_type(sandbox.running, bool)
    assert_type(sandbox.clock, SandboxClock)
    assert_type(sandbox.clock.now(), datetime)
    assert_type(sandbox.clock.monotonic(), float)
    await sandbox.clock.sleep(1)
    AsyncSmsClient("login", "password", clock=sandbox.clock)


async def changes(sandbox: Sandbox) -> None:
    assert_type(sandbox.feed, Feed)
    assert_type(sandbox.feed.last, int)
    assert_type(await sandbox.feed.wait(0), bool)
    assert_type(sandbox.feed.since(0), list[FeedEvent] | None)
    message = await sandbox.accepted(to="79031234567", text="code", after=1, timeout=None)
    assert_type(message, AcceptedMessage)
    assert_type(sandbox.segments(message), list[AcceptedSegment])
    sandbox.set_state(message, 46)
    sandbox.set_state(message.number, 46)
    sandbox.set_state(message.segment_ids[0], -98)
    assert_type(sandbox.gates, list[Gate])
    assert_type(sandbox.open_sessions, int)
    assert_type(sandbox.faults_url, str | None)
    sandbox.latency = 0.5
    sandbox.clear()
    sandbox.reset()


async def waiting(gate: Gate, proxy: FaultProxy) -> None:
    await gate.arrived()
    await gate.arrived(count=2)
    proxy.start()
    proxy.close()


def account(sandbox: Sandbox) -> None:
    assert_type(sandbox.account, Account)
    assert_type(sandbox.account.arrivals, list[Arrival])
    assert_type(sandbox.account.messages, list[AcceptedMessage])
    assert_type(sandbox.account.incoming, list[Incoming])
    assert_type(sandbox.account.sent_to("79031234567"), list[AcceptedMessage])
    assert_type(sandbox.account.find(to="79031234567", text="code", after=1), list[AcceptedMessage])
    assert_type(sandbox.account.message(1), AcceptedMessage | None)
    assert_type(sandbox.account.message("579700854169272358"), AcceptedMessage | None)
    assert_type(sandbox.account.arrival(0), Arrival | None)
    assert_type(sandbox.account.count("Sms/Send", 200), int)
    assert_type(sandbox.account.logins, int)
    assert_type(sandbox.account.sessions, int)


def arrivals(arrival: Arrival) -> None:
    assert_type(arrival.index, int)
    assert_type(arrival.method, str)
    assert_type(arrival.target, str)
    assert_type(arrival.raw_headers, tuple[tuple[bytes, bytes], ...])
    assert_type(arrival.headers, Mapping[str, str])
    assert_type(arrival.body, bytes)
    assert_type(arrival.resource, str | None)
    assert_type(arrival.at, datetime)
    assert_type(arrival.status, int | None)
    assert_type(arrival.code, int | None)
    assert_type(arrival.parameters.text("Data"), str | None)
    assert_type(arrival.given, list[tuple[str, str]])
    assert_type(arrival.answer, Answer | None)
    assert_type(arrival.fault, Fault | None)


def pushes(attempt: PushAttempt) -> None:
    assert_type(attempt.message_id, int | str)
    assert_type(attempt.attempt, int)
    assert_type(attempt.at, datetime)
    assert_type(attempt.status, int | None)
    assert_type(attempt.error, str | None)
    assert_type(attempt.reply, str | None)


def accepted(message: AcceptedMessage) -> None:
    for text in (message.destination_address, message.source_address, message.text, message.resource):
        assert_type(text, str)
    assert_type(message.segment_ids, tuple[str, ...])
    assert_type(message.send_date, datetime | None)
    assert_type(message.validity, int | None)
    assert_type(message.accepted_at, datetime)
    assert_type(message.price, Decimal)
    assert_type(message.arrival, int)
    assert_type(message.number, int)


def journeys(message: AcceptedMessage) -> None:
    def stays_queued(message: AcceptedMessage, segment_index: int) -> Journey:
        return [(timedelta(seconds=segment_index), -2)]

    def without_an_index(message: AcceptedMessage) -> Journey:
        return []

    assert_type(default_journey(message, 0), Journey)
    Sandbox(journey=stays_queued)
    Sandbox(journey=default_journey)
    Sandbox(journey=without_an_index)  # type: ignore[arg-type]


async def faults(plan: FaultPlan, tls: ssl.SSLContext) -> None:
    async with run_fault_proxy("127.0.0.1", 8099, plan, tls=tls, byte_interval=0.1) as proxy:
        assert_type(proxy, FaultProxy)
        assert_type(proxy.base_url, str)
        assert_type(proxy.port, int)
        assert_type(proxy.plan, FaultPlan)
        assert_type(proxy.history, list[HistoryEntry])
        proxy.plan = FaultPlan()
        proxy.refuse_connections(True)
        for number, resource, fault, passed_on in proxy.history:
            assert_type(number, int)
            assert_type(resource, str)
            assert_type(fault, Fault)
            assert_type(passed_on, bool)
    with FaultProxy("127.0.0.1", 8099) as proxy:
        assert_type(proxy, FaultProxy)


def plans(path: Path) -> None:
    assert_type(FaultPlan.script([Fault.RESET_AFTER_PASS], resource="Sms/Send"), FaultPlan)
    assert_type(FaultPlan.random(seed=1, weights={Fault.PASS: 0.5}), FaultPlan)
    FaultPlan(rules=(Rule(fault=Fault.REFUSE, times=1, probability=0.5, after=2),))
    try:
        plan = FaultPlan.load(path)
    except FaultPlanError as error:
        assert_type(error, FaultPlanError)
    else:
        assert_type(plan, FaultPlan)
        plan.dump("plan.json")
    assert_type(Fault.PASS.reaches_gateway, bool)
    assert_type(Fault.PASS.precedes_reading, bool)
    assert_type(Fault("pass"), Fault)
    Rule(Fault.REFUSE)  # type: ignore[call-arg]
    FaultPlan.script(["pass"])  # type: ignore[list-item]
