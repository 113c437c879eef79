"""A program that sends a batch of one text: ``python -m tests.batch.large_batch URL LEDGER SETTINGS``."""

import json
import sys

import anyio

from smsapi_async import AsyncSmsClient, Message
from smsapi_async.ledger import Ledger

COUNT = 6000


def batch() -> list[Message]:
    """Return the messages of the batch."""
    return [Message(f"7903{index:05}12", "hello", key=str(index)) for index in range(COUNT)]


async def main(*arguments: str) -> None:
    """Send the batch.

    Args:
        arguments: the base URL of the sandbox, the path of the ledger, and parameters of `send_many` as JSON.
    """
    url, path, settings = arguments
    async with (
        AsyncSmsClient("sandbox", "sandbox-password", source_address="ACME", base_url=url) as sms,
        Ledger.sqlite(path) as ledger,
        sms.send_many(batch(), ledger=ledger, linger=60, **json.loads(settings)) as outcomes,
    ):
        async for _ in outcomes:
            pass


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
