"""A worker, which sends what web backends have enqueued. Any number of machines may run it."""

import os

import anyio

from smsapi_async import AsyncSmsClient
from smsapi_async.postgres import Shared

DSN = os.environ["SMSAPI_POSTGRES_DSN"]


async def main() -> None:
    """Send until the process is told to end."""
    async with (
        Shared.postgres(DSN) as shared,
        AsyncSmsClient.from_env(session_store=shared.sessions, pace=shared.pace(per_second=50)) as sms,
    ):
        await sms.send_pending(shared.ledger)


anyio.run(main)
