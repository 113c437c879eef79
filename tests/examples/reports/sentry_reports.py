"""Report failures to Sentry without private values. Run with `python sentry_reports.py NUMBER`.

The frames of smsapi-async show no number, text or password. The frames of your own functions do: `number`
and `text` below are local variables. Therefore Sentry must not store local variables.
"""

import asyncio
import logging
import os
import secrets
import sys

import sentry_sdk

from smsapi_async import AsyncSmsClient, SmsApiError

logger = logging.getLogger("codes")


def configure() -> None:
    sentry_sdk.init(
        dsn=os.environ["SENTRY_DSN"],
        include_local_variables=False,  # the default is True
        traces_sample_rate=1.0,
        enable_logs=True,
    )


async def send_code(sms: AsyncSmsClient, number: str) -> bool:
    text = f"Your code is {secrets.randbelow(10**6):06}"
    try:
        await sms.send(number, text, validity=10, timeout=10)
    except SmsApiError:
        logger.exception("a code was not sent, or its outcome is unknown")  # Sentry gets an event
        return False
    return True


async def main() -> None:
    async with AsyncSmsClient.from_env() as sms:
        with sentry_sdk.start_transaction(op="task", name="send a code"):
            await send_code(sms, sys.argv[1])


if __name__ == "__main__":
    configure()
    asyncio.run(main())
