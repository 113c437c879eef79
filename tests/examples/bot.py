"""A bot that answers what came in during the last day."""

from datetime import UTC, datetime, timedelta

import anyio

from smsapi_async import AsyncSmsClient, SmsApiError


async def main() -> None:
    """Runs on asyncio and on trio alike: `anyio.run(main, backend="trio")`."""
    async with AsyncSmsClient.from_env() as sms:
        for message in await sms.incoming(since=datetime.now(UTC) - timedelta(days=1)):
            try:
                await sms.send(message.source_address, "Thank you, we will call you back.")
            except SmsApiError as error:
                print(f"message {message.id} was not answered: {error}")
        print("balance:", await sms.balance())


anyio.run(main)
