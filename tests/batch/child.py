"""A batch that a test runs in a child process, and that the test can kill."""

import os
import signal
import threading
from pathlib import Path
from typing import Literal

import anyio

from smsapi_async import AsyncSmsClient, BatchHalted, LedgerError, Message
from smsapi_async.ledger import Ledger
from tests.killable import Connection

BULKS, PER_BULK, SINGLES = 24, 10, 60
CONCURRENCY = 4
OUTCOME, REFUSED, HALTED, COMPLETE = "outcome", "refused", "halted", "complete"


def batch() -> list[Message]:
    """Return 300 messages: 240 messages in bulks of 10, and 60 messages with different texts."""
    shared = [
        Message(f"7901{bulk:03}{index:02}12", f"shared text {bulk}")
        for bulk in range(BULKS)
        for index in range(PER_BULK)
    ]
    own = [Message(f"7902{index:05}12", f"own text {index}") for index in range(SINGLES)]
    return [message for pair in zip(shared, own, strict=False) for message in pair] + shared[SINGLES:]


def run_batch(
    connection: Connection,
    backend: str,
    url: str,
    path: Path,
    *,
    accept_copy: bool = False,
    kill_after_sends: int | None = None,
    kill_after_seconds: float | None = None,
    api_version: Literal[1, 2] = 1,
) -> None:
    """Send the batch, and report about it.

    The process kills itself. A parent process that is busy would kill it too late.

    Args:
        connection: the function sends `OUTCOME` for each message that this process sent. At the end, the
            function sends a tuple: how the batch ended, and the text of the error.
        backend: the backend of AnyIO.
        url: the base URL of the sandbox.
        path: the path of the ledger.
        accept_copy: the option of `Ledger.sqlite`.
        kill_after_sends: the number of messages after which the process kills itself, or None.
        kill_after_seconds: the time after which the process kills itself, or None.
        api_version: the version of the interface.
    """
    if kill_after_seconds is not None:
        threading.Timer(kill_after_seconds, _die).start()
    ledger = Ledger.sqlite(path, accept_copy=accept_copy)
    anyio.run(_run_batch, connection, url, ledger, kill_after_sends, api_version, backend=backend)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _run_batch(
    connection: Connection, url: str, ledger: Ledger, most: int | None, api_version: Literal[1, 2]
) -> None:
    sms = AsyncSmsClient(
        "sandbox",
        "sandbox-password",
        source_address="ACME",
        base_url=url,
        concurrency=CONCURRENCY,
        api_version=api_version,
    )
    sent = 0
    try:
        async with (
            ledger,
            sms,
            sms.send_many(batch(), ledger=ledger, recipients_per_request=PER_BULK) as outcomes,
        ):
            async for outcome in outcomes:
                if sent == most:
                    _die()
                if not outcome.recorded:
                    sent += 1
                    connection.send(OUTCOME)
    except LedgerError as error:
        connection.send((REFUSED, error.summary()))
    except BatchHalted as error:
        connection.send((HALTED, str(error)))
    else:
        connection.send((COMPLETE, ""))
