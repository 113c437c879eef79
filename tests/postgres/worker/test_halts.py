"""Tests of the pause of an account, which stops the workers of all machines."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import anyio
import attrs
import pytest

from smsapi_async import (
    AsyncSmsClient,
    BatchHalted,
    Forbidden,
    InvalidCredentials,
    Message,
    NotEnoughCredits,
    NotSent,
    OutcomeUnknown,
    Unauthorized,
)
from smsapi_async.ledger import Summary
from smsapi_async.ledger.queue import DuePart, RequestQueue
from smsapi_async.ledger.requests import RequestAnswer
from smsapi_async.postgres import Shared, transactions
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.ledger.tools import Place
from tests.postgres.server import Server
from tests.postgres.worker.tools import change_request, fill, messages

pytestmark = pytest.mark.anyio
WORKERS = 4


@asynccontextmanager
async def machine(
    server: Server, account: str, sandbox: Sandbox, **options: Any
) -> AsyncIterator[tuple[AsyncSmsClient, Any]]:
    """Return a client and a ledger as another machine has them."""
    options = {"login": sandbox.login, "password": sandbox.password, "base_url": sandbox.base_url, **options}
    async with Shared.postgres(server.dsn(), account) as shared, AsyncSmsClient(**options) as sms:
        yield sms, shared.ledger


def ending(message: Message, digits: str) -> Message:
    """Return a message to a number with an ending to which the sandbox gives a meaning."""
    return attrs.evolve(message, destination_address=f"{message.destination_address[:-3]}{digits}")


async def halts(server: Server, account: str, sandbox: Sandbox, **options: Any) -> list[BatchHalted]:
    """Run several workers on machines of their own until each of them has halted, and return their errors."""
    errors: list[BatchHalted] = []

    async def work() -> None:
        async with machine(server, account, sandbox, **options) as (sms, ledger):
            try:
                await sms.send_pending(ledger)
            except BatchHalted as error:
                errors.append(error)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for _ in range(WORKERS):
                group.start_soon(work)
    return errors


async def test_no_credits(server: Server, place: Place, account: str) -> None:
    """If one worker learns that the balance is used up, all workers stop, and raise the cause."""
    async with run_sandbox(balance=10, price=1) as sandbox, place() as ledger:
        await fill(server, account, ledger, messages(200))
        errors = await halts(server, account, sandbox, concurrency=2)
        assert len(errors) == WORKERS
        assert {type(each.cause) for each in errors} == {NotEnoughCredits}
        summary = await ledger.summary()
        assert summary == Summary(accepted=10, pending=190, segments=10)
        assert {each.pending for each in errors} <= set(range(190 - WORKERS * 2, 191))
        # Each worker begins at most its slots after the first refusal.
        refused = [each for each in sandbox.account.arrivals if each.code == 5]
        assert 1 <= len(refused) <= WORKERS * 2


async def test_resume(server: Server, place: Place, account: str) -> None:
    """A paused account sends nothing until it is resumed; then the rest is sent once."""
    async with run_sandbox(balance=10, price=1) as sandbox, place() as ledger:
        await fill(server, account, ledger, messages(20))
        async with machine(server, account, sandbox) as (sms, own):
            with pytest.raises(BatchHalted, match=r"10 messages were not sent: .*code 5") as caught:
                await sms.send_pending(own, once=True)
            assert caught.value.pending == 10
            sandbox.balance = 100
            with pytest.raises(BatchHalted, match="code 5"):
                await sms.send_pending(own, once=True)
            assert (await own.paused()).code == 5
            assert (await own.resume()).code == 5
            assert await own.resume() is None
            assert await sms.send_pending(own, once=True) == Summary(accepted=10, segments=10)
        assert len({each.destination_address for each in sandbox.account.messages}) == 20


async def test_a_refused_login(server: Server, place: Place, account: str) -> None:
    """If the gateway refuses the login of one worker, all workers stop."""
    async with run_sandbox() as sandbox, place() as ledger:
        await fill(server, account, ledger, messages(20))
        errors = await halts(server, account, sandbox, password="wrong")
        assert len(errors) == WORKERS
        assert all(isinstance(each.cause, Unauthorized) for each in errors)
        assert any(isinstance(each.cause, InvalidCredentials) for each in errors)
        assert await ledger.summary() == Summary(pending=20)


async def test_a_forbidden_account(server: Server, place: Place, account: str) -> None:
    """If the gateway forbids many numbers in a row, the account is paused with code 7."""
    async with run_sandbox() as sandbox, place() as ledger:
        await fill(server, account, ledger, [ending(each, "807") for each in messages(30)])
        async with machine(server, account, sandbox, concurrency=1) as (sms, own):
            with pytest.raises(BatchHalted) as caught:
                await sms.send_pending(own, forbidden_limit=3)
        assert isinstance(caught.value.cause, Forbidden)
        assert await ledger.summary() == Summary(rejected=3, pending=27)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_the_unknown_limit_belongs_to_all(
    server: Server, place: Place, account: str, concurrency: int
) -> None:
    """All workers together make as many unknown requests as `unknown_limit` says, or have in flight."""
    async with run_sandbox(latency=0.02) as sandbox, place() as ledger:
        await fill(server, account, ledger, [ending(each, "809") for each in messages(100)])
        errors = await halts(server, account, sandbox, concurrency=concurrency)
        assert len(errors) == WORKERS
        assert all(isinstance(each.cause, OutcomeUnknown) for each in errors)
        summary = await ledger.summary()
        assert 5 <= summary.unknown <= max(5, WORKERS * concurrency)
        assert summary.pending == 100 - summary.unknown
        assert (await ledger.paused()).reason.endswith("requests in a row had an unknown outcome")  # type: ignore[attr-defined]


async def test_an_answer_ends_the_row(server: Server, place: Place, account: str) -> None:
    """An accepted request between unknown requests ends their row, and nothing is paused."""
    async with run_sandbox() as sandbox, place() as ledger:
        given = [ending(each, "809" if number % 3 else "012") for number, each in enumerate(messages(12))]
        await fill(server, account, ledger, given)
        async with machine(server, account, sandbox, concurrency=1) as (sms, own):
            counts = await sms.send_pending(own, once=True, unknown_limit=3)
            assert counts == Summary(accepted=4, unknown=8, segments=4)
            assert await own.paused() is None


async def test_a_repeated_answer_is_counted_once(
    server: Server, place: Place, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown request whose record is repeated after a lost connection is counted as one request."""
    commit, losses = transactions.ServerConnection._commit, 0

    def lose(connection: Any) -> None:
        nonlocal losses
        commit(connection)
        if losses < 2:
            losses += 1
            connection.close()
            commit(connection)

    async with place() as ledger:
        assert isinstance(ledger, RequestQueue)
        await fill(server, account, ledger, messages(2))
        part = DuePart(["a", "b"], room=100, is_alone=True, unknown_limit=2)
        assert len((await ledger.claim_due(part)).requests) == 2
        monkeypatch.setattr(transactions.ServerConnection, "_commit", staticmethod(lose))
        answer = RequestAnswer(state="unknown", at=datetime.now(UTC), reason="no response")
        assert await ledger.settle_due("a", answer, unknown_limit=2) is None
        assert losses == 2
        pause = await ledger.settle_due("b", answer, unknown_limit=2)
        assert pause is not None
        assert pause.reason == "2 requests in a row had an unknown outcome"


async def test_a_gateway_that_is_away(server: Server, place: Place, account: str) -> None:
    """While the gateway cannot be reached, a worker waits. With `once`, it raises the cause."""
    async with run_sandbox() as sandbox, place() as ledger:
        await fill(server, account, ledger, messages(3))
        away = {"base_url": "http://127.0.0.1:9"}
        async with machine(server, account, sandbox, **away) as (sms, own):
            with pytest.raises(BatchHalted) as caught:
                await sms.send_pending(own, once=True)
            assert isinstance(caught.value.cause, NotSent)
            assert await own.paused() is None
            polls: list[Summary] = []
            with anyio.move_on_after(2.5):
                await sms.send_pending(own, on_poll=polls.append)
            assert len(polls) >= 2
        assert await ledger.summary() == Summary(pending=3)


async def test_a_message_that_others_send_is_not_counted(server: Server, place: Place, account: str) -> None:
    """The claim of another sender is left out: no worker waits for it, and nobody sends it twice."""
    async with run_sandbox() as sandbox, place() as ledger:
        await fill(server, account, ledger, messages(4))
        other = messages(1, first=2)[0]
        assert await ledger.claim("other", [(other.key or "", other)]) == [None]
        async with machine(server, account, sandbox) as (sms, own):
            assert await sms.send_pending(own, once=True) == Summary(accepted=3, segments=3)
        assert await ledger.summary() == Summary(accepted=3, sending=1, segments=3)


async def test_a_batch_does_not_delay_the_workers(server: Server, place: Place, account: str) -> None:
    """After an unknown request, workers do not wait for the requests of a batch."""
    async with run_sandbox() as sandbox, place() as ledger:
        await fill(server, account, ledger, [ending(messages(1)[0], "809"), *messages(3, first=1)])
        for message in messages(5, first=10):
            assert await ledger.claim(f"batch {message.key}", [(message.key or "", message)]) == [None]
        async with machine(server, account, sandbox, concurrency=1) as (sms, own):
            with anyio.fail_after(20):
                counts = await sms.send_pending(own, once=True, unknown_limit=5)
            assert counts == Summary(accepted=3, unknown=1, segments=3)


async def test_fence(server: Server, place: Place, account: str) -> None:
    """`fence` makes all pending messages and those in flight unknown, so that no worker sends them."""
    async with run_sandbox() as sandbox, place() as ledger:
        await fill(server, account, ledger, messages(6, "text"), together=3)
        change_request(server, account, "order 0", "not_before = 'infinity'")
        sent = messages(2, first=10)
        assert await ledger.claim("other", [(each.key or "", each) for each in sent]) == [None] * 2
        assert await ledger.fence() == 8  # type: ignore[attr-defined]
        async with machine(server, account, sandbox) as (sms, own):
            assert await sms.send_pending(own, once=True) == Summary()
        assert await ledger.summary() == Summary(unknown=8)
        unknown = [each async for each in ledger.unknown()]
        assert {each.key for each in unknown} == {*(f"order {number}" for number in (*range(6), 10, 11))}
        await ledger.resolve("order 3", sent=False)
        async with machine(server, account, sandbox) as (sms, own):
            assert await sms.send_pending(own, once=True) == Summary(accepted=1, segments=1)
