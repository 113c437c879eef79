"""python-telegram-bot: forward SMS, answer a number once a day. Run with `python telegram_bot.py`."""

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from anyio import CancelScope
from telegram import Bot, Update, ext

from smsapi_async import AsyncSmsClient, IncomingMessage, SmsApiError
from smsapi_async.ledger import Ledger

CHAT, SERVER = int(os.environ["TELEGRAM_CHAT"]), os.getenv("TELEGRAM_URL", "https://api.telegram.org/bot")
stack = AsyncExitStack()  # what the bot closes when it ends


async def balance(_: Update, context: ext.ContextTypes.DEFAULT_TYPE) -> None:
    await context.bot.send_message(CHAT, f"Balance: {await context.bot_data['sms'].balance()}")


async def handle(message: IncomingMessage, bot: Bot, sms: AsyncSmsClient, ledger: Ledger) -> None:
    day, number = message.creation_date or datetime.now(UTC), message.source_address.removeprefix("+")
    key, outcome = f"answer to {number} on {day:%Y-%m-%d}", "Answered."
    try:
        with CancelScope(shield=True):  # a bot that stops waits for the outcome of the send
            await sms.send(number, "We will call you back.", timeout=10, key=key, ledger=ledger)
    except SmsApiError as error:
        outcome = f"No answer: {error}"
    await bot.send_message(CHAT, f"{message.source_address}: {message.text}\n{outcome}")


async def watch(bot: Bot, sms: AsyncSmsClient, ledger: Ledger, pause: float = 0.5) -> None:
    with CancelScope() as scope:
        stack.callback(scope.cancel)
        while True:  # after an error, the inbox returns the same message again, and nothing is sent twice
            try:
                async with sms.watch_incoming(checkpoint=ledger.checkpoint()) as incoming:
                    async for message in incoming:
                        await handle(message, bot, sms, ledger)
                        pause = 0.5
            except Exception:
                pause = min(2 * pause, 300)
                logging.getLogger("bot").exception("the watcher starts again in %g s", pause)
                await asyncio.sleep(pause)


async def start(app: ext.Application[Any, Any, Any, Any, Any, Any]) -> None:
    sms = app.bot_data["sms"] = await stack.enter_async_context(AsyncSmsClient.from_env())
    ledger = await stack.enter_async_context(Ledger.sqlite("bot.db"))
    stack.push_async_callback(asyncio.wait, [asyncio.create_task(watch(app.bot, sms, ledger))])


builder = ext.Application.builder().token(os.environ["TELEGRAM_TOKEN"]).base_url(SERVER).post_init(start)  # pyright: ignore[reportUnknownMemberType]
app = builder.post_stop(lambda _: stack.aclose()).post_shutdown(lambda _: stack.aclose()).build()  # pyright: ignore[reportUnknownMemberType, reportUnknownLambdaType]
app.add_handler(ext.CommandHandler("balance", balance, ext.filters.Chat(CHAT)))
app.run_polling()
