"""Measures how much CPU time an observer adds to a send. The gateway is in the process of the client."""

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from functools import partial
from time import process_time
from typing import Any

import httpx

from benchmarks.measure import Goal, Options, Table
from benchmarks.server import SESSION_ID
from smsapi_async import AsyncSmsClient, Message
from smsapi_async.observers import Event

SAMPLES = 4_000
WITHOUT, WITH = "without observers", "with one observer"
ONE_BY_ONE, BATCH = "send", "send_many"
# The number of messages of one sample.
SIZES = {ONE_BY_ONE: 1, BATCH: 50}
# An observer may add this number of microseconds to each send.
MOST = 5.0
TEXT = "Ваш код: 4711"


class _Gateway(httpx.AsyncBaseTransport):
    """Accept each message at once."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_login = request.url.path.lower().endswith("sessionid")
        return httpx.Response(200, content=f'"{SESSION_ID}"' if is_login else '["579700854169272358"]')


def _observer(event: Event) -> None:
    """Do nothing."""


async def _send(sms: AsyncSmsClient) -> None:
    await sms.send("79030000001", TEXT)


async def _send_many(sms: AsyncSmsClient) -> None:
    # Each message has a text of its own, so that each message has its own request.
    messages = [Message(f"7903{index:07}", f"{TEXT} {index}") for index in range(SIZES[BATCH])]
    async with sms.send_many(messages) as outcomes:
        async for _ in outcomes:
            pass


async def _times(sample: Callable[[AsyncSmsClient], Awaitable[None]], count: int) -> dict[str, float]:
    """Take samples with both clients in turn. Return a typical CPU time of a sample in microseconds.

    The load of the machine makes some samples longer, so the result is the first quartile.
    """
    options: dict[str, Any] = {"login": "login", "password": "password", "source_address": "ACME"}
    times: dict[str, list[float]] = {WITHOUT: [], WITH: []}
    async with (
        AsyncSmsClient(**options, transport=_Gateway()) as without,
        AsyncSmsClient(**options, transport=_Gateway(), observers=[_observer]) as observed,
    ):
        # The first samples also log in.
        for sms in (without, observed):
            await sample(sms)
        clients = [(WITHOUT, without), (WITH, observed)]
        for _ in range(count):
            clients.reverse()
            for name, sms in clients:
                began = process_time()
                await sample(sms)
                times[name].append(process_time() - began)
    return {name: statistics.quantiles(each, n=4)[0] * 1e6 for name, each in times.items()}


def run(url: str, options: Options) -> list[Table]:  # noqa: ARG001 - the gateway is in this process
    """Measure the CPU time of a send without and with an observer, and the difference."""
    table = Table("CPU time of a message, with the gateway in the process", "µs", higher_is_better=False)
    for way, sample in ((ONE_BY_ONE, _send), (BATCH, _send_many)):
        size = SIZES[way]
        measure = partial(_times, sample, max(2, SAMPLES // options.scale // size))
        rounds = [asyncio.run(measure()) for _ in range(options.rounds)]
        added = [(times[WITH] - times[WITHOUT]) / size for times in rounds]
        for name in (WITHOUT, WITH):
            table.add(name, way, [times[name] / size for times in rounds])
        goal = f"an observer adds to a message of {way}"
        table.goals.append(Goal(goal, statistics.median(added), MOST, "µs", at_least=False))
    return [table]
