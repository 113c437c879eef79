"""The programs to compare (contenders) that send one text to many recipients: this package and other code."""

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
RECIPIENTS_PER_REQUEST = 500
# The number of requests that a hand-written loop has in flight at the same time. With more than 10 requests
# in flight, httpx becomes slower, and aiohttp does not become faster.
WORKERS = 10

# The type of a function that sends one text to each phone number. The function returns how many segment ids
# the responses contained.
SendBatch = Callable[[Iterable[str]], Awaitable[int]]
BatchContender = Callable[[str], AbstractAsyncContextManager[SendBatch]]


def numbers(start: int, count: int) -> list[str]:
    """Return `count` different phone numbers, beginning with the phone number that has the index `start`."""
    return [f"7903{index:07}" for index in range(start, start + count)]


def chunks(recipients: Iterable[str]) -> Iterator[list[str]]:
    """Split the phone numbers into lists, so that each list contains the recipients of one request."""
    rest = iter(recipients)
    while chunk := list(islice(rest, RECIPIENTS_PER_REQUEST)):
        yield chunk


def form(recipients: list[str]) -> bytes:
    """Return the form-encoded body of a bulk request (one text to several recipients)."""
    fields = {
        "SessionID": SESSION_ID,
        "SourceAddress": "ACME",
        "Data": TEXT,
        "DestinationAddresses": recipients,
    }
    return urlencode(fields, doseq=True).encode("ascii")


async def send_many(sms: AsyncSmsClient, messages: Iterable[Message], ledger: Ledger | None) -> int:
    """Send a batch with this package, check that every message is accepted, and count the segment ids."""
    ids = 0
    async with sms.send_many(messages, ledger=ledger) as outcomes:
        async for outcome in outcomes:
            assert isinstance(outcome, Accepted)
            ids += len(outcome.segment_ids)
    return ids


@asynccontextmanager
async def ledger_in_use(wanted: bool) -> AsyncIterator[Ledger | None]:
    """Yield a new ledger in a temporary directory if `wanted` is true, otherwise yield None."""
    if not wanted:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="smsapi-benchmark-") as directory:
        async with Ledger.sqlite(Path(directory, "ledger.sqlite")) as ledger:
            yield ledger


def _ours(http: Kind, *, with_ledger: bool = False) -> BatchContender:
    @asynccontextmanager
    async def contender(url: str) -> AsyncIterator[SendBatch]:
        async with client(url, http) as sms, ledger_in_use(with_ledger) as ledger:
            yield lambda recipients: send_many(sms, (Message(number, TEXT) for number in recipients), ledger)

    return contender


async def _by_workers(post: Callable[[list[str]], Awaitable[int]], recipients: Iterable[str]) -> int:
    # All workers take the lists of recipients from the same iterator, so that each list is sent only once.
    waiting = chunks(recipients)

    async def worker() -> int:
        return sum([await post(chunk) for chunk in waiting])

    return sum(await asyncio.gather(*(worker() for _ in range(WORKERS))))


@asynccontextmanager
async def _httpx(url: str) -> AsyncIterator[SendBatch]:
    headers = {"Content-Type": CONTENT_TYPE}
    async with httpx.AsyncClient(headers=headers, timeout=TIMEOUT, trust_env=False) as session:

        async def post(chunk: list[str]) -> int:
            response = await session.post(f"{url}/Sms/SendBulk", content=form(chunk))
            response.raise_for_status()
            return len(response.json())

        yield lambda recipients: _by_workers(post, recipients)


@asynccontextmanager
async def _aiohttp(url: str) -> AsyncIterator[SendBatch]:
    async with aiohttp.ClientSession(headers={"Content-Type": CONTENT_TYPE}) as session:

        async def post(chunk: list[str]) -> int:
            async with session.post(
                f"{url}/Sms/SendBulk", data=form(chunk), raise_for_status=True
            ) as response:
                return len(await response.json())

        yield lambda recipients: _by_workers(post, recipients)


@asynccontextmanager
async def _peer(url: str) -> AsyncIterator[SendBatch]:
    peer = DevinoClient("login", "password", url)

    async def send_chunks(recipients: Iterable[str]) -> int:
        return sum(len(peer.send_bulk("ACME", chunk, TEXT)) for chunk in chunks(recipients))

    yield send_chunks


@asynccontextmanager
async def _limit(_: str) -> AsyncIterator[SendBatch]:
    """Yield a function that encodes the requests and decodes prepared responses, but sends nothing."""
    response = json.dumps([SEGMENT_ID] * RECIPIENTS_PER_REQUEST)

    async def encode_and_decode(recipients: Iterable[str]) -> int:
        ids = 0
        for chunk in chunks(recipients):
            form(chunk)
            ids += len(json.loads(response))
        return ids

    yield encode_and_decode


FAST_LEDGER = f"{FAST}, with ledger"
HTTPX = "httpx by hand"
PEER, LIMIT = "sw-python-sms-devino", "urlencode + json alone (upper bound)"

BATCHES: dict[str, BatchContender] = {
    FAST: _ours("asyncio"),
    SLOW: _ours("httpcore"),
    FAST_LEDGER: _ours("asyncio", with_ledger=True),
    HTTPX: _httpx,
    AIOHTTP: _aiohttp,
    PEER: _peer,
    LIMIT: _limit,
}
