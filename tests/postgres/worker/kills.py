"""Kills workers while they send, or restarts the server, and compares the ledger with the gateway.

``python -m tests.postgres.worker.kills --kills 60 --workers 4`` kills 60 workers that have sent. The tests
use a small number of kills.
"""

import argparse
import random
import secrets
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial

import anyio
import anyio.to_thread
import attrs

from smsapi_async import AsyncSmsClient, Message
from smsapi_async.http.choice import Kind
from smsapi_async.ledger import Ledger, Summary
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.killable import Connection, Killable
from tests.postgres.server import Server, shared_server
from tests.postgres.worker.tools import end_claims, enqueue_each, fill, messages

CONCURRENCY = 4
# The number of messages in each request.
TOGETHER = 2
_MOST_SENT = 12
_PER_KILL = 30
_PRIORITIES = 8


@attrs.frozen
class Found:
    """What the ledger and the gateway know after a run.

    Attributes:
        summary: the counts of the ledger.
        duplicates: the number of messages that the gateway accepted more than once.
        lost: the number of messages that the gateway has not accepted, and that are not unknown.
        unknown_requests: the number of requests with an unknown outcome.
        kills: the number of killed workers that had sent.
    """

    summary: Summary
    duplicates: int
    lost: int
    unknown_requests: int
    kills: int


async def _work(report: Connection, dsn: str, account: str, base_url: str, transport: Kind | None) -> None:
    sent = 0

    def on_poll(counts: Summary) -> None:
        nonlocal sent
        while sent < counts.accepted:
            sent += 1
            report.send("sent")

    async with (
        Ledger.postgres(dsn, account=account) as ledger,
        AsyncSmsClient(
            "login", "password", base_url=base_url, concurrency=CONCURRENCY, transport=transport
        ) as sms,
    ):
        await sms.send_pending(ledger, on_poll=on_poll, unknown_limit=1000)


def worker_process(report: Connection, backend: str, *arguments: str) -> None:
    """Run a worker that reports each message that it has sent."""
    anyio.run(partial(_work, report, *arguments), backend=backend)  # type: ignore[arg-type]


async def killed_workers(
    server: Server, kills: int, workers: int, *, backend: str = "asyncio", transport: Kind | None = None
) -> Found:
    """Kill workers that have sent, each at a random moment, and start others in their places.

    Args:
        server: the server.
        kills: the number of workers to kill.
        workers: the number of workers that run at the same time.
        backend: the backend of the workers.
        transport: the transport of the workers.
    """
    account, chance = secrets.token_hex(8), random.Random(f"{kills} {backend} {transport}")
    given = messages((kills + workers) * _PER_KILL, "text {}")
    texts = [attrs.evolve(each, text=f"text {place // TOGETHER}") for place, each in enumerate(given)]
    async with (
        run_sandbox(login="login", password="password", latency=0.01) as sandbox,
        Ledger.postgres(server.dsn(), account=account) as ledger,
    ):
        await _fill(server, account, ledger, texts, together=TOGETHER)
        arguments = (backend, server.dsn(), account, sandbox.base_url, transport)
        left = kills

        async def take_turns() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                with Killable(worker_process, *arguments) as process:
                    for _ in range(chance.randint(1, _MOST_SENT)):
                        assert await process.received() == "sent"
                    await anyio.to_thread.run_sync(process.kill)

        async with anyio.create_task_group() as group:
            for _ in range(workers):
                group.start_soon(take_turns)
        async with AsyncSmsClient("login", "password", base_url=sandbox.base_url) as sms:
            await sms.send_pending(ledger, once=True)
        end_claims(server, account)
        return await _compared(ledger, sandbox, len(texts), kills)


async def restarted_server(server: Server, restarts: int, workers: int) -> Found:
    """Crash the server again and again while workers send. No worker is killed.

    Args:
        server: the server.
        restarts: the number of crashes.
        workers: the number of workers that run at the same time.
    """
    account, chance = secrets.token_hex(8), random.Random(restarts)
    texts = messages(restarts * workers * _PER_KILL, "text {}")
    async with (
        run_sandbox(login="login", password="password", latency=0.02) as sandbox,
        Ledger.postgres(server.dsn(), account=account) as ledger,
    ):
        await _fill(server, account, ledger, texts, together=1)

        async def work() -> None:
            async with (
                Ledger.postgres(server.dsn(), account=account) as own,
                AsyncSmsClient(
                    "login", "password", base_url=sandbox.base_url, concurrency=CONCURRENCY
                ) as sms,
            ):
                await sms.send_pending(own)

        async with anyio.create_task_group() as group:
            for _ in range(workers):
                group.start_soon(work)
            for _ in range(restarts):
                # The next crash comes when the workers send again.
                before = len(sandbox.account.messages)
                wanted = min(before + chance.randint(2, 40), len(texts))
                while len(sandbox.account.messages) < wanted:  # noqa: ASYNC110 - no event tells it
                    await anyio.sleep(0.01)
                await anyio.to_thread.run_sync(server.restart, chance.choice([0.0, 0.0, 1.5]))
            while (await ledger.summary()).pending:  # noqa: ASYNC110 - no event tells it
                await anyio.sleep(0.05)
            group.cancel_scope.cancel()
        return await _compared(ledger, sandbox, len(texts), 0)


async def _fill(
    server: Server, account: str, ledger: Ledger, given: Sequence[Message], *, together: int
) -> None:
    """Put one half of the messages into the queue in requests, and enqueue the other half one by one.

    Their priorities mix the two halves.
    """
    half = len(given) // 2
    await fill(server, account, ledger, given[:half], together=together)
    server.rows(
        f"UPDATE smsapi.requests r SET priority = r.id %% {_PRIORITIES} FROM smsapi.accounts a"  # noqa: S608
        " WHERE r.account_id = a.id AND a.name = %s",
        account,
    )
    for priority in range(_PRIORITIES):
        part = given[half + priority :: _PRIORITIES]
        await anyio.to_thread.run_sync(enqueue_each, server, account, part, priority)


async def _compared(ledger: Ledger, sandbox: Sandbox, count: int, kills: int) -> Found:
    arrived = Counter(each.destination_address for each in sandbox.account.messages)
    unknown = [each async for each in ledger.unknown()]
    known = arrived.keys() | {each.message.destination_address for each in unknown}
    return Found(
        summary=await ledger.summary(),
        duplicates=sum(number > 1 for number in arrived.values()),
        lost=count - len(known),
        unknown_requests=len({each.request for each in unknown}),
        kills=kills,
    )


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--restarts", type=int, default=0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--backend", default="asyncio")
    parser.add_argument("--transport", default=None)
    given = parser.parse_args()
    if given.restarts:
        run = partial(restarted_server, shared_server(), given.restarts, given.workers)
    else:
        run = partial(
            killed_workers,
            shared_server(),
            given.kills,
            given.workers,
            backend=given.backend,
            transport=given.transport,
        )
    found = anyio.run(run)
    print(found)
    if found.duplicates or found.lost:
        sys.exit("a message was sent twice, or was lost")


if __name__ == "__main__":
    _main()
