"""A program that sends a batch and that a test can kill: ``python -m tests.batch.child URL LEDGER``."""

import sys

import anyio

from smsapi_async import AsyncSmsClient, Message
from smsapi_async.ledger import Ledger

BULKS, PER_BULK, SINGLES = 60, 25, 500
CONCURRENCY = 4


def batch() -> list[Message]:
    """Return 2,000 messages: 1,500 messages in bulks of 25, and 500 messages with different texts."""
    shared = [
        Message(f"7901{bulk:03}{index:02}12", f"shared text {bulk}")
        for bulk in range(BULKS)
        for index in range(PER_BULK)
    ]
    own = [Message(f"7902{index:05}12", f"own text {index}") for index in range(SINGLES)]
    return [message for pair in zip(shared, own, strict=False) for message in pair] + shared[SINGLES:]


async def main(*arguments: str) -> None:
    """Send the batch, and print a dot for each outcome.

    Args:
        arguments: the command-line arguments: the base URL of the sandbox and the path of the ledger.
    """
    url, path = arguments
    sms = AsyncSmsClient(
        "sandbox", "sandbox-password", source_address="ACME", base_url=url, concurrency=CONCURRENCY
    )
    async with (
        sms,
        Ledger.sqlite(path) as ledger,
        sms.send_many(batch(), ledger=ledger, recipients_per_request=PER_BULK) as outcomes,
    ):
        async for _ in outcomes:
            sys.stdout.write(".")
            sys.stdout.flush()


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
