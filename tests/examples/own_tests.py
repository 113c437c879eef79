from datetime import UTC, datetime

import anyio

from smsapi_async import AsyncSmsClient, State
from smsapi_async.sandbox import run_sandbox


async def main() -> None:
    async with (
        run_sandbox(start=datetime(2026, 3, 1, tzinfo=UTC)) as gateway,  # only advance() moves the clock
        AsyncSmsClient(
            gateway.login, gateway.password, base_url=gateway.base_url, source_address="ACME"
        ) as sms,
    ):
        delivered = await sms.send("79031234567", "The sandbox delivers this message")
        expired = await sms.send("79031234946", "A number that ends in 946 gets the state 46")
        gateway.advance(minutes=1)
        assert (await sms.state(delivered.segment_ids[0])).state is State.DELIVERED
        assert (await sms.state(expired.segment_ids[0])).state is State.EXPIRED
        assert len(gateway.account.messages) == 2  # the accepted messages


anyio.run(main)
