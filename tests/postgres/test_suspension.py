"""Tests of a process that is suspended after its claim: it begins no request when the claim has ended."""

import os
import signal
import time
from functools import partial

import anyio
import pytest

from smsapi_async import AsyncSmsClient, BatchHalted, Message, NotSent
from smsapi_async.clock import time_since_boot
from smsapi_async.http.choice import Kind
from smsapi_async.ledger import Claimed, Ledger, Summary
from smsapi_async.ledger.postgres import claims
from smsapi_async.ledger.postgres.postgres_ledger import PostgresLedger
from smsapi_async.sandbox import run_sandbox
from tests.killable import Connection, Killable
from tests.ledger.tools import Place
from tests.postgres.server import Server

pytestmark = pytest.mark.anyio
SECONDS = 1.0
MESSAGE = Message("79031230012", "Hi", source_address="Shop", key="order 1")


async def _send(report: Connection, way: str, dsn: str, account: str, base_url: str, transport: Kind) -> None:
    async with (
        Ledger.postgres(dsn, account=account) as ledger,
        AsyncSmsClient("login", "password", base_url=base_url, transport=transport) as sms,
    ):
        await sms.balance()
        try:
            if way == "send":
                await sms.send(MESSAGE.destination_address, MESSAGE.text, source_address="Shop",
                               key="order 1", ledger=ledger)  # fmt: skip
            else:
                async with sms.send_many([MESSAGE], ledger=ledger) as outcomes:
                    report.send([type(each).__name__ async for each in outcomes])
        except (NotSent, BatchHalted) as error:
            report.send(f"{type(error).__name__}: {error}")


def suspended(report: Connection, backend: str, *arguments: str) -> None:
    """Run a process that stops itself immediately after its claim."""
    claims.CLAIM_SECONDS = SECONDS  # type: ignore[misc]
    claim = PostgresLedger.claim

    async def claim_and_stop(*positional: object, **named: object) -> list[Claimed]:
        claimed = await claim(*positional, **named)  # type: ignore[arg-type]
        report.send("claimed")
        os.kill(os.getpid(), signal.SIGSTOP)
        return claimed

    PostgresLedger.claim = claim_and_stop  # type: ignore[method-assign]
    anyio.run(partial(_send, report, *arguments), backend=backend)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["asyncio", "httpcore"])
@pytest.mark.parametrize("way", ["send", "send_many"])
async def test_a_sender_that_wakes_too_late(
    server: Server, place: Place, account: str, anyio_backend: str, way: str, kind: Kind
) -> None:
    """A sender that was suspended until the end of its claim sends nothing when it wakes."""
    if (anyio_backend, kind) == ("trio", "asyncio"):
        pytest.skip("the transport needs asyncio")
    async with run_sandbox(login="login", password="password") as sandbox, place() as ledger:
        arguments = (anyio_backend, way, server.dsn(), account, sandbox.base_url, kind)
        with Killable(suspended, *arguments) as process:
            assert await process.received() == "claimed"
            with anyio.fail_after(10):
                while (await ledger.summary()) != Summary(unknown=1):  # noqa: ASYNC110 - no event tells it
                    await anyio.sleep(0.05)
            await ledger.resolve("order 1", sent=False)
            assert await ledger.claim("mine", [("order 1", MESSAGE)]) == [None]
            process.signal(signal.SIGCONT)
            assert "the claim in the ledger has ended" in await process.received()
        assert sandbox.account.messages == []
        assert await ledger.summary() == Summary(sending=1)


async def test_a_claim_may_be_sent_until_its_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """`may_send` is true after the claim, and false after its end, after its time, and after the close."""
    async with place() as ledger:
        assert not ledger.may_send("a")
        await ledger.claim("a", [("order 1", MESSAGE)])
        assert ledger.may_send("a")
        await ledger.release("a")
        assert not ledger.may_send("a")
        monkeypatch.setattr(claims, "CLAIM_SECONDS", 0.0)
        await ledger.claim("b", [("order 1", MESSAGE)])
        assert not ledger.may_send("b")
    assert not ledger.may_send("b")


def test_the_clock_counts_a_suspension() -> None:
    """The clock for claims is not behind the clock that stops during a suspension of the computer."""
    before = time.monotonic()
    assert time_since_boot() >= before
