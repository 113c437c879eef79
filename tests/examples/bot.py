"""A bot that answers what comes in, each message once, also over restarts."""

from datetime import UTC, datetime, timedelta

import anyio

from smsapi_async import AsyncSmsClient, SmsApiError


async def main() -> None:
    """Runs on asyncio and on trio alike: `anyio.run(main, backend="trio")`."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    async with AsyncSmsClient.from_env() as sms, sms.watch_incoming(since=yesterday) as messages:
        async for message in messages:
            try:
                await sms.send(message.source_address, "Thank you, we will call you back.")
            except SmsApiError as error:
                print(f"message {message.id} was not answered: {error}")
            if message.text == "call me":
                break


anyio.run(main)
