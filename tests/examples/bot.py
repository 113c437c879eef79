"""A bot that replies to each incoming message once, even if it is killed while it sends a reply."""

from datetime import UTC, datetime, timedelta

import anyio

from smsapi_async import AsyncSmsClient, Message
from smsapi_async.ledger import Ledger


async def main() -> None:
    """Run the bot on asyncio; `anyio.run(main, backend="trio")` runs it on trio."""
    yesterday = datetime.now(UTC) - timedelta(days=1)  # used only at the first start
    async with (
        AsyncSmsClient.from_env() as sms,
        Ledger.sqlite("bot.db") as ledger,
        sms.watch_incoming(since=yesterday, checkpoint=ledger.checkpoint()) as incoming,
    ):
        async for message in incoming:
            reply = Message(message.source_address, "We will call you back.", key=f"reply to {message.id}")
            async with sms.send_many([reply], ledger=ledger) as outcomes:
                async for outcome in outcomes:
                    print(outcome)  # Accepted, Rejected or Unknown; the ledger stores the outcome


anyio.run(main)
