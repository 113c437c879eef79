"""Tests of sends with one key in several processes, and after a process was killed."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from smsapi_async import OutcomeUnknown
from smsapi_async.ledger import Ledger, LedgerInUse
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.batch.clicks import CALLS, CODE, KEY, NUMBER
from tests.client.tools import client_for

# The programs run on asyncio. The backend of the test itself changes nothing.
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]
TURNS = 3


@pytest.fixture
async def sandbox(anyio_backend: str) -> AsyncIterator[Sandbox]:
    """Serve a sandbox with the login of the program."""
    async with run_sandbox(login="sandbox", password="sandbox-password") as running:
        yield running


def _command(sandbox: Sandbox, path: Path, turns: int) -> list[str]:
    return [sys.executable, "-m", "tests.batch.clicks", sandbox.base_url, str(path), str(turns)]


async def test_two_processes_that_take_turns_with_the_file(sandbox: Sandbox, tmp_path: Path) -> None:
    """Two workers of a server with one ledger send one message, and all their calls get its receipt."""
    shown: list[bytes] = []

    async def run() -> None:
        done = await anyio.run_process(_command(sandbox, tmp_path / "run.db", TURNS), stderr=None)
        shown.extend(done.stdout.splitlines())

    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(run)
    (message,) = sandbox.account.messages
    assert len(shown) == 2 * TURNS * CALLS
    assert {tuple(json.loads(line)) for line in shown} == {message.segment_ids}


@pytest.mark.parametrize("was_sent", [True, False])
async def test_a_process_killed_while_the_request_is_in_flight(
    sandbox: Sandbox, tmp_path: Path, was_sent: bool
) -> None:
    """After a SIGKILL during a send, the next call says that the outcome is unknown, and sends nothing.

    When a person has recorded whether the message was sent, a call returns a receipt.
    """
    path = tmp_path / "run.db"
    with sandbox.hold("Sms/Send") as gate:
        async with await anyio.open_process(_command(sandbox, path, 1), stdout=subprocess.DEVNULL) as process:
            await gate.arrived()
            with pytest.raises(LedgerInUse):
                await Ledger.sqlite(path).__aenter__()
            process.kill()
    async with client_for(sandbox) as sms, Ledger.sqlite(path) as ledger:
        for _ in range(2):
            with pytest.raises(OutcomeUnknown, match="ended"):
                await sms.send(NUMBER, CODE, key=KEY, ledger=ledger)
        assert sandbox.account.count("Sms/Send") == 1
        assert [(each.key, each.message.text) async for each in ledger.unknown()] == [(KEY, CODE)]
        ids = sandbox.account.messages[0].segment_ids
        await ledger.resolve(KEY, sent=was_sent, segment_ids=ids if was_sent else ())
        receipt = await sms.send(NUMBER, CODE, key=KEY, ledger=ledger)
    assert [message.segment_ids for message in sandbox.account.messages][-1] == receipt.segment_ids
    assert sandbox.account.count("Sms/Send") == (1 if was_sent else 2)
