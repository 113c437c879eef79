"""A bot that answers incoming messages, each number at most once a day, even if it is killed meanwhile."""

import logging
from datetime import UTC, datetime, timedelta

import anyio

from smsapi_async import AsyncSmsClient, BatchHalted, Forbidden, IncomingMessage, LedgerError, Message
from smsapi_async.ledger import Ledger

logger = logging.getLogger("bot")


async def answer(message: IncomingMessage, sms: AsyncSmsClient, ledger: Ledger) -> None:
    """Send an answer, unless the number already got an answer to a message of the same day (UTC)."""
    # Without this limit, the bot and an autoresponder would answer each other for ever, and each answer is
    # billed. The ledger sends only one message for each key. The key has the date of the incoming message, so
    # the key stays the same if the bot is killed before midnight and starts again after midnight.
    day = (message.creation_date or datetime.now(UTC)).date()
    key = f"answer to {message.source_address.removeprefix('+')} on {day}"
    reply = Message(message.source_address, "We will call you back.", key=key)
    try:
        async with sms.send_many([reply], ledger=ledger) as outcomes:
            async for outcome in outcomes:
                print(outcome)  # Accepted, Rejected or Unknown; with `recorded=True`, nothing was sent now
    except BatchHalted as halted:
        if not isinstance(halted.cause, Forbidden):
            raise
        logger.warning("one answer is forbidden: %s", halted)  # the bot continues with the next message


async def watch(sms: AsyncSmsClient) -> None:
    """Answer each incoming message until an error ends the watcher."""
    yesterday = datetime.now(UTC) - timedelta(days=1)  # used only at the first start
    async with (
        Ledger.sqlite("bot.db") as ledger,
        sms.watch_incoming(since=yesterday, checkpoint=ledger.checkpoint()) as incoming,
    ):
        async for message in incoming:
            await answer(message, sms, ledger)


async def keep_watching(sms: AsyncSmsClient, pause: float = 60) -> None:
    """Start the watcher again after an error that may pass, and log each end of the watcher."""
    while True:
        reason = "the stream of incoming messages ended"
        try:
            await watch(sms)
        except (BatchHalted, LedgerError) as error:  # for example, no credits are left, or the disk is full
            reason = str(error)
        except Exception as error:  # for example, the password is wrong
            logger.critical("the watcher ended, and the bot ends: %s", type(error).__name__)
            raise
        # The message whose answer failed counts as not handled, so the watcher receives the message again.
        logger.error("the watcher ended, and starts again in %g seconds: %s", pause, reason)
        await anyio.sleep(pause)


async def main() -> None:
    """Run the bot on asyncio; `anyio.run(main, backend="trio")` runs it on trio."""
    async with AsyncSmsClient.from_env() as sms:
        await keep_watching(sms)


if __name__ == "__main__":
    anyio.run(main)
