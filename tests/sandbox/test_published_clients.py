"""The sandbox understands the requests of published clients, and the clients understand its responses.

The requests are recorded as bytes. Each test sends one recorded request over a socket and then reads the
response as the client does.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

import pytest
from anyio import to_thread

from smsapi_async.sandbox import Dialect, Sandbox, run_sandbox
from tests.sandbox.clients import CLIENTS, FIRST, SENDS, Sent
from tests.sandbox.parsers import success_only
from tests.sandbox.recordings import OPERATIONS, Reply, exchange, recorded, values_for
from tests.sandbox.support import START

pytestmark = pytest.mark.anyio

BALANCE = Decimal("1234.50")
# The names of the operations that only read.
READS = ("login", "balance", "state", "incoming", "statistics")
CONTRACT_ZONE, LATEST_ZONE, MOSCOW = timedelta(hours=3), timedelta(0), timedelta(hours=3)

ALL = list(OPERATIONS)
WITHOUT_START = ("vendor-document", "incoming-without-start")
WITH_CONTRACT = [pair for pair in ALL if CLIENTS[pair[0]].refused_by_contract(pair[1]) is None]
BEYOND_CONTRACT = [pair for pair in ALL if pair not in WITH_CONTRACT]


VERSION_2 = [pair for pair in ALL if b"/v2/" in OPERATIONS[pair].read_bytes().splitlines()[0]]


@pytest.fixture
def anyio_backend() -> str:
    """One backend is enough, because the sandbox runs in a thread of its own."""
    return "asyncio"


def chosen(pairs: Sequence[tuple[str, str]]) -> Callable[[Any], Any]:
    """Return a decorator that runs a test for each of some recordings, and names the test after it."""
    return pytest.mark.parametrize(("name", "operation"), pairs, ids=["-".join(pair) for pair in pairs])


@chosen([pair for pair in WITH_CONTRACT if pair != WITHOUT_START])
async def test_client_works_with_the_contract(name: str, operation: str) -> None:
    """A published client that asks for nothing beyond the contract works with the default sandbox."""
    await try_out(name, operation, Dialect.CONTRACT.with_(**CLIENTS[name].needs), CONTRACT_ZONE)


@chosen([pair for pair in ALL if pair != WITHOUT_START])
async def test_client_works_with_the_latest_dialect(name: str, operation: str) -> None:
    """Each published client works with the sandbox of the latest dialect after a change of the base URL."""
    dialect = Dialect.LATEST.with_(**CLIENTS[name].needs)
    await try_out(name, operation, dialect, LATEST_ZONE)


@chosen(BEYOND_CONTRACT)
async def test_contract_refuses_the_rest(name: str, operation: str) -> None:
    """The default sandbox refuses a request that the contract does not have, and sends nothing."""
    async with run_sandbox(start=START, dialect=Dialect.CONTRACT) as sandbox:
        reply = await call(sandbox, name, operation)
        assert reply.status == CLIENTS[name].refused_by_contract(operation)
        assert sandbox.account.messages == []


async def test_incoming_without_a_start_is_refused_by_the_latest_dialect() -> None:
    """Sms/In without minDateUTC works with the contract; the latest gateway answers with code 9."""
    async with run_sandbox(start=START) as sandbox:
        sandbox.receive(FIRST, text="Да")
        reply = await call(sandbox, *WITHOUT_START)
        assert (reply.status, CLIENTS["vendor-document"].incoming(reply)) == (200, ["Да"])
    async with run_sandbox(start=START, dialect=Dialect.LATEST) as sandbox:
        reply = await call(sandbox, *WITHOUT_START)
        assert (reply.status, reply.json()["Code"]) == (500, 9)
        assert "'minDateUtc'" in reply.json()["Desc"]


@chosen([pair for pair in ALL if pair[1] == "state" and CLIENTS[pair[0]].leaves_plus])
async def test_unescaped_plus_finds_no_message(name: str, operation: str) -> None:
    """If the gateway is strict, a client that does not escape the `+` of a segment id gets state 255."""
    dialect = Dialect.LATEST.with_(finds_unescaped_ids=False)
    async with run_sandbox(start=START, dialect=dialect) as sandbox:
        await call(sandbox, "vendor-python", "send")
        [message] = sandbox.account.messages
        assert "+" in message.segment_ids[0]
        reply = await call(sandbox, name, operation, segment=message.segment_ids[0])
        assert (reply.status, reply.json()["State"]) == (200, 255)


@chosen([pair for pair in ALL if pair[1] == "login"])
@pytest.mark.parametrize(("dialect", "status"), [(Dialect.CONTRACT, 401), (Dialect.LATEST, 403)])
async def test_refused_login(name: str, operation: str, dialect: Dialect, status: int) -> None:
    """With a wrong password each client gets code 4, with the HTTP status of the dialect."""
    dialect = dialect.with_(reads_all_bodies=True, accepts_post_to_read=True)
    async with run_sandbox(start=START, dialect=dialect) as sandbox:
        reply = await send_bytes(sandbox, name, operation, password="wrong")
        assert (reply.status, reply.json()) == (
            status,
            {"Code": 4, "Desc": "Invalid user login or password"},
        )


@chosen(VERSION_2)
async def test_refused_credentials_of_version_2(name: str, operation: str) -> None:
    """With a wrong password each request of version 2 is refused with code 4, and nothing is sent."""
    async with run_sandbox(start=START, dialect=Dialect.LATEST) as sandbox:
        reply = await send_bytes(sandbox, name, operation, password="wrong", segment="1")
        assert (reply.status, reply.json()["Code"]) == (403, 4)
        assert sandbox.account.messages == []


@pytest.mark.parametrize(
    ("name", "code", "status"),
    [
        ("vendor-python", 4, 401),
        ("vendor-ruby", 4, 401),
        ("go-godevino", 4, 401),
        ("go-lib-devinotele", 4, 401),
        ("erlang-devino-sms", 3, 400),
    ],
)
async def test_expired_session_makes_the_client_log_in(name: str, code: int, status: int) -> None:
    """After 120 minutes a client gets the response to which it reacts with a new login."""
    dialect = Dialect.LATEST.with_(expired_session_code=code)
    async with run_sandbox(start=START, dialect=dialect) as sandbox:
        session = await log_in(sandbox)
        sandbox.advance(minutes=121)
        reply = await send_bytes(sandbox, name, "balance", session=session)
        assert (reply.status, reply.json()["Code"]) == (status, code)


def test_every_client_has_a_recording_of_each_operation() -> None:
    """A recording without a client, a client without recordings, or an unknown operation is a mistake."""
    assert {name for name, _ in OPERATIONS} == set(CLIENTS)
    assert {operation for _, operation in OPERATIONS} == {*READS, *SENDS, "incoming-without-start"}
    vendors = [name for name in CLIENTS if name.startswith("vendor-") and name != "vendor-document"]
    all_of_the_contract = {*READS, "send", "send-by-time-zone", "send-bulk"}
    assert len(vendors) == 6
    assert all(
        all_of_the_contract <= {each for name, each in OPERATIONS if name == vendor} for vendor in vendors
    )


async def try_out(name: str, operation: str, dialect: Dialect, zone: timedelta) -> None:
    """Send one recorded request to a new sandbox, and read the response as the client does."""
    async with run_sandbox(start=START, balance=BALANCE, dialect=dialect) as sandbox:
        if operation in SENDS:
            await check_send(sandbox, name, operation, zone)
        else:
            await CHECKS[operation](sandbox, name)


async def check_login(sandbox: Sandbox, name: str) -> None:
    """The client reads a session id that is valid."""
    session = CLIENTS[name].session(await successful(sandbox, name, "login", session=""))
    assert (await send_bytes(sandbox, "vendor-document", "balance", session=session)).status == 200


async def check_balance(sandbox: Sandbox, name: str) -> None:
    """The client reads the balance."""
    client = CLIENTS[name]
    expected = int(BALANCE) if client.balance.__name__ == "whole_balance" else float(BALANCE)
    assert client.balance(await successful(sandbox, name, "balance")) == expected


async def check_send(sandbox: Sandbox, name: str, operation: str, zone: timedelta) -> None:
    """The sandbox accepts exactly the messages of the request, and the client reads the segment ids."""
    client = CLIENTS[name]
    ids = client.ids(await successful(sandbox, name, operation))
    messages = sandbox.account.messages
    assert [describe(each) for each in messages] == expected_messages(client.sent(operation), zone)
    all_ids = [segment_id for each in messages for segment_id in each.segment_ids]
    assert list(ids) == all_ids[: len(ids)]
    assert ids or client.ids is success_only


async def check_state(sandbox: Sandbox, name: str) -> None:
    """The client reads that a message was delivered."""
    await call(sandbox, "vendor-python", "send")
    sandbox.advance(seconds=10)
    segment = sandbox.account.messages[0].segment_ids[0]
    assert CLIENTS[name].state(await successful(sandbox, name, "state", segment=segment)) == 0


async def check_incoming(sandbox: Sandbox, name: str) -> None:
    """The client reads an incoming message."""
    sandbox.receive(FIRST, text="Да")
    sandbox.receive(FIRST, text="Нет + 1")
    assert CLIENTS[name].incoming(await successful(sandbox, name, "incoming")) == ["Да", "Нет + 1"]


async def check_statistics(sandbox: Sandbox, name: str) -> None:
    """The client reads the counts of the messages."""
    await call(sandbox, "vendor-python", "send")
    sandbox.advance(seconds=10)
    await call(sandbox, "vendor-python", "send-by-time-zone")
    read = CLIENTS[name].statistics(await successful(sandbox, name, "statistics"))
    assert (read["Delivered"], read["InProcess"], read["Errors"]) == (1, 1, 0)


CHECKS = {
    "login": check_login,
    "balance": check_balance,
    "state": check_state,
    "incoming": check_incoming,
    "statistics": check_statistics,
}


def describe(message: Any) -> tuple[Any, ...]:
    """Return the parts of an accepted message that the request decides."""
    return (
        message.destination_address,
        message.text,
        message.source_address,
        message.validity,
        message.send_date,
    )


def expected_messages(sent: Sent, zone: timedelta) -> list[tuple[Any, ...]]:
    """Return the parts of the messages that the sandbox must accept; `zone` is that of the gateway."""
    offset = MOSCOW if sent.own_clock else zone
    moment = sent.date and sent.date.replace(tzinfo=UTC) - offset
    return [(number, sent.text, "ACME", sent.validity, moment) for number in sent.numbers]


async def log_in(sandbox: Sandbox) -> str:
    """Return a new session id."""
    session: str = (await send_bytes(sandbox, "vendor-document", "login")).json()
    return session


async def successful(sandbox: Sandbox, name: str, operation: str, **values: str) -> Reply:
    """Send one recorded request; fail if the status is not 200 or the content type is not JSON."""
    reply = await call(sandbox, name, operation, **values)
    assert (reply.status, reply.content_type) == (200, "application/json; charset=utf-8"), reply.text
    return reply


async def call(sandbox: Sandbox, name: str, operation: str, **values: str) -> Reply:
    """Send one recorded request with a valid session id."""
    return await send_bytes(sandbox, name, operation, **{"session": await log_in(sandbox), **values})


async def send_bytes(sandbox: Sandbox, name: str, operation: str, **values: str) -> Reply:
    """Send one recorded request over a socket. `values` replaces values of placeholders."""
    filled = {**values_for(sandbox), **values}
    return await to_thread.run_sync(exchange, recorded(name, operation, filled), filled["host"])
