"""aiogram: forward incoming SMS to a chat, answer a number once a day. Run with `python aiogram_bot.py`."""

import asyncio
import logging
import os
from datetime import UTC, datetime

from aiogram import Bot, Dispatcher, F, filters, types
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.utils.backoff import Backoff, BackoffConfig
from anyio import CancelScope, create_task_group

from smsapi_async import AsyncSmsClient, IncomingMessage, SmsApiError
from smsapi_async.ledger import Ledger

TOKEN, CHAT = os.environ["TELEGRAM_TOKEN"], int(os.environ["TELEGRAM_CHAT"])
SERVER = TelegramAPIServer.from_base(os.environ.get("TELEGRAM_URL", "https://api.telegram.org"))
dispatcher = Dispatcher()


@dispatcher.message(filters.Command("balance"), F.chat.id == CHAT)
async def balance(message: types.Message, sms: AsyncSmsClient) -> None:
    await message.answer(f"Balance: {await sms.balance()}")


async def handle(message: IncomingMessage, bot: Bot, sms: AsyncSmsClient, ledger: Ledger) -> None:
    day, number = message.creation_date or datetime.now(UTC), message.source_address.removeprefix("+")
    key, outcome = f"answer to {number} on {day:%Y-%m-%d}", "Answered."
    try:
        with CancelScope(shield=True):  # a bot that stops waits for the outcome of the send
            await sms.send(number, "We will call you back.", timeout=10, key=key, ledger=ledger)
    except SmsApiError as error:
        outcome = f"No answer: {error}"
    await bot.send_message(CHAT, f"{message.source_address}: {message.text}\n{outcome}")


async def watch(bot: Bot, sms: AsyncSmsClient, ledger: Ledger) -> None:
    backoff = Backoff(BackoffConfig(min_delay=1, max_delay=300, factor=2, jitter=0.1))
    while True:  # after an error, the inbox returns the same message again, and nothing is sent twice
        try:
            async with sms.watch_incoming(checkpoint=ledger.checkpoint()) as incoming:
                async for message in incoming:
                    await handle(message, bot, sms, ledger)
                    backoff.reset()
        except Exception:
            logging.getLogger("bot").exception("the watcher starts again in %.0f s", backoff.next_delay)
            await backoff.asleep()


async def main(bot: Bot) -> None:
    async with AsyncSmsClient.from_env() as sms, Ledger.sqlite("bot.db") as ledger, create_task_group() as tg:
        tg.start_soon(watch, bot, sms, ledger)
        await dispatcher.start_polling(bot, sms=sms)  # pyright: ignore[reportUnknownMemberType]
        tg.cancel_scope.cancel()


asyncio.run(main(Bot(TOKEN, AiohttpSession(api=SERVER))))
