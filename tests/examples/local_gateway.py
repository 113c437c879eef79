"""A test of your own application against a gateway on your machine: nothing is billed."""

from datetime import UTC, datetime

import anyio

from smsapi_async import AsyncSmsClient, State
from smsapi_async.sandbox import run_sandbox


async def main() -> None:
    """The sandbox's clock stands still until it is told to move."""
    async with (
        run_sandbox(start=datetime(2026, 3, 1, tzinfo=UTC)) as gateway,
        AsyncSmsClient(
            gateway.login, gateway.password, base_url=gateway.base_url, source_address="ACME"
        ) as sms,
    ):
        delivered = await sms.send("79031234567", "This one will arrive")
        expired = await sms.send("79031234946", "Numbers in 946 end in state 46")
        gateway.advance(minutes=1)
        assert (await sms.state(delivered.segment_ids[0])).state is State.DELIVERED
        assert (await sms.state(expired.segment_ids[0])).state is State.EXPIRED
        assert len(gateway.account.messages) == 2  # the gateway's own account of what it accepted
        assert gateway.account.logins == 1


anyio.run(main)
