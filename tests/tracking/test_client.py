"""Tests of the methods `track` and `wait_delivered` of the client."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from smsapi_async import AsyncSmsClient, ClientClosed, Message, Schedule, ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.states import Phase
from tests.tracking.support import FIVE_SEGMENTS, NUMBER, START, receipt

pytestmark = pytest.mark.anyio
QUICK = Schedule(first=0.01, maximum=0.05)


def _client(sandbox: Sandbox, **options: Any) -> AsyncSmsClient:
    return AsyncSmsClient(
        sandbox.login, sandbox.password, base_url=sandbox.base_url, source_address="ACME", **options
    )


async def test_track() -> None:
    """`track` accepts receipts of several sends, and returns deliveries until each message is final."""
    async with run_sandbox(speed=100) as sandbox, _client(sandbox) as sms:
        sent = [await sms.send(NUMBER, FIVE_SEGMENTS), await sms.send("79031234942", "text")]
        async with sms.track(sent, schedule=QUICK) as deliveries:
            last = {each.receipt: each async for each in deliveries if each.is_final}
    assert [last[each].phase for each in sent] == [Phase.DELIVERED, Phase.FAILED]


async def test_wait_delivered(anyio_backend: str) -> None:
    """If the timeout ends before the message is final, `wait_delivered` returns a delivery that is not final.

    A second call of `wait_delivered` with this delivery continues to track the message.
    """
    # With `start`, the clock of the sandbox moves only when the test calls `advance`.
    async with run_sandbox(start=START) as sandbox, _client(sandbox) as sms:
        sent = await sms.send(NUMBER, "text")
        early = await sms.wait_delivered(sent, schedule=QUICK, timeout=0.1)
        assert (early.phase, early.is_final) == (Phase.ENROUTE, False)
        sandbox.advance(minutes=1)
        late = await sms.wait_delivered(early, schedule=QUICK, timeout=timedelta(hours=1))
        assert (late.phase, late.is_final) == (Phase.DELIVERED, True)


class _Begun(httpx.AsyncHTTPTransport):
    """A transport that records the paths of the requests in the order in which the requests start.

    The test cannot use the order in which the requests arrive at the sandbox, because this order also depends
    on the speed of the machine.
    """

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.path.removeprefix("/rest/"))
        return await super().handle_async_request(request)


async def test_sends_go_first() -> None:
    """While `track` makes many state requests, at most two other requests start before a new send."""
    begun = _Begun()
    async with (
        run_sandbox(speed=100) as sandbox,
        _client(sandbox, transport=begun, concurrency=10, requests_per_second=50) as sms,
    ):
        sent = await sms.send_bulk([NUMBER] * 300, "text")
        async with sms.track(sent, schedule=QUICK) as deliveries:
            await anext(deliveries)
            for _ in range(5):
                before = len(begun.paths)
                await sms.send(NUMBER, "text")
                assert begun.paths.index("Sms/Send", before) - before <= 2


async def test_misuse() -> None:
    """`track` and `wait_delivered` raise a `ValidationError` for a wrong argument.

    If the client is closed, `track` raises `ClientClosed`.
    """
    async with run_sandbox() as sandbox, _client(sandbox) as sms:
        with pytest.raises(ValidationError, match="deadline"):
            sms.track([], deadline=0)
        with pytest.raises(ValidationError, match="timeout"):
            await sms.wait_delivered(receipt(), timeout=timedelta(0))
        with pytest.raises(ValidationError, match="schedule: <float>"):
            await sms.wait_delivered(receipt(), schedule=0.1)  # type: ignore[arg-type]
        with pytest.raises(ValidationError, match="schedule: <dict>"):
            sms.track([], schedule={})  # type: ignore[arg-type]
        with pytest.raises(ValidationError, match="receipt: <str> cannot be used"):
            await sms.wait_delivered("579700854169272358")  # type: ignore[arg-type]
        with pytest.raises(ValidationError, match="ledger: <str>"):
            sms.track([], ledger="run.db")  # type: ignore[arg-type]
    with pytest.raises(ClientClosed):
        sms.track([])


async def test_a_ledger_is_followed_as_it_is(anyio_backend: str, tmp_path: Path) -> None:
    """`track` accepts a ledger, and tracks the accepted messages in the ledger until each message is final.

    If all messages in the ledger are final, a second call of `track` makes no request.
    """
    async with run_sandbox(speed=50) as sandbox:
        sms = _client(sandbox)
        batch = [Message(f"7903123{index:02}12", "hello") for index in range(3)]
        async with sms, Ledger.sqlite(tmp_path / "run.db") as ledger:
            async with sms.send_many(batch, ledger=ledger) as outcomes:
                assert len([outcome async for outcome in outcomes]) == 3
            schedule = Schedule(first=0.1, factor=0.1, maximum=1, jitter=0)
            async with sms.track(ledger, schedule=schedule) as deliveries:
                final = [delivery async for delivery in deliveries if delivery.is_final]
            assert [delivery.phase for delivery in final] == [Phase.DELIVERED] * 3
            asked = sandbox.account.count("Sms/State")
            async with sms.track(ledger, schedule=schedule) as deliveries:
                assert [delivery async for delivery in deliveries] == []
        assert sandbox.account.count("Sms/State") == asked
