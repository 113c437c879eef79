"""Tests of several ledgers, processes and batches that use one account at the same time."""

import os
import random
from collections import Counter
from functools import partial

import anyio
import pytest

from smsapi_async import Accepted, AsyncSmsClient
from smsapi_async.ledger import Claimed, InFlight, Ledger, LedgerError, Summary
from smsapi_async.models import Message
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.client.tools import client_for
from tests.killable import Connection, Killable
from tests.ledger.tools import Place, accepted, keyed, message, recorded
from tests.postgres.server import Server

pytestmark = pytest.mark.anyio
CLIENTS = 8


async def test_keys_in_opposite_orders(server: Server, place: Place) -> None:
    """Eight clients that record the same messages in different orders never deadlock, and lose nothing."""

    async def client(number: int) -> None:
        chance = random.Random(number)
        async with place() as ledger:
            for turn in range(15):
                # In each turn, the clients insert new messages at the same time, and change older ones.
                part = chance.sample(keyed(ledger, 40, 20 * turn), 30)
                part.sort(reverse=number % 2 == 0)
                token = f"{number}-{turn}"
                if turn % 3 == 0:
                    await ledger.record_pending(part)
                    continue
                claimed = await ledger.claim(token, part)
                got.update(key for (key, _), each in zip(part, claimed, strict=True) if each is None)
                if turn % 3 == 1 and None in claimed:
                    await ledger.release(token)
                    got.subtract(key for (key, _), each in zip(part, claimed, strict=True) if each is None)
                elif None in claimed:
                    await ledger.settle(token, accepted())

    got: Counter[str] = Counter()
    before = server.log().count("deadlock detected")
    async with anyio.create_task_group() as group:
        for number in range(CLIENTS):
            group.start_soon(client, number)
    assert server.log().count("deadlock detected") == before
    assert max(got.values()) == 1
    async with place() as ledger:
        summary = await ledger.summary()
        assert summary.accepted == sum(got.values())
        assert summary.accepted + summary.pending == len([each async for each in ledger.report()])


async def test_two_claims_of_one_message_at_the_same_time(place: Place) -> None:
    """If many senders claim the same new messages at the same time, each message has exactly one sender."""
    async with place() as first, place() as second:
        results: dict[str, list[object]] = {}

        async def claim(ledger: Ledger, token: str) -> None:
            results[token] = list(await ledger.claim(token, keyed(ledger, 5)))

        for turn in range(10):
            async with anyio.create_task_group() as group:
                for number in range(6):
                    group.start_soon(claim, (first, second)[number % 2], f"{turn}-{number}")
            (winner,) = [token for token, result in results.items() if result == [None] * 5]
            assert all(
                result == [InFlight(winner)] * 5 for token, result in results.items() if token != winner
            )
            await first.release(winner)
            results.clear()


async def test_claims_that_share_a_transaction(server: Server, place: Place) -> None:
    """Of many calls that wait together, only the wrong ones fail, and each message has exactly one sender."""
    results: dict[str, list[Claimed]] = {}
    errors: list[str] = []

    async def claim(token: str, pairs: list[tuple[str, Message]], end: str | None = None) -> None:
        try:
            settle = None if end is None else (end, accepted("1"))
            results[token] = await ledger.claim(token, pairs, settle=settle)
        except LedgerError:
            errors.append(token)

    async with place() as ledger:
        for number in range(20):
            await ledger.claim(f"old {number}", keyed(ledger, 1, 100 + number))
        async with anyio.create_task_group() as group:
            with server.held():
                for number in range(20):
                    wrong = (f"wrong {number}", message(text="\ud800", key=f"wrong {number}"))
                    group.start_soon(claim, f"same {number}", keyed(ledger, 1))
                    group.start_soon(claim, f"bad {number}", [wrong] if number == 7 else keyed(ledger, 1, 20))
                    group.start_soon(
                        claim, f"own {number}", keyed(ledger, 2, 2 * number + 30), f"old {number}"
                    )
                await anyio.wait_all_tasks_blocked()
        assert errors == ["bad 7"]
        for kind in ("same", "bad"):
            several = {token: result for token, result in results.items() if token.startswith(kind)}
            (winner,) = [token for token, result in several.items() if result == [None]]
            assert all(result == [InFlight(winner)] for token, result in several.items() if token != winner)
        assert all(result == [None, None] for token, result in results.items() if token.startswith("own"))
        for number in range(20):
            await ledger.settle(f"own {number}", accepted(f"{number}-0", f"{number}-1"))
        found = await ledger.records([message(30 + number) for number in range(40)])
        assert [each and each.segment_ids for each in found] == [
            (f"{number // 2}-{number % 2}",) for number in range(40)
        ]
        assert await ledger.summary() == Summary(sending=2, accepted=60, segments=60)


BATCH = [
    Message(f"790{number:05}012", f"text {number % 3}", key=None if number % 5 else f"own {number}")
    for number in range(400)
]


async def send_all(dsn: str, account: str, base_url: str, order: int, report: Connection) -> None:
    """Send the batch in an order of its own, and report the number of outcomes of each kind."""
    batch = list(BATCH)
    random.Random(order).shuffle(batch)
    options = {"base_url": base_url, "source_address": "Shop"}
    async with (
        Ledger.postgres(dsn, account=account) as ledger,
        AsyncSmsClient("login", "password", **options) as sms,  # type: ignore[arg-type]
        sms.send_many(batch, ledger=ledger, recipients_per_request=7) as outcomes,
    ):
        kinds = Counter([type(each).__name__ async for each in outcomes])
    report.send(dict(kinds))


def run_process(report: Connection, backend: str, dsn: str, account: str, base_url: str, order: int) -> None:
    """Run a process that sends the batch."""
    anyio.run(partial(send_all, dsn, account, base_url, order, report), backend=backend)


def accepted_by(sandbox: Sandbox) -> Counter[tuple[str, str]]:
    """Return how often the sandbox accepted each message."""
    return Counter((each.destination_address, each.text) for each in sandbox.account.messages)


async def test_two_processes_with_one_batch(
    server: Server, place: Place, account: str, anyio_backend: str
) -> None:
    """If two processes send one batch, the gateway gets each message once, and both get all outcomes."""
    async with run_sandbox(login="login", password="password") as sandbox:
        arguments = (anyio_backend, server.dsn(), account, sandbox.base_url)
        with Killable(run_process, *arguments, 1) as one, Killable(run_process, *arguments, 2) as other:
            assert await one.received() == await other.received() == {"Accepted": len(BATCH)}
        assert set(accepted_by(sandbox).values()) == {1}
        assert len(accepted_by(sandbox)) == len(BATCH)
    async with place() as ledger:
        assert await ledger.summary() == Summary(accepted=len(BATCH), segments=len(BATCH))


async def test_sends_of_one_key_in_two_ledgers(place: Place) -> None:
    """Calls of `send` with one key in two processes send one message, and return one receipt."""
    async with run_sandbox() as sandbox, client_for(sandbox) as sms, place() as first, place() as second:
        ids = []

        async def send(ledger: Ledger) -> None:
            receipt = await sms.send("79031234567", "4711", key="order 1", ledger=ledger)
            ids.append(receipt.segment_ids)

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(send, (first, second)[number % 2])
        assert len(set(ids)) == 1
        assert len(sandbox.account.messages) == 1
        (outcome,) = (await recorded(first)).values()
        assert isinstance(outcome, Accepted)


def fork(report: Connection, backend: str, dsn: str, account: str) -> None:
    """Open a ledger, and use it in a forked child process. Send the errors of the child process."""

    async def main() -> None:
        async with Ledger.postgres(dsn, account=account) as ledger:
            await ledger.claim("a", keyed(ledger, 1))
            child = os.fork()
            if child == 0:
                for work in (ledger.summary(), ledger.settle("a", accepted())):
                    try:
                        await work
                    except Exception as error:  # noqa: BLE001
                        report.send(str(error))
                await ledger.aclose()
                os._exit(0)
            assert os.waitpid(child, 0) == (child, 0)  # noqa: ASYNC222 - a thread would be forked, too
            await ledger.settle("a", accepted())
            report.send(await ledger.summary())

    anyio.run(main, backend=backend)


async def test_a_forked_child_is_refused(server: Server, account: str, anyio_backend: str) -> None:
    """If a forked child process calls the ledger of its parent, each call fails, and the parent goes on."""
    with Killable(fork, anyio_backend, server.dsn(), account) as process:
        for _ in range(2):
            assert "was opened by another process; open it again" in await process.received()
        assert await process.received() == Summary(accepted=1, segments=1)
