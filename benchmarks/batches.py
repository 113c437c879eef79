"""The ways to send one text to many: this package, and the loops that users would write by hand."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import islice
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import httpx
from sms_devino.client import DevinoClient

from benchmarks.contenders import AIOHTTP, CONTENT_TYPE, FAST, SLOW, TIMEOUT, client
from benchmarks.server import SEGMENT_ID, SESSION_ID
from smsapi_async import Accepted, AsyncSmsClient, Message
from smsapi_async.http.choice import Kind
from smsapi_async.ledger import Ledger

TEXT = "Магазин переехал: ждём вас по новому адресу"
AT_ONCE = 500
# Requests in flight of a loop by hand: more make httpx slower and aiohttp no faster.
WORKERS = 10

# To each of the numbers, the text; gives how many segment ids came back.
Batch = Callable[[Iterable[str]], Awaitable[int]]
BatchWay = Callable[[str], AbstractAsyncContextManager[Batch]]


def numbers(start: int, count: int) -> list[str]:
    """Different numbers."""
    return [f"7903{index:07}" for index in range(start, start + count)]


def chunks(recipients: Iterable[str]) -> Iterator[list[str]]:
    """As many as go into one request."""
    rest = iter(recipients)
    while chunk := list(islice(rest, AT_ONCE)):
        yield chunk


def form(recipients: list[str]) -> bytes:
    """The parameters of a bulk, as everybody has to encode them."""
    fields = {
        "SessionID": SESSION_ID,
        "SourceAddress": "ACME",
        "Data": TEXT,
        "DestinationAddresses": recipients,
    }
    return urlencode(fields, doseq=True).encode("ascii")


async def send_many(sms: AsyncSmsClient, messages: Iterable[Message], ledger: Ledger | None) -> int:
    """A batch of the package's; every message was accepted."""
    ids = 0
    async with sms.send_many(messages, ledger=ledger) as outcomes:
        async for outcome in outcomes:
            assert isinstance(outcome, Accepted)
            ids += len(outcome.segment_ids)
    return ids


@asynccontextmanager
async def ledger_in_use(wanted: bool) -> AsyncIterator[Ledger | None]:
    """A new ledger in a directory of its own, or none."""
    if not wanted:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="smsapi-benchmark-") as directory:
        async with Ledger.sqlite(Path(directory, "ledger.sqlite")) as ledger:
            yield ledger


def _ours(http: Kind, *, with_ledger: bool = False) -> BatchWay:
    @asynccontextmanager
    async def way(url: str) -> AsyncIterator[Batch]:
        async with client(url, http) as sms, ledger_in_use(with_ledger) as ledger:
            yield lambda recipients: send_many(sms, (Message(number, TEXT) for number in recipients), ledger)

    return way


async def _by_workers(post: Callable[[list[str]], Awaitable[int]], recipients: Iterable[str]) -> int:
    todo = chunks(recipients)

    async def worker() -> int:
        return sum([await post(chunk) for chunk in todo])

    return sum(await asyncio.gather(*(worker() for _ in range(WORKERS))))


@asynccontextmanager
async def _httpx(url: str) -> AsyncIterator[Batch]:
    headers = {"Content-Type": CONTENT_TYPE}
    async with httpx.AsyncClient(headers=headers, timeout=TIMEOUT, trust_env=False) as session:

        async def post(chunk: list[str]) -> int:
            answer = await session.post(f"{url}/Sms/SendBulk", content=form(chunk))
            answer.raise_for_status()
            return len(answer.json())

        yield lambda recipients: _by_workers(post, recipients)


@asynccontextmanager
async def _aiohttp(url: str) -> AsyncIterator[Batch]:
    async with aiohttp.ClientSession(headers={"Content-Type": CONTENT_TYPE}) as session:

        async def post(chunk: list[str]) -> int:
            async with session.post(f"{url}/Sms/SendBulk", data=form(chunk), raise_for_status=True) as answer:
                return len(await answer.json())

        yield lambda recipients: _by_workers(post, recipients)


@asynccontextmanager
async def _peer(url: str) -> AsyncIterator[Batch]:
    peer = DevinoClient("login", "password", url)

    async def loop(recipients: Iterable[str]) -> int:
        return sum(len(peer.send_bulk("ACME", chunk, TEXT)) for chunk in chunks(recipients))

    yield loop


@asynccontextmanager
async def _limit(_: str) -> AsyncIterator[Batch]:
    answer = json.dumps([SEGMENT_ID] * AT_ONCE)

    async def loop(recipients: Iterable[str]) -> int:
        ids = 0
        for chunk in chunks(recipients):
            form(chunk)
            ids += len(json.loads(answer))
        return ids

    yield loop


FAST_LEDGER, SLOW_LEDGER = f"{FAST}, with ledger", f"{SLOW}, with ledger"
HTTPX = "httpx by hand"
PEER, LIMIT = "sw-python-sms-devino", "urlencode + json alone (limit)"

BATCHES: dict[str, BatchWay] = {
    FAST: _ours("aiohttp"),
    SLOW: _ours("httpcore"),
    FAST_LEDGER: _ours("aiohttp", with_ledger=True),
    HTTPX: _httpx,
    AIOHTTP: _aiohttp,
    PEER: _peer,
    LIMIT: _limit,
}
