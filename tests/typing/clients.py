# mypy: disallow-any-expr
"""The client: the types of its constructor, of `from_env`, and of each method that returns one value."""

import random
import ssl
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import assert_type

import anyio
import httpx
import httpx2

from smsapi_async import (
    AsyncSmsClient,
    Clock,
    Delivery,
    IncomingMessage,
    LockingSessionStore,
    MemorySessionStore,
    Pace,
    Receipt,
    RetryPolicy,
    Schedule,
    Secret,
    SegmentState,
    Session,
    SessionStore,
    Statistics,
    SystemClock,
    Timeouts,
    __version__,
)
from smsapi_async.ledger import Ledger
from smsapi_async.postgres import Shared


class AppClient(AsyncSmsClient):
    """A subclass of the client, which an application may define."""


class FileSessionStore:
    """A session store that inherits from no class of the package."""

    async def load(self) -> Session | None:
        return None

    async def save(self, session: Session) -> None: ...


class LockedSessionStore(FileSessionStore):
    """A session store with a lock."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()

    def login_lock(self) -> anyio.Lock:
        return self._lock


class SynchronousSessionStore:
    """A session store with synchronous methods, which the client cannot await."""

    def load(self) -> Session | None:
        return None

    def save(self, session: Session) -> None: ...


class SlowPace:
    """A pace that inherits from no class of the package."""

    async def wait(self) -> None: ...


class SynchronousPace:
    """A pace whose method is not async."""

    def wait(self) -> None: ...


class FrozenClock:
    """A clock that inherits from no class of the package."""

    def now(self) -> datetime:
        return datetime.now().astimezone()

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None: ...


async def life() -> None:
    client = AsyncSmsClient("login", "password")
    assert_type(client, AsyncSmsClient)
    assert_type(repr(client), str)
    await client.aclose()
    await client.aclose(grace=10)
    await client.aclose(grace=timedelta(seconds=10))
    await client.aclose(10)  # type: ignore[call-arg]
    async with AsyncSmsClient("login", "password") as sms:
        assert_type(sms, AsyncSmsClient)
    async with AppClient.from_env() as app:
        assert_type(app, AppClient)
    assert_type(AsyncSmsClient.from_env(), AsyncSmsClient)
    assert_type(__version__, str)


def options(http: httpx.AsyncClient, transport: httpx.AsyncBaseTransport, tls: ssl.SSLContext) -> None:
    AsyncSmsClient(
        "login",
        "password",
        source_address="ACME",
        base_url="http://127.0.0.1:8099/rest",
        timeouts=Timeouts(connect=1, read=2.5),
        concurrency=5,
        requests_per_second=10,
        retry=RetryPolicy(attempts=2, total=5, retry_after_limit=60),
        login_cool_down=timedelta(minutes=1),
        proxy="socks5://127.0.0.1:1080",
        ca_file=Path("ca.pem"),
        ssl_context=None,
        allow_plain_http=True,
        client=None,
        transport=None,
        session_store=MemorySessionStore(),
        clock=SystemClock(),
    )
    AsyncSmsClient("login", "password", ca_file="ca.pem", proxy=None, requests_per_second=0.5)
    AsyncSmsClient("login", "password", session_store=FileSessionStore(), clock=FrozenClock())
    AsyncSmsClient("login", "password", session_store=LockedSessionStore())
    AsyncSmsClient("login", "password", pace=SlowPace(), requests_per_second=10)
    AsyncSmsClient("login", "password", client=http, ssl_context=tls)
    AsyncSmsClient("login", "password", transport=transport)
    AsyncSmsClient("login", "password", transport="asyncio")
    AsyncSmsClient("login", "password", transport="httpcore")


def options_of_httpx2(client: httpx2.AsyncClient, transport: httpx2.AsyncBaseTransport) -> None:
    AsyncSmsClient("login", "password", client=client)
    AsyncSmsClient("login", "password", transport=transport)
    AsyncSmsClient("login", "password", transport=httpx2.AsyncHTTPTransport(), http="httpx2")
    AsyncSmsClient.from_env(http="httpx2")
    AsyncSmsClient.from_env(client=client, http=None)
    AsyncSmsClient.from_env(http="aiohttp")  # type: ignore[arg-type]
    AsyncSmsClient("login", "password", http=httpx2)  # type: ignore[arg-type]


def paces(shared: Shared, pace: Pace) -> None:
    AsyncSmsClient("login", "password", pace=pace)
    AsyncSmsClient("login", "password", pace=shared.pace(per_second=50), session_store=shared.sessions)
    AsyncSmsClient.from_env(pace=shared.pace(0.5), session_store=shared.sessions)
    assert_type(shared.ledger, Ledger)


def wrong_options(http: httpx.Client, synchronous: httpx.BaseTransport, http2: httpx2.Client) -> None:
    AsyncSmsClient("login", "password", client=http2)  # type: ignore[arg-type]
    AsyncSmsClient("login")  # type: ignore[call-arg]
    AsyncSmsClient("login", "password", "ACME")  # type: ignore[call-arg]
    AsyncSmsClient("login", "password", sender="ACME")  # type: ignore[call-arg]
    AsyncSmsClient("login", b"password")  # type: ignore[arg-type]
    AsyncSmsClient("login", Secret("password"))  # type: ignore[arg-type]
    AsyncSmsClient("login", "password", timeouts=5)  # type: ignore[arg-type]
    AsyncSmsClient("login", "password", retry=3)  # type: ignore[arg-type]
    AsyncSmsClient("login", "password", concurrency=2.5)  # type: ignore[arg-type]
    AsyncSmsClient("login", "password", login_cool_down=60)  # type: ignore[arg-type]
    AsyncSmsClient("login", "password", client=http)  # type: ignore[arg-type]
    AsyncSmsClient("login", "password", transport=synchronous)  # type: ignore[arg-type]
    AsyncSmsClient("login", "password", transport="requests")  # type: ignore[arg-type]
    AsyncSmsClient("login", "password", session_store=SynchronousSessionStore())  # type: ignore[arg-type]
    AsyncSmsClient("login", "password", clock=datetime.now)  # type: ignore[arg-type]
    AsyncSmsClient("login", "password", pace=50)  # type: ignore[arg-type]
    AsyncSmsClient("login", "password", pace=SynchronousPace())  # type: ignore[arg-type]


def environment(http: httpx.AsyncClient) -> None:
    AsyncSmsClient.from_env(source_address="ACME", concurrency=5, transport="asyncio", pace=SlowPace())
    AsyncSmsClient.from_env(login="login", password="password", client=http, ca_file=Path("ca.pem"))
    AsyncSmsClient.from_env(pasword="password")  # type: ignore[call-arg]
    AsyncSmsClient.from_env(concurrency="5")  # type: ignore[arg-type]
    AsyncSmsClient.from_env(transport="requests")  # type: ignore[arg-type]


async def sends(sms: AsyncSmsClient, moment: datetime) -> None:
    assert_type(await sms.send("79031234567", "text"), Receipt)
    assert_type(
        await sms.send(
            "79031234567", "text", source_address="ACME", send_date=moment, validity=10, timeout=10
        ),
        Receipt,
    )
    hour = timedelta(hours=1)
    assert_type(await sms.send("79031234567", "text", validity=hour, timeout=hour), Receipt)
    assert_type(await sms.send_by_time_zone("79031234567", "text", send_date=moment), Receipt)
    assert_type(await sms.send_bulk(["79031234567"], "text"), list[Receipt])
    assert_type(await sms.send_bulk(("79031234567",), "text", timeout=2.5), list[Receipt])


async def wrong_sends(sms: AsyncSmsClient, moment: datetime) -> None:
    await sms.send(79031234567, "text")  # type: ignore[arg-type]
    await sms.send("79031234567", b"text")  # type: ignore[arg-type]
    await sms.send("79031234567")  # type: ignore[call-arg]
    await sms.send("79031234567", "text", "ACME")  # type: ignore[call-arg]
    await sms.send("79031234567", "text", send_date="2026-01-28T16:00:00")  # type: ignore[arg-type]
    await sms.send("79031234567", "text", validity=10.5)  # type: ignore[arg-type]
    await sms.send("79031234567", "text", timeout="10")  # type: ignore[arg-type]
    await sms.send_by_time_zone("79031234567", "text")  # type: ignore[call-arg]
    await sms.send_by_time_zone("79031234567", "text", send_date=None)  # type: ignore[arg-type]
    await sms.send_bulk({"79031234567"}, "text")  # type: ignore[arg-type]
    await sms.send_bulk((number for number in ["79031234567"]), "text")  # type: ignore[arg-type]
    await sms.send_bulk(["79031234567"], "text", by_time_zone="yes")  # type: ignore[arg-type]


async def reads(sms: AsyncSmsClient, receipt: Receipt, moment: datetime) -> None:
    assert_type(await sms.balance(), Decimal)
    assert_type(await sms.state(receipt.segment_ids[0]), SegmentState)
    assert_type(await sms.incoming(), list[IncomingMessage])
    assert_type(await sms.incoming(since=moment, until=None), list[IncomingMessage])
    assert_type(await sms.statistics(moment, moment), Statistics)
    assert_type(await sms.balance(timeout=2), Decimal)
    assert_type(await sms.state("1", timeout=timedelta(seconds=2)), SegmentState)
    assert_type(await sms.incoming(timeout=2.5), list[IncomingMessage])
    assert_type(await sms.statistics(moment, moment, timeout=2), Statistics)
    delivery = await sms.wait_delivered(receipt)
    assert_type(delivery, Delivery)
    assert_type(await sms.wait_delivered(delivery, timeout=60), Delivery)
    assert_type(await sms.wait_delivered(receipt, timeout=timedelta(minutes=1)), Delivery)
    assert_type(await sms.wait_delivered(receipt, schedule=Schedule(first=1), timeout=60), Delivery)


async def wrong_reads(sms: AsyncSmsClient, receipt: Receipt, moment: datetime) -> None:
    await sms.state(receipt.segment_ids)  # type: ignore[arg-type]
    await sms.state(579700854169272358)  # type: ignore[arg-type]
    await sms.incoming(moment)  # type: ignore[call-arg]
    await sms.incoming(since="2026-01-28")  # type: ignore[arg-type]
    await sms.statistics(moment)  # type: ignore[call-arg]
    await sms.balance(2)  # type: ignore[call-arg]
    await sms.balance(timeout="2")  # type: ignore[arg-type]
    await sms.statistics(moment.date(), moment)  # type: ignore[arg-type]
    await sms.wait_delivered(receipt.segment_ids[0])  # type: ignore[arg-type]
    await sms.wait_delivered([receipt])  # type: ignore[arg-type]
    await sms.wait_delivered(receipt, schedule=5)  # type: ignore[arg-type]


def protocols(store: MemorySessionStore, clock: SystemClock) -> tuple[SessionStore, Clock]:
    assert_type(clock.now(), datetime)
    assert_type(clock.monotonic(), float)
    return store, clock


async def locks(store: LockedSessionStore) -> LockingSessionStore:
    locking: LockingSessionStore = store
    assert_type(locking.login_lock(), AbstractAsyncContextManager[object])
    wrong: LockingSessionStore = FileSessionStore()  # type: ignore[assignment]
    async with wrong.login_lock():
        assert_type(await wrong.load(), Session | None)
    return locking


async def sessions(store: SessionStore, clock: Clock, moment: datetime) -> None:
    await store.save(Session(Secret("id"), moment))
    session = await store.load()
    assert_type(session, Session | None)
    if session is not None:
        assert_type(session.session_id, Secret)
        assert_type(session.session_id.reveal(), str)
        assert_type(session.obtained_at, datetime)
    await clock.sleep(0.5)
    Session("id", moment)  # type: ignore[arg-type]
    Timeouts(5)  # type: ignore[call-arg]
    Timeouts(connect="5")  # type: ignore[arg-type]
    RetryPolicy(attempts=2.5)  # type: ignore[arg-type]


def settings(timeouts: Timeouts, retry: RetryPolicy) -> None:
    for seconds in (timeouts.connect, timeouts.read, timeouts.write, timeouts.pool):
        assert_type(seconds, float)
    assert_type(retry.attempts, int)
    for seconds in (retry.total, retry.initial, retry.maximum):
        assert_type(seconds, float)
    assert_type(retry.wait(1, 0.5, None, random.Random(1)), float | None)
    timeouts.read = 5  # type: ignore[misc]
    retry.attempts = 5  # type: ignore[misc]
