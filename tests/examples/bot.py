"""A bot that answers each message once, also when it is killed in the middle of an answer."""

from datetime import UTC, datetime, timedelta

import anyio

from smsapi_async import AsyncSmsClient, Message
from smsapi_async.ledger import Ledger


async def main() -> None:
    """Runs on asyncio and on trio alike: `anyio.run(main, backend="trio")`."""
    yesterday = datetime.now(UTC) - timedelta(days=1)  # the first start; later ones go on where they were
    async with (
        AsyncSmsClient.from_env() as sms,
        Ledger.sqlite("bot.db") as ledger,
        sms.watch_incoming(since=yesterday, checkpoint=ledger.checkpoint()) as incoming,
    ):
        async for message in incoming:
            answer = Message(message.source_address, "We will call you back.", key=f"answer to {message.id}")
            async with sms.send_many([answer], ledger=ledger) as outcomes:
                async for outcome in outcomes:
                    print(outcome)  # Accepted, Rejected or Unknown: in the ledger, and not sent again


anyio.run(main)
