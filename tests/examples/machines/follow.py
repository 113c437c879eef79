"""A follower, which asks for the states of the sent messages. Of all machines that run it, one is active."""

import os

import anyio

from smsapi_async import AsyncSmsClient
from smsapi_async.postgres import Shared

DSN = os.environ["SMSAPI_POSTGRES_DSN"]


async def follow(shared: Shared, sms: AsyncSmsClient) -> None:
    """Record and print each delivery."""
    async with shared.ledger.role("follow"), sms.track(shared.ledger) as deliveries:
        async for delivery in deliveries:
            print(delivery.phase.value, flush=True)


async def main() -> None:
    """Follow until the process is told to end."""
    async with (
        Shared.postgres(DSN) as shared,
        AsyncSmsClient.from_env(session_store=shared.sessions) as sms,
    ):
        await follow(shared, sms)


anyio.run(main)
