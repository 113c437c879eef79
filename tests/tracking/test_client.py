"""`track` and `wait_delivered` as methods of the client."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from smsapi_async import AsyncSmsClient, ClientClosed, Message, Schedule, ValidationError
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.states import Phase
from tests.tracking.support import FIVE_SEGMENTS, NUMBER, receipt

pytestmark = pytest.mark.anyio
QUICK = Schedule(first=0.01, maximum=0.05)


def _client(sandbox: Sandbox, **options: Any) -> AsyncSmsClient:
    return AsyncSmsClient(
        sandbox.login, sandbox.password, base_url=sandbox.base_url, source_address="ACME", **options
    )


async def test_track() -> None:
    """Messages sent one after another are followed to their ends by the client's own method."""
    async with run_sandbox(speed=100) as sandbox, _client(sandbox) as sms:
        sent = [await sms.send(NUMBER, FIVE_SEGMENTS), await sms.send("79031234942", "text")]
        async with sms.track(sent, schedule=QUICK) as deliveries:
            last = {each.receipt: each async for each in deliveries if each.is_final}
    assert [last[each].phase for each in sent] == [Phase.DELIVERED, Phase.FAILED]


async def test_wait_delivered() -> None:
    """At the timeout the message is given as it stands; waiting goes on from there."""
    async with run_sandbox(speed=3) as sandbox, _client(sandbox) as sms:
        sent = await sms.send(NUMBER, "text")
        early = await sms.wait_delivered(sent, timeout=0.1)
        assert (early.phase, early.is_final) == (Phase.ENROUTE, False)
        late = await sms.wait_delivered(early, timeout=timedelta(seconds=3))
        assert (late.phase, late.is_final) == (Phase.DELIVERED, True)


class _Begun(httpx.AsyncHTTPTransport):
    """Writes down the requests in their order: when they arrive depends on the machine, too."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.path.removeprefix("/rest/"))
        return await super().handle_async_request(request)


async def test_sends_go_first() -> None:
    """While many messages are followed on a slow line, a send waits for two requests at most."""
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
    """A closed client, and a deadline, timeout, message or ledger that is none, are refused."""
    async with run_sandbox() as sandbox, _client(sandbox) as sms:
        with pytest.raises(ValidationError, match="deadline"):
            sms.track([], deadline=0)
        with pytest.raises(ValidationError, match="timeout"):
            await sms.wait_delivered(receipt(), timeout=timedelta(0))
        with pytest.raises(ValidationError, match="receipt: <str> cannot be used"):
            await sms.wait_delivered("579700854169272358")  # type: ignore[arg-type]
        with pytest.raises(ValidationError, match="ledger: <str>"):
            sms.track([], ledger="run.db")  # type: ignore[arg-type]
    with pytest.raises(ClientClosed):
        sms.track([])


async def test_a_ledger_is_followed_as_it_is(anyio_backend: str, tmp_path: Path) -> None:
    """`track` takes a ledger: what it accepted is followed, and a second run has nothing left to ask."""
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
